//! Errors as UIs see them. Codes are never reused.

use std::fmt;

use jsonrpsee_types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! error_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $code:literal, $retryable:literal, $message:literal;)+) => {
        /// What went wrong, as an identifier for programs. Each has its own `code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub enum ErrorKind {
            $($(#[doc = $doc])+ $kind,)+
            /// A value that this version of the client does not know. The daemon never sends it.
            #[serde(other)]
            #[schemars(skip)]
            Unknown,
        }

        impl ErrorKind {
            /// All kinds that the daemon sends, by code.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The JSON-RPC error code.
            pub const fn code(self) -> i32 {
                match self { $(Self::$kind => $code,)+ Self::Unknown => -32000 }
            }

            /// One plain sentence that says what to do.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$kind => $message,)+
                    Self::Unknown => "An error that only newer clients know: see its message.",
                }
            }

            /// Whether the same call may succeed later without any change.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$kind => $retryable,)+ Self::Unknown => false }
            }
        }
    };
}

error_kinds! {
    /// The message is not JSON (JSON-RPC 2.0).
    ParseError = -32700, false, "This is not JSON: send a JSON-RPC 2.0 request in UTF-8.";
    /// The parameters are unknown, missing or of the wrong type; `message` lists those that exist (JSON-RPC 2.0).
    InvalidParams = -32602, false, "The parameters are wrong: rpc.discover describes those of each method.";
    /// There is no such method; `message` lists those with similar names (JSON-RPC 2.0).
    MethodNotFound = -32601, false, "There is no such method: rpc.discover lists all.";
    /// It is JSON but not a request (JSON-RPC 2.0).
    InvalidRequest = -32600, false, "This is not a JSON-RPC 2.0 request: send an object with jsonrpc, id, method and params.";
    /// The server refused the credentials. Final until there are new ones.
    NotAuthorized = 1001, false, "The server refused the credentials: log in again with the right password.";
    /// No password was given, and none is remembered.
    CredentialsMissing = 1002, false, "No password is remembered for this account: log in with one.";
    /// There is no such account here.
    AccountUnknown = 1003, false, "There is no such account here: log in first, or see list_accounts.";
    /// There are several accounts, and none was named.
    AccountRequired = 1004, false, "There are several accounts: say which one with the parameter account.";
    /// The server says that the account is disabled.
    AccountDisabled = 1005, false, "The server says that this account is disabled: ask its operator.";
    /// DNS or TCP failed, or the server did not answer in time.
    ServerUnreachable = 1101, true, "The server can't be reached: check the network, or name host and port.";
    /// The certificate or the handshake is bad; `text` has the details.
    TlsFailed = 1102, false, "The server's TLS connection is not trusted: ask its operator, or name its certificate as extra_ca in config.toml.";
    /// The server violated XMPP, or lied to us.
    ProtocolViolation = 1103, false, "The server broke the XMPP protocol, which prosed can't work around: ask its operator.";
    /// Another client took our resource.
    SessionReplaced = 1104, false, "Another client took over this session: log in again to take it back.";
    /// The call needs the server, and the session is down.
    Offline = 1105, true, "The account is offline: wait until it is online, or log in.";
    /// The server's offer is weaker than it once was, and nothing was sent to it; `text` says what is missing.
    DowngradeRefused = 1106, false, "The server no longer offers what kept your login safe: ask its operator, then log in with acceptDowngrade.";
    /// There is no such contact in the roster.
    ContactUnknown = 1201, false, "There is no such contact in the roster: check the JID.";
    /// There is no such avatar, profile or group.
    NotFound = 1202, false, "Nothing was found: show a placeholder, or check the name.";
    /// This is not a valid JID, or not one that the call can use; `text` says why.
    InvalidJid = 1203, false, "This is not a valid JID: write it as name@example.org.";
    /// Not an image that prosed accepts, too large, or not what it claims to be.
    InvalidMedia = 1204, false, "This image is not acceptable: use a PNG, JPEG, WebP or GIF of at most 1 MiB.";
    /// The server or the peer answered with a stanza error; `condition` and `text` are theirs.
    StanzaError = 1301, false, "The server or the contact refused this: change the request, or ask the server's operator.";
    /// The server or the peer did not answer in time.
    RequestTimedOut = 1302, true, "No answer came in time: try again.";
    /// `since` is older than the oldest retained event, which is `oldest`, or from before this start.
    CursorExpired = 1401, false, "The events after since are gone: load the state again, then subscribe from its seq.";
    /// The subscriber was too slow, and its subscription has ended; `seq` is the last event it got.
    Lagged = 1402, true, "This subscriber was too slow, and events are gone: load the state again, then subscribe from its seq.";
    /// A subscription was asked for over POST.
    SubscriptionNeedsWebSocket = 1403, false, "Subscriptions need a WebSocket: connect to one, or poll with get_events.";
    /// A limit was reached: `limit` names it, `value` is its value. `retryable` says whether it is worth trying again.
    /// Some limits of a connection have their own codes.
    LimitExceeded = 1404, true, "A limit was reached: ask for less at a time.";
    /// The disk is full or broken. Nothing was acknowledged.
    StorageFailed = 1501, true, "The data could not be stored or read: check the disk's free space and health.";
    /// A bug in prosed ended the account's session; other accounts are not affected.
    InternalError = 1601, true, "prosed failed internally and restarts this account: try again, and report it.";
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The details of an error for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The account that it concerns: a bare JID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
    /// Wait this long before retrying, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The XMPP condition, as in `item-not-found` (RFC 6120).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What the server, the peer or the system said. Show it as plain text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `cursorExpired`: the `seq` of the oldest retained event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// `lagged`: the `seq` of the last event that was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// `limitExceeded`: which limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// `limitExceeded`: the limit's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
}

/// An error object, in answers and accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ApiError {
    /// Unique for each kind.
    pub code: i32,
    /// One plain sentence that says what to do.
    pub message: String,
    /// For programs.
    pub data: ErrorData,
}

impl ApiError {
    /// An error of this kind, with its default message.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            code: kind.code(),
            message: kind.message().to_owned(),
            data: ErrorData {
                kind,
                account: None,
                retryable: kind.retryable(),
                retry_after_ms: None,
                condition: None,
                text: None,
                oldest: None,
                seq: None,
                limit: None,
                value: None,
            },
        }
    }

    /// `cursorExpired`, with the `seq` of the oldest retained event.
    pub fn cursor_expired(oldest: u64) -> Self {
        let mut error = Self::new(ErrorKind::CursorExpired);
        error.data.oldest = Some(oldest);
        error
    }

    /// `lagged`, with the `seq` of the last event that was delivered.
    pub fn lagged(seq: u64) -> Self {
        let mut error = Self::new(ErrorKind::Lagged);
        error.data.seq = Some(seq);
        error
    }

    /// `limitExceeded`, with the limit's name and value.
    pub fn limit_exceeded(limit: impl Into<String>, value: u64) -> Self {
        let (mut error, limit) = (Self::new(ErrorKind::LimitExceeded), limit.into());
        error.message = format!("A limit was reached ({limit}: at most {value}): ask for less at a time.");
        error.data.limit = Some(limit);
        error.data.value = Some(value);
        error
    }

    /// Replaces the kind's code.
    pub fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// Replaces the kind's message.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The account that it concerns.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.data.account = Some(account.into());
        self
    }

    /// Whether the same call may succeed later, if that differs from the kind's default.
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.data.retryable = retryable;
        self
    }

    /// How long to wait before retrying, in milliseconds. Makes it retryable.
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.data.retryable = true;
        self.data.retry_after_ms = Some(milliseconds);
        self
    }

    /// `stanzaError`, with the XMPP condition (RFC 6120 §8.3.3) and a message for it.
    pub fn refused(condition: &str) -> Self {
        Self::new(ErrorKind::StanzaError).message(refusal(condition)).condition(condition)
    }

    /// The XMPP condition.
    pub fn condition(mut self, condition: impl Into<String>) -> Self {
        self.data.condition = Some(condition.into());
        self
    }

    /// What the server, the peer or the system said. An empty text counts as none.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.data.text = Some(text.into()).filter(|text| !text.is_empty());
        self
    }
}

/// What a refusal with this condition means, and what to do.
fn refusal(condition: &str) -> &'static str {
    match condition {
        "item-not-found" => "The server or the contact has nothing of this name: check the JID.",
        "jid-malformed" => "The server does not accept this JID: check how it is spelled.",
        "remote-server-not-found" => {
            "The contact's server can't be found: check the part of the JID after the @."
        }
        "remote-server-timeout" => "The contact's server does not answer: try again later.",
        "forbidden" | "not-allowed" | "not-authorized" => {
            "The server or the contact does not allow this: ask the server's operator, or the contact."
        }
        "registration-required" | "subscription-required" => {
            "The server or the contact allows this only to those whom they know: subscribe or register first."
        }
        "policy-violation" => "This breaks a rule of the server: ask its operator which one.",
        "resource-constraint" => "The server or the contact has no room or time for this: try again later.",
        "feature-not-implemented" | "service-unavailable" => {
            "The server or the contact does not offer this: do without it, or ask the server's operator."
        }
        "internal-server-error" => "The server failed internally: try again later, or ask its operator.",
        _ => ErrorKind::StanzaError.message(),
    }
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<ApiError> for ErrorObjectOwned {
    fn from(error: ApiError) -> Self {
        Self::owned(error.code, error.message, Some(error.data))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_ordered() {
        let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        let unique: BTreeSet<_> = codes.iter().copied().collect();
        assert_eq!(codes, unique.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn each_message_is_one_sentence() {
        for kind in ErrorKind::ALL {
            assert!(kind.message().ends_with('.'), "{kind}: {}", kind.message());
        }
    }

    /// People may be shown the message alone.
    #[test]
    fn no_message_only_refers_to_a_field() {
        let kinds = ErrorKind::ALL.iter().map(|kind| kind.message().to_owned());
        let conditions = ["item-not-found", "forbidden", "policy-violation", "gone", "not-one-of-xmpp"];
        let refusals = conditions.map(|condition| ApiError::refused(condition).message);
        let limit = ApiError::limit_exceeded("calls in a batch", 32).message;
        assert_eq!(limit, "A limit was reached (calls in a batch: at most 32): ask for less at a time.");
        for message in kinds.chain(refusals).chain([limit]) {
            let fields = ["text", "message", "condition", "limit", "value"];
            assert!(!fields.iter().any(|field| message.contains(&format!("see {field}"))), "{message}");
            assert!(message.contains(": "), "it does not say what to do: {message}");
        }
    }

    #[test]
    fn absent_fields_are_absent() {
        let object = ErrorObjectOwned::from(ApiError::new(ErrorKind::Offline));
        assert_eq!(object.code(), 1105);
        assert_eq!(object.data().unwrap().get(), r#"{"kind":"offline","retryable":true}"#);
    }

    #[test]
    fn carries_what_helps_to_recover() {
        let error = ApiError::cursor_expired(7).account("me@example.org").retry_after_ms(1500).text("");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json["data"],
            serde_json::json!({"kind": "cursorExpired", "account": "me@example.org", "retryable": true,
                               "retryAfterMs": 1500, "oldest": 7})
        );
        assert_eq!(serde_json::from_value::<ApiError>(json).unwrap(), error);
    }
}
