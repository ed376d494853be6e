//! Cached state in, writes out: the records in the cache.
//!
//! Records are encoded by position (not self-describing): changing their fields changes the cache's format, so the
//! shell's version byte must go up.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::command::SubscriptionRequest;
use crate::contact::{Availability, Profile, Subscription};
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

/// What is known about a JID apart from its roster item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// Their avatar's metadata; `Some(None)`: they declared to have none.
    pub avatar: Option<Option<AvatarRecord>>,
    /// Their profile, by source.
    pub profile: ProfileRecord,
    /// When we last queried what the server had not pushed.
    pub asked_at: Option<Timestamp>,
}

/// An avatar's metadata (XEP-0084 §4.2, or XEP-0153's hash).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarRecord {
    /// Names the image.
    pub id: ImageId,
    /// Found by inspecting the bytes; absent until they are saved.
    pub image: Option<ImageInfo>,
    /// From a vcard-temp (XEP-0153), so that a XEP-0084 avatar takes precedence.
    pub legacy: bool,
    /// The id of its item, if the owner spells the SHA-1 differently.
    pub spelling: Option<String>,
}

/// What the bytes of an image say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// By magic bytes, regardless of the announced type.
    pub kind: ImageType,
    /// Size of the file, in bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// The SHA-1 of an image's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageId(pub [u8; 20]);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 40];
        hex::encode_to_slice(self.0, &mut hex).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a SHA-1 in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-1 in hexadecimal digits")]
pub struct NotAnImageId;

impl std::str::FromStr for ImageId {
    type Err = NotAnImageId;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 20];
        hex::decode_to_slice(hex, &mut id).map_err(|_| NotAnImageId)?;
        Ok(Self(id))
    }
}

/// The image formats that we accept. Never SVG: it can carry scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageType {
    /// `image/gif`
    Gif,
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
}

impl ImageType {
    /// The media type, as in `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
        }
    }
}

/// Profiles by source, kept apart so that a late event on a less preferred node overwrites nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// From `urn:xmpp:vcard4` (XEP-0292); takes precedence.
    pub vcard4: Option<Arc<Profile>>,
    /// From `urn:ietf:params:xml:ns:vcard-4.0`, the node of the Prose clients.
    pub prose: Option<Arc<Profile>>,
    /// From vcard-temp (XEP-0054), if there is neither.
    pub temp: Option<Arc<Profile>>,
}

/// A caps hash (XEP-0115 §4): the algorithm is part of its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CapsKey {
    /// `sha-1` or `sha-256`.
    pub hash: String,
    /// The verification string, base64.
    pub ver: String,
}

/// What a client says about itself (XEP-0030 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsRecord {
    /// The first identity: category, type, name.
    pub identity: Option<(String, String, Option<String>)>,
    /// Its features; records may share the texts.
    pub features: BTreeSet<Arc<str>>,
}

impl CapsKey {
    /// The size of its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.hash.len() + self.ver.len()
    }
}

impl CapsRecord {
    /// Its size in memory, at most: counted as if it shared nothing. Cached rows beyond [`crate::bounds::CAPS_BYTES`]
    /// are not needed.
    pub fn bytes(&self) -> usize {
        /// A text's overhead: its place in the set, its counts, the allocator's rounding.
        const EACH: usize = 48;
        let identity = self.identity.iter().map(|(category, type_, name)| {
            3 * EACH + category.len() + type_.len() + name.as_ref().map_or(0, String::len)
        });
        let features = self.features.iter().map(|feature| EACH + feature.len());
        size_of::<Self>() + EACH + identity.chain(features).sum::<usize>()
    }
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
