//! What a session starts from.

use std::collections::HashSet;

use jid::BareJid;

use crate::model::{
    CapsKey, CapsRecord, ImageId, OwnPresence, PersonRecord, RosterRecord, SubscriptionRequest,
};
use crate::time::Timestamp;

/// What the cache had of an account when the session began. All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The roster, if the server has ever sent one.
    pub roster: Option<RosterRecord>,
    /// What is known about contacts, and about our own bare JID.
    pub people: Vec<(BareJid, PersonRecord)>,
    /// When unavailable contacts were last seen.
    pub last_seen: Vec<(BareJid, Timestamp)>,
    /// Verified features by caps hash.
    pub caps: Vec<(CapsKey, CapsRecord)>,
    /// Unanswered requests to see our presence.
    pub requests: Vec<SubscriptionRequest>,
    /// Images of these people that are on disk.
    pub images: HashSet<ImageId>,
    /// As last set by `set_presence`.
    pub presence: OwnPresence,
}
