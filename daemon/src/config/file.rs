//! `config.toml`: its keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jid::{BareJid, ResourcePart};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{ConfigError, Listen, TlsMode, unreadable};
use crate::files;

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub listen: Option<Listen>,
    pub no_listen: bool,
    pub socket: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub cache_dir: Option<PathBuf>,
    #[serde(deserialize_with = "not_here")]
    runtime_dir: (),
    pub log: Option<String>,
    #[serde(deserialize_with = "origins")]
    pub allowed_origins: Vec<String>,
    pub tls: Tls,
    pub secrets: Secrets,
    pub accounts: BTreeMap<BareJid, AccountOverride>,
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub extra_ca: Option<PathBuf>,
}

/// `[secrets]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Secrets {
    pub store: SecretStoreKind,
}

/// Where secrets are written. They are read from wherever they are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SecretStoreKind {
    /// The Secret Service if the session bus has one, else files.
    #[default]
    Auto,
    /// Only the Secret Service: without one, nothing is remembered.
    SecretService,
    /// Files in the data folder (0600). The session bus is not contacted, not even for older secrets.
    File,
}

/// `[accounts."me@example.org"]`: overrides DNS for this account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccountOverride {
    /// The host to connect to.
    #[serde(deserialize_with = "host", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port to connect to.
    #[serde(deserialize_with = "port", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How to establish TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// The resource to request (RFC 6120 §7).
    #[serde(deserialize_with = "resource", skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl File {
    /// Reads the file, if it exists. Paths in it are relative to its folder.
    pub(super) fn read(path: &Path, must_exist: bool) -> Result<Option<Self>, ConfigError> {
        let content = files::read_theirs(path).map_err(|error| unreadable(path, &error))?;
        let Some(content) = content else {
            let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
            return if must_exist { Err(unreadable(path, &absent)) } else { Ok(None) };
        };
        let invalid = |line, reason| ConfigError::Invalid { file: path.to_owned(), line, reason };
        let text = String::from_utf8(content).map_err(|error| {
            invalid(line_of(error.as_bytes(), error.utf8_error().valid_up_to()), "not UTF-8".to_owned())
        })?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            invalid(line_of(text.as_bytes(), at), explained(&text, at, error.message()))
        })?;
        if settings.no_listen && settings.listen.is_some() {
            let at = text.lines().position(|line| line.trim_start().starts_with("no_listen"));
            let reason = "no_listen contradicts listen: keep one of them".to_owned();
            return Err(invalid(at.unwrap_or(0) + 1, reason));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for path in [
            &mut settings.socket,
            &mut settings.data_dir,
            &mut settings.cache_dir,
            &mut settings.tls.extra_ca,
        ] {
            *path = path.take().map(|path| folder.join(path));
        }
        Ok(Some(settings))
    }
}

/// The reason, and what to do if a key of the top level is in a table: TOML has no way back out of one.
fn explained(text: &str, at: usize, reason: &str) -> String {
    // It can't be set here: see `not_here`.
    let reason = reason.replace('\n', " ").replace("`runtime_dir`, ", "");
    let key = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let within = text[..at].lines().rev().map(str::trim).find(|line| line.starts_with('['));
    match (key, within) {
        (Some(key), Some(table)) if at_top(key) => {
            let table = table.split_inclusive(']').next().unwrap_or(table);
            format!("`{key}` does not belong to {table}: move it above the first line that starts with [")
        }
        _ => reason,
    }
}

/// Whether the file may have this key outside of all tables.
fn at_top(key: &str) -> bool {
    // Whatever its value: what is unknown is refused before values are read.
    let probe = toml::from_str::<File>(&format!("{key} = []"));
    !probe.is_err_and(|error| error.message().starts_with("unknown field"))
}

/// Counted from one.
fn line_of(text: &[u8], offset: usize) -> usize {
    text.iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Clients would not look there: they don't read this file.
fn not_here<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom(
        "clients don't read this file, so the runtime folder can't be set here: set PROSED_RUNTIME_DIR in their \
         environment and prosed's",
    ))
}

fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let mut origins = Vec::<String>::deserialize(from)?;
    for origin in &mut origins {
        origin.make_ascii_lowercase();
        let host = match origin.split_once("://") {
            // Every local file has this origin, no matter who wrote it.
            Some(("file", _)) | None => "",
            Some((scheme, _)) if !is_scheme(scheme) => "",
            Some((_, host)) => host,
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@', '*', ' ', ',']) {
            return Err(D::Error::custom(format!(
                "«{origin}» is not a web origin, as in https://app.example.org:8443 or app://prose: {}",
                what_is_wrong(host)
            )));
        }
    }
    Ok(origins)
}

/// With the part after the scheme, which is empty if the scheme is at fault.
fn what_is_wrong(host: &str) -> &'static str {
    match host.strip_suffix('/') {
        Some(rest) if !rest.is_empty() && !rest.contains('/') => "remove the / at the end",
        _ if host.contains('*') => "list each origin, since wildcards are not allowed",
        _ if host.contains(['/', '?', '#']) => "leave out everything after the host and port",
        _ => "it needs a scheme (but not file), then ://, a host, and a port unless it is the usual one",
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn host<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let host = String::deserialize(from)?;
    if !is_host(&host) {
        let why = format!("«{host}» is not a host name or an IP address; the port has a key of its own");
        return Err(D::Error::custom(why));
    }
    Ok(Some(host))
}

/// Whether this could be a host name or is an IP address.
pub(crate) fn is_host(text: &str) -> bool {
    /// Octets of a name in text form (RFC 1035 §2.3.4).
    const LONGEST: usize = 253;
    let is_name = |character: char| character.is_alphanumeric() || matches!(character, '-' | '.' | '_');
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    is_address || (1..=LONGEST).contains(&text.len()) && text.chars().all(is_name) && !text.contains("..")
}

fn port<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    match u16::deserialize(from)? {
        0 => Err(D::Error::custom("the port of a server is one of 1 to 65535")),
        port => Ok(Some(port)),
    }
}

fn resource<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let resource = String::deserialize(from)?;
    match ResourcePart::new(&resource) {
        Ok(part) => Ok(Some(part.as_str().to_owned())),
        Err(error) => Err(D::Error::custom(format!("«{resource}» is not an XMPP resource: {error}"))),
    }
}
