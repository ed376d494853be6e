//! Why a command failed, and its exit code.

use std::path::PathBuf;

use prosed_protocol::client::ClientError;
use prosed_protocol::endpoint::EndpointError;
use prosed_protocol::{ApiError, ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::elsewhere::Elsewhere;
use crate::service::Service;

/// The exit code for each kind of error. Scripts rely on them: they are never reused.
/// 11 to 69, except for [`UNAVAILABLE`], are errors that prosed returned; the others are those of `sysexits.h`.
const EXIT_CODES: &[(ErrorKind, u8)] = &[
    (ErrorKind::NotAuthorized, 11),
    (ErrorKind::CredentialsMissing, 12),
    (ErrorKind::AccountUnknown, 13),
    (ErrorKind::AccountRequired, 14),
    (ErrorKind::AccountDisabled, 15),
    (ErrorKind::ServerUnreachable, 21),
    (ErrorKind::TlsFailed, 22),
    (ErrorKind::ProtocolViolation, 23),
    (ErrorKind::SessionReplaced, 24),
    (ErrorKind::Offline, 25),
    (ErrorKind::DowngradeRefused, 26),
    (ErrorKind::ContactUnknown, 31),
    (ErrorKind::NotFound, 32),
    (ErrorKind::InvalidJid, 33),
    (ErrorKind::InvalidMedia, 34),
    (ErrorKind::StanzaError, 41),
    (ErrorKind::RequestTimedOut, 42),
    (ErrorKind::CursorExpired, 51),
    (ErrorKind::Lagged, 52),
    (ErrorKind::SubscriptionNeedsWebSocket, 53),
    (ErrorKind::LimitExceeded, 54),
    (ErrorKind::StorageFailed, 61),
    (ErrorKind::InternalError, 62),
];

/// An error that is not in this table.
const OTHER: u8 = 1;
/// The doctor found a fault.
const UNWELL: u8 = 10;
/// `EX_USAGE`: prosed knows no such method or parameter. (Wrong options of prosectl itself: 2.)
const USAGE: u8 = 64;
/// `EX_NOINPUT`: the password, the parameters or a file could not be read.
const NO_INPUT: u8 = 66;
/// `EX_UNAVAILABLE`: no daemon is running.
const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: the daemon has a bug, or is of another version.
const SOFTWARE: u8 = 70;
/// `EX_CANTCREAT`: a file could not be written.
const CANT_CREATE: u8 = 73;
/// `EX_IOERR`: the connection was lost, or the output could not be written.
const IO: u8 = 74;
/// `EX_NOPERM`: the daemon refuses our token.
const NO_PERMISSION: u8 = 77;

/// What the exit codes mean, for the help and the manual page.
pub(crate) const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "done"),
    (OTHER, "another error"),
    (2, "wrong options"),
    (UNWELL, "doctor found a fault"),
    (11, "credentials refused"),
    (12, "no password remembered"),
    (13, "no such account here"),
    (14, "several accounts: name one"),
    (15, "account disabled"),
    (21, "server unreachable"),
    (22, "no trusted TLS connection"),
    (23, "the server violated XMPP"),
    (24, "another client took over"),
    (25, "account offline"),
    (26, "the server offers less than it did"),
    (31, "no such contact"),
    (32, "not found"),
    (33, "not a JID"),
    (34, "not an acceptable image"),
    (41, "the server or contact refused"),
    (42, "no answer in time"),
    (51, "the events after --since are gone"),
    (52, "too slow for the events"),
    (53, "needs a WebSocket"),
    (54, "limit exceeded"),
    (61, "the data could not be stored or read"),
    (62, "the account's session failed"),
    (USAGE, "no such method or parameter"),
    (NO_INPUT, "something could not be read"),
    (UNAVAILABLE, "prosed is not running"),
    (SOFTWARE, "an internal error"),
    (CANT_CREATE, "a file could not be written"),
    (IO, "connection lost"),
    (NO_PERMISSION, "another program listens, or token refused"),
];

/// The exit codes in two columns.
pub(crate) fn help() -> String {
    let (left, right) = EXIT_STATUS.split_at(EXIT_STATUS.len().div_ceil(2));
    let mut help = "Exit codes:".to_owned();
    for (row, (code, meaning)) in left.iter().enumerate() {
        help.push_str(&format!("\n{code:4}  {meaning:28}"));
        if let Some((code, meaning)) = right.get(row) {
            help.push_str(&format!("{code:4}  {meaning}"));
        }
    }
    help
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("without a home directory, prosed can't be found: name its folder with --runtime-dir")]
    NoHome,
    #[error("prosed is not running ({0}): {how}", how = Service::find().start_in_words())]
    NotRunning(String),
    #[error("{0}: {how}", how = .0.fix())]
    Elsewhere(Elsewhere),
    #[error("{0}. Another user's program may have prosed's port or socket: run `prosectl doctor`")]
    Impostor(ClientError),
    #[error("prosed does not answer ({0}): {how}", how = Service::find().restart_in_words())]
    NoAnswer(String),
    #[error(
        "prosed refused the connection with HTTP status {0}: the token may not be the running daemon's; restart prosed"
    )]
    Refused(u16),
    #[error("the token can't be read or written: {0}")]
    Token(std::io::Error),
    #[error("faults found: {0}")]
    Unwell(usize),
    #[error(
        "prosed has no port: it was started with --no-listen, or another program has the address that `listen` in \
         config.toml names; `prosectl doctor` finds out"
    )]
    NoPort,
    #[error("prosed serves no Unix socket: see `prosectl endpoint url`")]
    NoSocket,
    #[error("the page that opens the console can't be written: {0}")]
    Page(std::io::Error),
    #[error("{message}")]
    Rpc { code: i32, message: String, data: Option<Value> },
    #[error("the password can't be read: {0}")]
    Password(String),
    #[error(r#"the parameters are not JSON, as in '{{"limit": 3}}': {0}"#)]
    Params(String),
    #[error("a call can't subscribe: use `prosectl events --follow`")]
    Subscription,
    #[error("{path} can't be read: {1}", path = .0.display())]
    Unreadable(PathBuf, std::io::Error),
    #[error("{path} can't be written: {1}", path = .0.display())]
    File(PathBuf, std::io::Error),
    #[error("a terminal can't show a picture: name a file, or use a pipe")]
    Terminal,
    #[error("there is no manual page for {0}: prosectl has no such command")]
    NoPage(String),
    #[error("prosed gave an unexpected answer: {0}")]
    Damaged(String),
    #[error("{0}")]
    Connection(ClientError),
    #[error("the output can't be written: {0}")]
    Output(std::io::Error),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        ClientError::Call(error.into()).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Endpoint(error @ (EndpointError::Absent(_) | EndpointError::Stale(_))) => {
                Elsewhere::find().map_or_else(|| Self::NotRunning(error.to_string()), Self::Elsewhere)
            }
            ClientError::Impostor(_) => Self::Impostor(error),
            ClientError::Endpoint(error) => Self::NoAnswer(error.to_string()),
            ClientError::Unreachable(text) => Self::NoAnswer(text),
            ClientError::Refused(status) => Self::Refused(status),
            ClientError::Token(error) => Self::Token(error),
            ClientError::Call(error) => Self::Rpc {
                code: error.code(),
                message: error.message().to_owned(),
                data: error.data().and_then(|data| serde_json::from_str(data.get()).ok()),
            },
            other => Self::Connection(other),
        }
    }
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunning(_) | Self::Elsewhere(_) | Self::NoAnswer(_) | Self::NoPort | Self::NoSocket => {
                UNAVAILABLE
            }
            Self::Refused(_) | Self::Token(_) | Self::Impostor(_) => NO_PERMISSION,
            Self::Password(_) | Self::Params(_) | Self::Unreadable(..) | Self::NoHome => NO_INPUT,
            Self::NoPage(_) | Self::Terminal | Self::Subscription => USAGE,
            Self::File(..) | Self::Page(_) => CANT_CREATE,
            Self::Unwell(_) => UNWELL,
            Self::Damaged(_) => SOFTWARE,
            Self::Output(_) => IO,
            Self::Rpc { code: -32601 | -32602, .. } => USAGE,
            Self::Rpc { .. } => {
                let kind = self.kind();
                EXIT_CODES.iter().find(|(other, _)| Some(*other) == kind).map_or(OTHER, |(_, code)| *code)
            }
            Self::Connection(ClientError::Unexpected(_)) => SOFTWARE,
            Self::Connection(ClientError::TooSlow) => 52,
            Self::Connection(_) => IO,
        }
    }

    /// The kind of prosed's error, if this program knows it.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        let Self::Rpc { data: Some(data), .. } = self else { return None };
        ErrorKind::deserialize(data.get("kind")?).ok()
    }

    /// One sentence. It names options of the command line instead of parameters of the API.
    pub(crate) fn to_people(&self) -> String {
        match self.kind() {
            Some(ErrorKind::AccountRequired) => {
                "There are several accounts: name one with --account JID; `prosectl accounts` lists them."
                    .to_owned()
            }
            Some(ErrorKind::AccountUnknown) => {
                "There is no such account here: log in first, or see `prosectl accounts`.".to_owned()
            }
            Some(ErrorKind::ServerUnreachable) => {
                "The server can't be reached: check the network and the spelling of the domain, or log in with --host \
                 and --port; `prosectl doctor JID` finds the reason."
                    .to_owned()
            }
            Some(ErrorKind::CredentialsMissing) => {
                "No password is remembered for this account: log in on a terminal, or with --password-stdin or \
                 --password-command."
                    .to_owned()
            }
            Some(ErrorKind::TlsFailed) => {
                "The server's TLS connection is not trusted: ask its operator. If the server has its own \
                 certificate, get it from the operator, set `extra_ca` under `[tls]` in config.toml (`prosed \
                 --check-config` says where that is), and restart prosed."
                    .to_owned()
            }
            Some(ErrorKind::DowngradeRefused) => {
                "The server offers less security than before: ask its operator, then log in with \
                 --accept-downgrade."
                    .to_owned()
            }
            Some(ErrorKind::CursorExpired) => {
                "The events after --since are gone: `prosectl roster` shows the current state.".to_owned()
            }
            Some(ErrorKind::NotFound) => "Nothing was found: there is none, or the name is wrong.".to_owned(),
            // The reason follows.
            Some(ErrorKind::InvalidJid) if self.text().is_some() => "This JID can't be used here.".to_owned(),
            _ => self.to_string(),
        }
    }

    /// What the server or the system said, if anything.
    pub(crate) fn text(&self) -> Option<&str> {
        let Self::Rpc { data: Some(data), .. } = self else { return None };
        data.get("text").or(data.get("condition"))?.as_str()
    }

    /// The daemon's error object, or one of our own.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Rpc { code, message, data: Some(data) } => {
                json!({"code": code, "message": message, "data": data})
            }
            Self::Rpc { code, message, data: None } => json!({"code": code, "message": message}),
            other => json!({"message": other.to_string()}),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rpc(code: i32, data: Option<Value>) -> Failure {
        Failure::Rpc { code, message: "No.".to_owned(), data }
    }

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let mut codes = BTreeSet::from([
            OTHER,
            2,
            UNWELL,
            USAGE,
            NO_INPUT,
            UNAVAILABLE,
            SOFTWARE,
            CANT_CREATE,
            IO,
            NO_PERMISSION,
        ]);
        // Only `call` can cause JSON-RPC errors.
        for kind in ErrorKind::ALL.iter().filter(|kind| kind.code() > 0) {
            let data = serde_json::to_value(ApiError::new(*kind).data).unwrap();
            let code = rpc(kind.code(), Some(data)).exit_code();
            assert!(codes.insert(code), "{kind}: {code} is taken, or {kind} is not in the table");
        }
        // All of them are documented.
        codes.insert(0);
        assert_eq!(EXIT_STATUS.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), codes);
        assert_eq!(EXIT_STATUS.len(), codes.len());
    }

    #[test]
    fn what_is_not_ours_has_a_code_too() {
        assert_eq!(rpc(-32602, None).exit_code(), 64);
        assert_eq!(rpc(-32601, None).exit_code(), 64);
        assert_eq!(rpc(-32005, None).exit_code(), 1);
        assert_eq!(rpc(1999, Some(json!({"kind": "fromTheFuture"}))).exit_code(), 1);
        assert_eq!(Failure::from(ClientError::Refused(401)).exit_code(), 77);
        assert_eq!(Failure::from(ClientError::TimedOut).exit_code(), 74);
        assert_eq!(Failure::from(ClientError::TooSlow).exit_code(), 52);
    }

    #[test]
    fn no_daemon_is_said_in_one_sentence_with_what_to_do() {
        let failure =
            Failure::from(ClientError::Endpoint(EndpointError::Absent("/run/x/endpoint.json".into())));
        assert_eq!(failure.exit_code(), 69);
        let how = Service::find().start_in_words();
        assert_eq!(
            failure.to_string(),
            format!("prosed is not running (there is no /run/x/endpoint.json): {how}")
        );
    }

    #[test]
    fn people_are_told_what_to_type() {
        for (kind, word) in [
            (ErrorKind::AccountRequired, "--account JID"),
            (ErrorKind::AccountUnknown, "`prosectl accounts`"),
            (ErrorKind::ServerUnreachable, "--host"),
            (ErrorKind::CredentialsMissing, "--password-stdin"),
            (ErrorKind::TlsFailed, "`extra_ca`"),
            (ErrorKind::TlsFailed, "restart prosed"),
            (ErrorKind::ServerUnreachable, "spelling"),
            (ErrorKind::DowngradeRefused, "--accept-downgrade"),
            (ErrorKind::CursorExpired, "--since"),
        ] {
            let failure = Failure::from(ApiError::new(kind));
            assert!(failure.to_people().contains(word), "{kind}: {}", failure.to_people());
        }
        let own = ApiError::new(ErrorKind::InvalidJid).text("this is the account itself");
        assert!(!Failure::from(own).to_people().contains("valid"));
        // prosectl never subscribes over POST.
        for kind in ErrorKind::ALL.iter().filter(|kind| **kind != ErrorKind::SubscriptionNeedsWebSocket) {
            let said = Failure::from(ApiError::new(*kind)).to_people();
            let said = said.replace("extra_ca", "");
            assert!(!said.contains("placeholder"), "{kind}: {said}");
            assert!(!said.contains('_') && !said.contains("acceptDowngrade"), "{kind}: {said}");
        }
    }
}
