//! Why a call did not succeed.

/// A failure as UIs see it. Each variant is one error code of the API: two failures that a UI would treat alike are
/// one variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Failure {
    /// The server refused the credentials. Final until there are new ones.
    #[error("the server refused the credentials: {text}")]
    NotAuthorized { condition: String, text: String },
    /// The server says that the account is disabled.
    #[error("the server says that the account is disabled: {text}")]
    AccountDisabled { text: String },
    /// DNS, TCP or a time-out.
    #[error("the server can't be reached: {text}")]
    ServerUnreachable { text: String },
    /// Certificate or handshake.
    #[error("no trustworthy TLS connection: {text}")]
    TlsFailed { text: String },
    /// The server violated XMPP.
    #[error("the server broke the protocol: {text}")]
    ProtocolViolation { text: String },
    /// The server's offer is weaker than it once was.
    #[error("the server no longer offers what it did: {text}")]
    DowngradeRefused { text: String },
    /// Another client took our resource.
    #[error("another client took our resource")]
    SessionReplaced,
    /// The call needs the server and the session is down.
    #[error("the account is offline")]
    Offline,
    /// Not possible with this address.
    #[error("not with this address: {text}")]
    InvalidJid { text: String },
    /// No such contact in the roster.
    #[error("no such contact")]
    ContactUnknown,
    /// No avatar, profile or similar item there.
    #[error("nothing there")]
    NotFound,
    /// Not an image that we accept, too large, or not what it claims to be.
    #[error("not an acceptable image: {text}")]
    InvalidMedia { text: String },
    /// The server or peer answered with a stanza error (RFC 6120 §8.3).
    #[error("refused: {condition}")]
    StanzaError { condition: String, text: String },
    /// No answer arrived in time.
    #[error("no answer in time")]
    RequestTimedOut,
    /// A bound of ours was reached.
    #[error("limit reached: {what} ({limit})")]
    LimitExceeded { what: &'static str, limit: usize },
    /// It would take a stanza larger than the server accepts. Nothing was sent.
    #[error("larger than the server takes: {limit} bytes a stanza")]
    TooLarge { limit: usize },
    /// The disk is full or broken. Nothing was acknowledged.
    #[error("the data could not be stored or read")]
    StorageFailed,
    /// A bug in prosed ended the session. `again`: it restarts by itself.
    #[error("prosed failed internally")]
    Internal { again: bool },
}

impl Failure {
    /// Whether a failed connection attempt may succeed on its own within seconds. If so, callers keep waiting.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::ServerUnreachable { .. })
    }

    /// Whether it says that there is no such item, node or service.
    pub(crate) fn is_not_found(&self) -> bool {
        const CONDITIONS: &[&str] = &["feature-not-implemented", "item-not-found", "service-unavailable"];
        match self {
            Self::NotFound => true,
            Self::StanzaError { condition, .. } => CONDITIONS.contains(&condition.as_str()),
            _ => false,
        }
    }

    /// Whether the entity said that there is nothing, or nothing for us. An unreachable or troubled server, or one
    /// that asks for fewer queries (RFC 6120 §8.3.3), says nothing about what exists.
    pub(crate) fn tells_of_absence(&self) -> bool {
        const TROUBLE: &[&str] = &[
            "internal-server-error",
            "policy-violation",
            "remote-server-not-found",
            "remote-server-timeout",
            "resource-constraint",
        ];
        matches!(self, Self::StanzaError { condition, .. } if !TROUBLE.contains(&condition.as_str()))
    }
}
