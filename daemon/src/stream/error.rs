//! Why there is no connection.

use std::io;

use minidom::Element;
use prosed_session::Failure;
use xmpp_parsers::ns;

use super::reach::tls::reason;

/// Why there is no connection. Each variant is one error of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The server refused the credentials. Final.
    #[error("the server refused the credentials: {text} ({condition})")]
    NotAuthorized {
        /// SASL's name for it (RFC 6120 §6.5).
        condition: String,
        /// The server's words.
        text: String,
    },
    /// The server says that the account is disabled. Final.
    #[error("the server says that the account is disabled: {text}")]
    AccountDisabled {
        /// The server's words.
        text: String,
    },
    /// DNS, TCP or a time-out. Tried again.
    #[error("the server can't be reached: {text}")]
    Unreachable {
        /// What failed.
        text: String,
    },
    /// Certificate or handshake. Tried again, slowly.
    #[error("no trusted TLS connection: {text}")]
    Tls {
        /// Which, and why.
        text: String,
    },
    /// The server broke XMPP. Tried again, slowly; final where it bound us to
    /// somebody else's account.
    #[error("the server broke the protocol: {text}")]
    Protocol {
        /// What it did.
        text: String,
    },
    /// The server offers less than it once did. Nothing was said. Retried, slowly: an attacker in between
    /// may go away.
    #[error("the server no longer offers what it did: {text}")]
    Downgrade {
        /// What is missing.
        text: String,
    },
    /// Another client took our resource. Final.
    #[error("another client took our resource")]
    Replaced,
}

impl ConnectError {
    /// Another attempt would end in the same way, or do harm.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::NotAuthorized { .. } | Self::AccountDisabled { .. } | Self::Replaced => true,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Protocol { .. } | Self::Downgrade { .. } => {
                false
            }
        }
    }

    pub(super) fn from_io(error: io::Error) -> Self {
        if let Some(text) = reason(&error) {
            return Self::Tls { text: short(&text) };
        }
        let text = short(&error.to_string());
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol { text },
            _ => Self::Unreachable { text },
        }
    }

    pub(super) fn closed() -> Self {
        Self::Unreachable { text: "the server closed the stream".to_owned() }
    }
}

/// Why the server ended the stream, and where it sends us instead, if it does (RFC 6120 §4.9).
pub(super) fn stream_error(element: &Element) -> (ConnectError, Option<String>) {
    let is_condition = |child: &&Element| child.ns() == ns::XMPP_STREAMS && child.name() != "text";
    let found = element.children().find(is_condition);
    let text = element.get_child("text", ns::XMPP_STREAMS).map(Element::text);
    let error = ended_over(found.map_or("no reason", Element::name), text.as_deref());
    (error, found.filter(|found| found.name() == "see-other-host").map(Element::text))
}

/// The server ended the stream with this condition and text.
pub(super) fn ended_over(condition: &str, text: Option<&str>) -> ConnectError {
    let words = text.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default();
    match condition {
        // The server is there, and trying again within seconds is no use.
        "host-unknown" | "host-gone" => ConnectError::Protocol {
            text: short(&format!("the server does not serve this domain: {condition}{words}")),
        },
        _ => ConnectError::Unreachable {
            text: short(&format!("the server ended the stream: {condition}{words}")),
        },
    }
}

/// Why none of a domain's places would do.
#[derive(Default)]
pub(super) struct Refusals(Option<ConnectError>);

impl Refusals {
    /// That a place does not answer tells less than what another one had to say.
    pub(super) fn add(&mut self, error: ConnectError) {
        if self.0.as_ref().is_none_or(|worst| matches!(worst, ConnectError::Unreachable { .. })) {
            self.0 = Some(error);
        }
    }

    /// The one to tell of. `trouble`: what DNS could not be asked.
    pub(super) fn into_error(self, domain: &str, trouble: Option<String>) -> ConnectError {
        let worst = self.0;
        let worst =
            worst.unwrap_or_else(|| ConnectError::Unreachable { text: format!("nowhere to reach {domain}") });
        match (worst, trouble) {
            (ConnectError::Unreachable { text }, Some(trouble)) => {
                ConnectError::Unreachable { text: short(&format!("{trouble}; {text}")) }
            }
            (worst, _) => worst,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotAuthorized { condition, text } => Self::NotAuthorized { condition, text },
            ConnectError::AccountDisabled { text } => Self::AccountDisabled { text },
            ConnectError::Unreachable { text } => Self::ServerUnreachable { text },
            ConnectError::Tls { text } => Self::TlsFailed { text },
            ConnectError::Protocol { text } => Self::ProtocolViolation { text },
            ConnectError::Downgrade { text } => Self::DowngradeRefused { text },
            ConnectError::Replaced => Self::SessionReplaced,
        }
    }
}

/// A server's words, cut to what a UI can show, without control characters.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

pub(super) fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
