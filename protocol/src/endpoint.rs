//! Where the daemon is: `endpoint.json`, which it writes once its doors are open.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder::{self, Untrusted, us};

/// The name of the file, in the runtime directory.
pub const FILE_NAME: &str = "endpoint.json";

/// The running daemon's resulting configuration, in the form of `config.toml`: in the runtime directory, for
/// `prosectl doctor`.
pub const SETTINGS_NAME: &str = "settings.toml";

/// The name of the Unix socket, in the runtime directory, unless configured otherwise.
pub const SOCKET_NAME: &str = "prosed.sock";

/// The maximum length of a Unix socket's path, in bytes (unix(7)).
pub const LONGEST_SOCKET_PATH: usize = 107;

/// The page with which `prosectl open` sends a browser to the console: in the runtime directory during that time. The
/// daemon then accepts a link from it.
pub const OPENING_PAGE: &str = "open.html";

/// The content of `endpoint.json`: the doors that are open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Endpoint {
    /// The WebSocket's address, as in `ws://127.0.0.1:5299/rpc`; absent if no port is open.
    pub url: Option<String>,
    /// The Unix socket; absent if there is none.
    pub socket: Option<PathBuf>,
    /// The file with the token for `url`.
    pub token_file: PathBuf,
    /// The daemon's process id.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// The version of the API that it speaks.
    pub api_level: u32,
}

/// [`Endpoint`] as in the file. The token's file has two names there: `token_file` is the older one, for clients that
/// know no other.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default, rename = "token_file")]
    old_token_file: Option<PathBuf>,
    pid: u32,
    version: String,
    api_level: u32,
}

impl From<Endpoint> for Written {
    fn from(endpoint: Endpoint) -> Self {
        let Endpoint { url, socket, token_file, pid, version, api_level } = endpoint;
        let old_token_file = Some(token_file.clone());
        Self { url, socket, token_file: Some(token_file), old_token_file, pid, version, api_level }
    }
}

impl TryFrom<Written> for Endpoint {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { url, socket, token_file, old_token_file, pid, version, api_level } = written;
        let token_file = token_file.or(old_token_file).ok_or("missing field `tokenFile`")?;
        Ok(Self { url, socket, token_file, pid, version, api_level })
    }
}

/// Why there is no endpoint.
#[derive(Debug)]
pub enum EndpointError {
    /// There is no `endpoint.json` at this path: no daemon is running.
    Absent(PathBuf),
    /// Nobody is listening any more where the daemon with this process id did: it has ended without removing its
    /// `endpoint.json`.
    Stale(u32),
    /// The file at this path can't be read.
    Unreadable(PathBuf, io::Error),
    /// The file at this path is not what it should be.
    Malformed(PathBuf, serde_json::Error),
}

impl std::fmt::Display for EndpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(path) => write!(f, "there is no {}", path.display()),
            Self::Stale(pid) => {
                write!(f, "process {pid} has left its {FILE_NAME} behind and listens no more")
            }
            Self::Unreadable(path, error) => write!(f, "{} can't be read: {error}", path.display()),
            Self::Malformed(path, error) => write!(f, "{} is damaged: {error}", path.display()),
        }
    }
}

impl std::error::Error for EndpointError {}

impl Endpoint {
    /// Reads `endpoint.json` in the runtime directory `dir`.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Absent`] if no daemon has written one; [`EndpointError::Unreadable`] also if another user
    /// could have written it.
    pub fn read(dir: &Path) -> Result<Self, EndpointError> {
        let path = dir.join(FILE_NAME);
        match folder::check_own(dir).and_then(|()| std::fs::read(&path)) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| EndpointError::Malformed(path, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EndpointError::Absent(path)),
            Err(error) => Err(EndpointError::Unreadable(path, error)),
        }
    }
}

/// Reads the token from the file at `path`. It is the daemon's and ours: one that others can read proves nothing.
///
/// # Errors
///
/// Those of the file system; `PermissionDenied` for a file that is not ours alone, `InvalidData` for an empty one.
pub fn read_token(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let found = file.metadata()?;
    if found.uid() != us() || found.mode() & 0o077 != 0 {
        return Err(Untrusted::at(path, "is not for its owner alone"));
    }
    let mut token = String::new();
    file.read_to_string(&mut token)?;
    match token.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is empty", path.display()))),
        token => Ok(token.to_owned()),
    }
}

/// The daemon's runtime directory, by one rule for the daemon and all its clients: `$PROSED_RUNTIME_DIR`, else
/// `$XDG_RUNTIME_DIR/prosed`, else `$XDG_DATA_HOME/prosed/run`, else `~/.local/share/prosed/run`. `env` reads the
/// environment; `home` is [`std::env::home_dir`], which also works if `HOME` is not set.
///
/// XDG variables without an absolute path count as absent, as the XDG Base Directory Specification requires. Without
/// a home directory there is none.
pub fn runtime_dir(env: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let given = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name| given(name).filter(|path| path.is_absolute());
    given("PROSED_RUNTIME_DIR")
        .or_else(|| absolute("XDG_RUNTIME_DIR").map(|dir| dir.join("prosed")))
        .or_else(|| absolute("XDG_DATA_HOME").map(|dir| dir.join("prosed/run")))
        .or_else(|| home.map(|dir| dir.join(".local/share/prosed/run")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dir(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let value = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        runtime_dir(|name| value(name).map(Into::into), value("HOME").map(Into::into))
    }

    #[test]
    fn looks_where_the_daemon_writes() {
        let home = ("HOME", "/home/me");
        let data = ("XDG_DATA_HOME", "/data");
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/1");
        assert_eq!(dir(&[]), None);
        assert_eq!(dir(&[home]), Some("/home/me/.local/share/prosed/run".into()));
        assert_eq!(dir(&[home, data]), Some("/data/prosed/run".into()));
        assert_eq!(dir(&[home, data, runtime]), Some("/run/user/1/prosed".into()));
        assert_eq!(dir(&[home, runtime, ("PROSED_RUNTIME_DIR", "here")]), Some("here".into()));
        assert_eq!(dir(&[home, ("XDG_RUNTIME_DIR", "not/absolute")]), dir(&[home]));
        assert_eq!(dir(&[home, ("XDG_RUNTIME_DIR", "")]), dir(&[home]));
        assert_eq!(dir(&[home, ("PROSED_RUNTIME_DIR", "")]), dir(&[home]));
    }

    #[test]
    fn reads_what_the_daemon_writes() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Endpoint::read(dir.path()), Err(EndpointError::Absent(_))));
        let rest = r#""pid":1,"version":"0.1.0","apiLevel":1}"#;
        let both = format!(r#"{{"url":"ws://127.0.0.1:5299/rpc","tokenFile":"/t","token_file":"/t",{rest}"#);
        // Either name is accepted.
        for json in
            [&both, &both.replace(r#""tokenFile":"/t","#, ""), &both.replace(r#""token_file":"/t","#, "")]
        {
            std::fs::write(dir.path().join(FILE_NAME), json).unwrap();
            let endpoint = Endpoint::read(dir.path()).unwrap();
            assert_eq!(endpoint.socket, None);
            assert_eq!(serde_json::to_string(&endpoint).unwrap(), both);
        }
        std::fs::write(dir.path().join(FILE_NAME), format!("{{{rest}")).unwrap();
        assert!(matches!(Endpoint::read(dir.path()), Err(EndpointError::Malformed(..))));
        std::fs::write(dir.path().join(FILE_NAME), "{").unwrap();
        assert!(matches!(Endpoint::read(dir.path()), Err(EndpointError::Malformed(..))));
    }

    #[test]
    fn is_not_read_where_another_user_could_have_written_it() {
        let dir = tempfile::tempdir().unwrap();
        let json = r#"{"token_file":"/t","pid":1,"version":"0.1.0","apiLevel":1}"#;
        std::fs::write(dir.path().join(FILE_NAME), json).unwrap();
        Endpoint::read(dir.path()).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let error = Endpoint::read(dir.path()).unwrap_err();
        assert!(matches!(error, EndpointError::Unreadable(..)), "{error}");
        assert!(error.to_string().ends_with("can be changed by other users"), "{error}");
    }

    #[test]
    fn a_token_that_others_can_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::write(&path, "c2VjcmV0\n").unwrap();
        for (given, expected) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            mode(given);
            assert_eq!(read_token(&path).is_ok_and(|token| token == "c2VjcmV0"), expected, "{given:o}");
        }
        std::fs::write(&path, "\n").unwrap();
        mode(0o600);
        assert_eq!(read_token(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        if std::os::unix::fs::chown(&path, Some(us() + 1), None).is_ok() {
            assert_eq!(read_token(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
