//! Configuration: flags before environment before file before defaults.

mod file;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Parser;
use jid::BareJid;
use prosed_protocol::endpoint;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use file::File;
pub(crate) use file::{AccountOverride, SecretStoreKind, is_host};

/// Where UIs look for us by default.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5299);
/// Events, without the details.
const DEFAULT_LOG: &str = "info";

/// How to establish TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsMode {
    /// According to the server's SRV records; without any: STARTTLS.
    #[default]
    Auto,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// RFC 6120 §5.
    StartTls,
}

/// A local XMPP daemon with a JSON-RPC 2.0 API over WebSocket.
#[derive(Debug, Default, Parser)]
#[command(name = "prosed", version, about, after_help = AFTER_HELP)]
pub(crate) struct Flags {
    /// Read this file in place of $XDG_CONFIG_HOME/prosed/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Serve on this loopback address; port 0 picks a free one [default: 127.0.0.1:5299]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_listen")]
    pub listen: Option<Listen>,
    /// Serve on the Unix socket only
    #[arg(long)]
    pub no_listen: bool,
    /// The Unix socket [default: $XDG_RUNTIME_DIR/prosed/prosed.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Accounts and settings [default: $XDG_DATA_HOME/prosed]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What the server can provide again [default: $XDG_CACHE_HOME/prosed]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Token, endpoint.json and socket; clients look in $PROSED_RUNTIME_DIR [default: $XDG_RUNTIME_DIR/prosed]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// What to log, such as `info,prosed=debug`; libraries log warnings at most [default: $RUST_LOG, or info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Check the configuration, print the result, and exit
    #[arg(long)]
    pub check_config: bool,
    /// Check whether this account's server can be reached and trusted, and exit
    #[arg(long, value_name = "JID")]
    pub check_server: Option<BareJid>,
    /// With --check-server: check this host, a name or an address, instead of where a login would go
    #[arg(long, requires = "check_server")]
    pub host: Option<String>,
    /// With --host: its port
    #[arg(long, requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Print the manual page, and exit
    #[arg(long)]
    pub man: bool,
}

/// How options, environment and file go together.
pub(crate) const AFTER_HELP: &str = "Each option, except those that print something and exit, is also an environment variable (PROSED_LISTEN, \
    PROSED_DATA_DIR, …) and, but for --config and --runtime-dir, a key of the configuration file (listen, \
    data_dir, …). \
    Options take precedence over the environment, and the environment over the file.";

/// A loopback address to serve on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("«{text}» is not an address and a port, such as {DEFAULT_LISTEN} or [::1]:0")
        })?;
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err(format!(
                "prosed serves this computer only, and {} can be reached from others: use a loopback \
                 address, such as {DEFAULT_LISTEN}, and an SSH tunnel to connect from elsewhere",
                address.ip()
            ))
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Where to serve over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    /// A loopback address; port 0: any free one.
    pub address: SocketAddr,
    /// Whether it was configured. If not, another will do if it is taken.
    pub asked_for: bool,
}

/// Where to serve over a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    pub path: PathBuf,
    /// Whether it was configured. If not, the port alone will do if it cannot be created.
    pub asked_for: bool,
}

/// The resulting configuration. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Where it would have been read from, if there was none.
    pub absent_file: Option<PathBuf>,
    /// Where to serve over TCP, if at all.
    pub listen: Option<Port>,
    /// Where to serve over a Unix socket.
    pub socket: Socket,
    /// What no server can return.
    pub data_dir: PathBuf,
    /// What can be fetched again.
    pub cache_dir: PathBuf,
    /// Token, endpoint.json, socket.
    pub runtime_dir: PathBuf,
    /// A valid `EnvFilter`.
    pub log: String,
    /// Web origins that may connect in addition to our own.
    pub allowed_origins: Vec<String>,
    /// A PEM file of certificate authorities to trust in addition to the system's.
    pub extra_ca: Option<PathBuf>,
    /// Where secrets are stored.
    pub secret_store: SecretStoreKind,
    /// How to reach the server, by account: overrides DNS and what was given at login.
    pub accounts: BTreeMap<BareJid, AccountOverride>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("{}: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: String },
    /// Something in the file is wrong; `reason` says what is allowed.
    #[error("{}:{line}: {reason}", file.display())]
    Invalid { file: PathBuf, line: usize, reason: String },
    /// A variable is wrong; `reason` says what is allowed.
    #[error("{variable}: {reason}")]
    Environment { variable: &'static str, reason: String },
    /// What a value refers to is unusable.
    #[error("{what}: {reason}")]
    Value { what: &'static str, reason: String },
    /// Neither `$HOME` nor the variables that replace it.
    #[error("HOME is not set: name the folders with --data-dir, --cache-dir and --runtime-dir")]
    NoHome,
}

/// The environment, as a map.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

impl Config {
    /// Computes the configuration. Apart from its arguments it reads only files.
    ///
    /// # Errors
    /// Anything unknown, ill-typed or contradictory: exit code 2.
    pub(crate) fn resolve(
        flags: Flags,
        environment: &Environment,
        home: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let environment = Variables(environment);
        let base = |variable, below_home: &str| {
            let given = environment.path(variable).filter(|path| path.is_absolute());
            given.or_else(|| home.map(|home| home.join(below_home))).map(|path| path.join("prosed"))
        };

        let named = flags.config.or_else(|| environment.path("PROSED_CONFIG"));
        let must_exist = named.is_some();
        let path =
            named.or_else(|| base("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("config.toml")));
        let (file, absent_file, settings) = match path {
            Some(path) => match File::read(&path, must_exist)? {
                Some(settings) => (Some(absolute(path)?), None, settings),
                None => (None, Some(absolute(path)?), File::default()),
            },
            None => (None, None, File::default()),
        };

        let asked = match Door::asked(flags.no_listen, flags.listen) {
            Door::Unsaid => match environment.door()? {
                Door::Unsaid => Door::asked(settings.no_listen, settings.listen),
                asked => asked,
            },
            asked => asked,
        };
        let listen = match asked {
            Door::At(Listen(address)) => Some(Port { address, asked_for: true }),
            Door::Shut => None,
            Door::Unsaid => Some(Port { address: DEFAULT_LISTEN, asked_for: false }),
        };

        let folder = |flag: Option<PathBuf>, variable, setting| {
            flag.or_else(|| environment.path(variable)).or(setting)
        };
        let data_dir = folder(flags.data_dir, "PROSED_DATA_DIR", settings.data_dir)
            .or_else(|| base("XDG_DATA_HOME", ".local/share"))
            .ok_or(ConfigError::NoHome)?;
        let cache_dir = folder(flags.cache_dir, "PROSED_CACHE_DIR", settings.cache_dir)
            .or_else(|| base("XDG_CACHE_HOME", ".cache"))
            .ok_or(ConfigError::NoHome)?;
        // By the rule that all clients use, which know neither our other folders nor the file.
        let variable = |name: &str| environment.path(name).map(PathBuf::into_os_string);
        let runtime_dir = flags
            .runtime_dir
            .or_else(|| endpoint::runtime_dir(variable, home.map(Path::to_owned)))
            .ok_or(ConfigError::NoHome)?;
        let socket = folder(flags.socket, "PROSED_SOCKET", settings.socket);
        let socket = Socket {
            asked_for: socket.is_some(),
            path: absolute(socket.unwrap_or_else(|| runtime_dir.join(endpoint::SOCKET_NAME)))?,
        };

        let (log, log_from_us) = match (flags.log, environment.text("PROSED_LOG")?, settings.log) {
            (Some(log), _, _) | (None, Some(log), _) | (None, None, Some(log)) => (log, true),
            // Set for all programs, perhaps with other programs in mind.
            (None, None, None) => {
                (environment.text("RUST_LOG")?.unwrap_or_else(|| DEFAULT_LOG.to_owned()), false)
            }
        };
        EnvFilter::builder()
            .parse(&log)
            .map_err(|error| ConfigError::Value { what: "log", reason: error.to_string() })?;
        if log_from_us && let Some(word) = not_a_level(&log) {
            let reason = format!(
                "«{word}» is no level: write error, warn, info, debug, trace or off, or give a module one of them, as in \
                 prosed=debug"
            );
            return Err(ConfigError::Value { what: "log", reason });
        }
        if let Some(path) = &settings.tls.extra_ca {
            fs::File::open(path).map_err(|error| ConfigError::Value {
                what: "extra_ca",
                reason: format!("{}: {error}", path.display()),
            })?;
        }

        Ok(Self {
            file,
            absent_file,
            listen,
            socket,
            data_dir: absolute(data_dir)?,
            cache_dir: absolute(cache_dir)?,
            runtime_dir: absolute(runtime_dir)?,
            log,
            allowed_origins: settings.allowed_origins,
            extra_ca: settings.tls.extra_ca.map(absolute).transpose()?,
            secret_store: settings.secrets.store,
            accounts: settings.accounts,
        })
    }
}

/// Paths published to clients must work from any folder.
fn absolute(path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path).map_err(|error| ConfigError::Value {
        what: "the current folder",
        reason: format!("{} can't be found from it: {error}", path.display()),
    })
}

/// What one source says about TCP.
enum Door {
    Unsaid,
    Shut,
    At(Listen),
}

impl Door {
    fn asked(shut: bool, at: Option<Listen>) -> Self {
        match (shut, at) {
            (true, _) => Self::Shut,
            (false, Some(at)) => Self::At(at),
            (false, None) => Self::Unsaid,
        }
    }
}

/// Our view of the environment: an empty variable counts as absent.
struct Variables<'a>(&'a Environment);

impl Variables<'_> {
    fn path(&self, variable: &str) -> Option<PathBuf> {
        self.0.get(&OsString::from(variable)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn text(&self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.path(variable) else { return Ok(None) };
        let reason = "not UTF-8".to_owned();
        let text = value.into_os_string().into_string();
        text.map(Some).map_err(|_| ConfigError::Environment { variable, reason })
    }

    /// What the environment says about TCP.
    fn door(&self) -> Result<Door, ConfigError> {
        let shut = match self.text("PROSED_NO_LISTEN")?.as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                let reason = format!("«{other}» is neither true nor false");
                return Err(ConfigError::Environment { variable: "PROSED_NO_LISTEN", reason });
            }
        };
        let listen = self.text("PROSED_LISTEN")?;
        let invalid = |reason| ConfigError::Environment { variable: "PROSED_LISTEN", reason };
        match (shut, listen) {
            (true, Some(_)) => Err(invalid("contradicts PROSED_NO_LISTEN: set one of them".to_owned())),
            (shut, text) => {
                let at = text.map(|text| text.parse().map_err(invalid)).transpose()?;
                Ok(Door::asked(shut, at))
            }
        }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
    ConfigError::Unreadable { file: file.to_owned(), reason: error.to_string() }
}

/// The first directive that is one word and not a level. To `EnvFilter` it is a module to log everything of, so a
/// misspelt level would go unnoticed, and nothing be logged.
fn not_a_level(log: &str) -> Option<&str> {
    // Spans and their fields are in brackets, and may have commas.
    if log.contains(['[', '{']) {
        return None;
    }
    log.split(',')
        .map(str::trim)
        .find(|word| !word.is_empty() && !word.contains('=') && word.parse::<LevelFilter>().is_err())
}

#[cfg(test)]
mod tests;
