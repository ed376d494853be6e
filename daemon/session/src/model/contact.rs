//! Contacts as UIs see them, and as the cache stores them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::image::{Avatar, AvatarRecord};
use super::presence::{Availability, Resource};
use super::profile::{ProfileRecord, ProfileSummary, ProfileUpdate};
use super::roster::Subscription;
use crate::time::Timestamp;

/// A roster item and everything known about its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Their bare JID.
    pub jid: BareJid,
    /// The name to show: roster name, else profile nickname or full name, else the JID's local part.
    pub name: String,
    /// The name that we gave the contact.
    pub roster_name: Option<String>,
    /// The groups that we put the contact in.
    pub groups: Arc<BTreeSet<String>>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We requested their presence, and have no answer yet.
    pub ask: bool,
    /// We approved their request in advance.
    pub approved: bool,
    /// That of the best resource.
    pub availability: Availability,
    /// That of the best resource.
    pub status: Option<String>,
    /// Resources that are online, best first.
    pub resources: Vec<Resource>,
    /// If unavailable: when they were last known to be available.
    pub last_seen: Option<Timestamp>,
    /// Their name or JID looks like somebody else's, and is a different one.
    pub look_alike: bool,
    /// The picture, once it is saved.
    pub avatar: Option<Avatar>,
    /// The vCard's summary.
    pub profile: Option<Arc<ProfileSummary>>,
}

/// What is known about a JID apart from its roster item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// Their avatar's metadata.
    pub avatar: Declared<AvatarRecord>,
    /// Their profile, by source.
    pub profile: ProfileRecord,
    /// When we last queried what the server had not pushed.
    pub asked_at: Option<Timestamp>,
}

impl PersonRecord {
    /// Makes these changes.
    pub fn update(&mut self, update: &PersonUpdate) {
        let PersonUpdate { avatar, profile, asked_at } = update;
        self.avatar.clone_from(avatar);
        self.profile.update(profile);
        self.asked_at = *asked_at;
    }
}

/// Changes to a [`PersonRecord`]: everything except the profiles that stay as they are, which the session no longer
/// has in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in the record")]
pub struct PersonUpdate {
    pub avatar: Declared<AvatarRecord>,
    pub profile: ProfileUpdate,
    pub asked_at: Option<Timestamp>,
}
