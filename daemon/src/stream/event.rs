//! What a stream is told, and what it tells.

use std::sync::Arc;
use std::time::SystemTime;

use jid::{BareJid, FullJid};
use prosed_session::{Mark, Unsent};
use xmpp_parsers::stanza::Stanza;

use super::{ConnectError, Pins, ScramKeys, TlsConfig};

/// Where and as whom to connect.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Whose account; certificates are checked for its domain, whatever host it is on.
    pub account: BareJid,
    /// What to bind; absent: the server chooses.
    pub resource: Option<String>,
    /// A host's name or an IP address, instead of what DNS says.
    pub host: Option<String>,
    /// Absent: 5222, or 5223 for direct TLS, or what DNS says.
    pub port: Option<u16>,
    /// Without a host of ours: which SRV records count.
    pub tls: crate::config::TlsMode,
    /// What the server is held to: see [`StreamEvent::Authenticated`].
    pub pins: Pins,
    /// The first login may fall short of the pins. It pins what the server offers then.
    pub accept_downgrade: bool,
    /// Bind the resource along with the login where the server offers that (XEP-0386). Such a server clears the
    /// messages that it kept for us: it counts on our asking its archive.
    pub bind2: bool,
    /// See [`tls_config`](super::tls_config).
    pub tls_config: Arc<TlsConfig>,
}

/// What to log in with. No `Debug`.
pub(crate) enum Credentials {
    /// Becomes keys where the server lets it: see [`StreamEvent::Authenticated`].
    Password(crate::credentials::Password),
    /// What an earlier login made of the password; never PLAIN.
    Keys(ScramKeys),
}

/// What happened.
pub(crate) enum StreamEvent {
    /// The server took the credentials and proved itself. Always before [`StreamEvent::Online`].
    Authenticated {
        /// To be kept instead of the password. Given once, when the server has shown that it asks
        /// for the same keys each time: at the first login as a rule.
        keys: Option<ScramKeys>,
        /// To be kept, and given at the next start: what logins can't do without from now on.
        pins: Pins,
    },
    /// A new stream is bound; nothing of an earlier one is left, and what waited to be sent is gone.
    Online {
        /// What the server bound; the account is ours for certain.
        jid: FullJid,
        /// The server sends what has changed of a roster, if it is asked for that (RFC 6121 §2.6.1).
        roster_versioning: bool,
        /// How many bytes of a stanza the server takes, where it says so (XEP-0478).
        stanza_bytes: Option<u32>,
        /// The server supports client states (XEP-0352).
        client_state: bool,
    },
    /// The stream came back with its state (XEP-0198).
    Resumed {
        /// As for [`StreamEvent::Online`]: another server may have taken it up.
        stanza_bytes: Option<u32>,
    },
    /// The connection is lost; the stream may yet resume. Only after `Online` or `Resumed`.
    Suspended,
    /// The connection of a suspended stream is to be replaced.
    Waiting {
        /// When the next attempt comes, at the latest.
        retry_at: SystemTime,
    },
    /// The server sent this.
    Stanza(Box<Stanza>),
    /// The server has these of the stanzas that we sent, and says so (XEP-0198).
    Acknowledged(Vec<Mark>),
    /// Nobody will acknowledge these. Those of a stream that is over come before the event that says so: `Online`, or a
    /// `ConnectFailed` after which there is no other attempt.
    Unsent(Unsent),
    /// An attempt failed.
    ConnectFailed {
        /// Why.
        error: ConnectError,
        /// When the next one comes; absent: it won't, and [`StreamEvent::Ended`] follows.
        retry_at: Option<SystemTime>,
    },
    /// Nothing will happen any more: [`Stream::next`](super::Stream::next) never returns again. Without a
    /// [`StreamEvent::ConnectFailed`] before it, something below us has failed badly.
    Ended,
}

impl StreamEvent {
    /// What became of stanzas with marks: told even to those who have closed the stream.
    pub(super) fn is_fate(&self) -> bool {
        matches!(self, Self::Acknowledged(_) | Self::Unsent(_))
    }
}
