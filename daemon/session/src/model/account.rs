//! The account as UIs see it.

use std::sync::Arc;

use jid::{BareJid, FullJid};

use super::image::Avatar;
use super::presence::{Availability, Resource};
use super::profile::ProfileSummary;
use crate::failure::Failure;
use crate::time::Timestamp;

/// Our own state.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Our bare JID.
    pub account: BareJid,
    /// Our full JID, while bound.
    pub jid: Option<FullJid>,
    /// The state of the session.
    pub state: ConnectionState,
    /// When this state began.
    pub since: Timestamp,
    /// When the server was last heard from.
    pub last_stanza_at: Option<Timestamp>,
    /// When the next attempt to connect is due.
    pub retry_at: Option<Timestamp>,
    /// Why it failed, or why the last attempt did.
    pub failure: Option<Failure>,
    /// As last set by `set_presence`.
    pub availability: Availability,
    /// As last set by `set_presence`.
    pub status: Option<String>,
    /// Our vCard's summary.
    pub profile: Option<Arc<ProfileSummary>>,
    /// Our picture, once it is saved.
    pub avatar: Option<Avatar>,
    /// Our other devices that are online, best first.
    pub resources: Vec<Resource>,
    /// The server's roster exceeds [`crate::bounds::ROSTER_CONTACTS`] or [`crate::bounds::ROSTER_BYTES`]: some contacts are left
    /// out.
    pub roster_truncated: bool,
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Connecting, or waiting for the next attempt.
    Connecting,
    /// Bound.
    Online,
    /// The connection is lost, and the stream may yet resume.
    Suspended,
    /// Down because a user asked for it.
    Offline,
    /// Down until a user acts.
    Failed,
}
