//! The roster, and who sees whose presence.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Who sees whose presence (RFC 6121 §2.1.2.5), from our point of view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subscription {
    /// Nobody.
    #[default]
    None,
    /// We see theirs.
    To,
    /// They see ours.
    From,
    /// Both.
    Both,
}

/// A roster as sent by the server (RFC 6121 §2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RosterRecord {
    /// The server's opaque version (RFC 6121 §2.6), if any.
    pub version: Option<String>,
    /// The contacts, in any order.
    pub items: Vec<RosterItem>,
}

/// One contact of the roster (RFC 6121 §2.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterItem {
    /// Whose item it is.
    pub jid: BareJid,
    /// The resource part of the item's JID, if any, as in items of some gateways: the server has the item under the
    /// full JID (§2.1.2.3).
    pub resource: Option<String>,
    /// The name that we gave the contact.
    pub name: Option<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We requested their presence, and have no answer yet.
    pub ask: bool,
    /// We approved their request in advance.
    pub approved: bool,
    /// The groups that we put the contact in; items may share them.
    pub groups: Arc<BTreeSet<String>>,
}

/// A request to see our presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionRequest {
    /// Who sent it: a contact or a stranger.
    pub jid: BareJid,
    /// What they call themselves (XEP-0172).
    pub nick: Option<String>,
    /// Their message (§3.1.1).
    pub message: Option<String>,
    /// When it first reached us.
    pub received_at: Timestamp,
    /// Their JID or nickname looks like that of somebody else whom we know, or like ours, and is a different one. Not
    /// stored: it depends on the roster.
    #[serde(skip)]
    pub look_alike: bool,
}

/// Lets items with the same groups share them: of thousands of contacts, most are in one of a few dozen.
pub(crate) fn share_groups(items: &mut [RosterItem]) {
    let mut known: HashSet<Arc<BTreeSet<String>>> = HashSet::new();
    for item in items {
        match known.get(&item.groups) {
            Some(shared) => item.groups = Arc::clone(shared),
            None => drop(known.insert(Arc::clone(&item.groups))),
        }
    }
}
