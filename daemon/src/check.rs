//! The output of `--check-config` and `--check-server`: TOML, for people and for `prosectl doctor`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use jid::BareJid;
use prosed_protocol::ErrorKind;
use serde::Serialize;

use crate::config::{AccountOverride, Config, SecretStoreKind};
use crate::events::rfc3339;
use crate::registry;
use crate::shell;
use crate::stream::{self, ConnectError, Reached, TlsConfig};

/// A configuration in the form of `config.toml`.
#[derive(Serialize)]
struct Settled<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    no_listen: bool,
    socket: String,
    data_dir: String,
    cache_dir: String,
    log: &'a str,
    allowed_origins: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tls: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, SecretStoreKind>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    accounts: &'a BTreeMap<BareJid, AccountOverride>,
}

/// The resulting configuration.
///
/// # Errors
/// If TOML cannot represent it; no such case is known.
pub(crate) fn config(config: &Config) -> Result<String, toml::ser::Error> {
    let path = |path: &std::path::Path| path.display().to_string();
    let file = match (&config.file, &config.absent_file) {
        (Some(file), _) => path(file),
        (None, Some(absent)) => format!("no file at {}", path(absent)),
        (None, None) => "no file".to_owned(),
    };
    let settled = Settled {
        listen: config.listen.map(|port| port.address),
        no_listen: config.listen.is_none(),
        socket: path(&config.socket.path),
        data_dir: path(&config.data_dir),
        cache_dir: path(&config.cache_dir),
        log: &config.log,
        allowed_origins: &config.allowed_origins,
        tls: config.extra_ca.iter().map(|file| ("extra_ca", path(file))).collect(),
        secrets: BTreeMap::from([("store", config.secret_store)]),
        accounts: &config.accounts,
    };
    let settled = toml::to_string(&settled)?;
    // What no file can set.
    let runtime_dir = config.runtime_dir.display();
    Ok(format!(
        "# The configuration is fine ({file}). It comes to:\n# The runtime folder: {runtime_dir}\n{settled}{}",
        unreadable(config)
    ))
}

/// One line for each unreadable record in the list of accounts.
fn unreadable(config: &Config) -> String {
    // If there is no folder yet, or it is not for us, the start reports that.
    let names = registry::unreadable(&config.data_dir).unwrap_or_default();
    names.iter().map(|name| format!("# A record in the list of accounts can't be read: {name:?}\n")).collect()
}

/// What was found at the server's address.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Server {
        host: String,
        port: u16,
        tls: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<SocketAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_before: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_after: Option<String>,
    },
    Error {
        error: ErrorKind,
        text: String,
        next_step: String,
    },
}

/// Whether the account's server can be reached and trusted, in the same way as for a login, or at a given host and
/// optional port; and the report.
///
/// # Errors
/// If TOML cannot represent it; no such case is known.
pub(crate) async fn server(
    config: &Config,
    tls: &Arc<TlsConfig>,
    account: &BareJid,
    (host, port): (Option<String>, Option<u16>),
) -> Result<(bool, String), toml::ser::Error> {
    let said = registry::connection(&config.data_dir, account).unwrap_or_default();
    let mut settings = shell::settings(account, said, &config.accounts, tls);
    if host.is_some() {
        settings.host = host;
        settings.port = port;
    }
    let found = stream::reach(&settings).await;
    let reached = found.is_ok();
    let time = |time: SystemTime| rfc3339(time.into());
    let found = match found {
        Ok(Reached { host, port, direct, address, valid }) => Found::Server {
            host,
            port,
            tls: if direct { "direct" } else { "starttls" },
            address,
            not_before: valid.map(|(not_before, _)| time(not_before)),
            not_after: valid.map(|(_, not_after)| time(not_after)),
        },
        Err(error) => Found::Error {
            error: match &error {
                ConnectError::Tls { .. } => ErrorKind::TlsFailed,
                ConnectError::Protocol { .. } => ErrorKind::ProtocolViolation,
                _ => ErrorKind::ServerUnreachable,
            },
            text: error.to_string(),
            next_step: next_step(&error, account),
        },
    };
    Ok((reached, toml::to_string(&found)?))
}

/// What the user can do about it.
fn next_step(error: &ConnectError, account: &BareJid) -> String {
    match error {
        ConnectError::Unreachable { .. } => format!(
            "check the network and the JID; if DNS doesn't have the server, name it: prosectl login {account} --host \
             HOST --port PORT"
        ),
        ConnectError::Tls { .. } => {
            "check this computer's clock (date), then ask the server's operator; if the server has \
                                     a certificate of its own, name it as extra_ca under [tls] in config.toml"
                .to_owned()
        }
        ConnectError::Protocol { .. } => {
            "check that this is the port of an XMPP server, then ask the server's operator".to_owned()
        }
        ConnectError::NotAuthorized { .. } => format!("check the password: prosectl login {account}"),
        ConnectError::AccountDisabled { .. } | ConnectError::Downgrade { .. } => {
            "ask the server's operator".to_owned()
        }
        ConnectError::Replaced => format!("log in again: prosectl login {account}"),
    }
}
