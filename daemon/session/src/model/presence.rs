//! Presences: ours, and those of devices.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::caps::CapsRecord;
use crate::time::Timestamp;

/// One connected device of a contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The JID's resource part; empty for the bare JID, which gateways use.
    pub resource: String,
    /// Never [`Availability::Unavailable`].
    pub availability: Availability,
    /// Status text.
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3.
    pub priority: i8,
    /// When this presence arrived, or was sent if the server says so (XEP-0203).
    pub since: Timestamp,
    /// Idle since (XEP-0319).
    pub idle_since: Option<Timestamp>,
    /// The program and its features, if announced (XEP-0115).
    pub client: Option<Arc<CapsRecord>>,
}

/// Availability (RFC 6121 §4.7.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    /// Wants to talk.
    Chat,
    /// Available.
    #[default]
    Available,
    /// Away for a moment.
    Away,
    /// Away for longer.
    Xa,
    /// Does not want to be disturbed.
    Dnd,
    /// Unavailable.
    Unavailable,
}

/// Our own presence as last set by `set_presence`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPresence {
    /// The availability that contacts see.
    pub availability: Availability,
    /// Status text.
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3; absent: the session decides.
    pub priority: Option<i8>,
}
