//! Cached state in, writes out: the records that the cache keeps for us.
//!
//! Records are encoded by position (not self-describing): a change of their fields is a change of
//! the cache's format, and the shell's version byte goes up.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::command::SubscriptionRequest;
use crate::contact::{Availability, Profile, Subscription};
use crate::time::Timestamp;

/// What the cache knew of an account when the session began. All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The roster, if the server ever gave us one.
    pub roster: Option<RosterRecord>,
    /// What is known of contacts, and of our own bare JID.
    pub people: Vec<(BareJid, PersonRecord)>,
    /// When contacts who are away were last there.
    pub last_seen: Vec<(BareJid, Timestamp)>,
    /// Verified features by caps hash.
    pub caps: Vec<(CapsKey, CapsRecord)>,
    /// Who had asked to see our presence, and had no answer.
    pub requests: Vec<SubscriptionRequest>,
    /// Images of these people that are on disk.
    pub images: HashSet<ImageId>,
    /// What `set_presence` said last.
    pub presence: OwnPresence,
}

/// A roster as the server gave it (RFC 6121 §2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RosterRecord {
    /// The server's opaque version (RFC 6121 §2.6), where it has any.
    pub version: Option<String>,
    /// The contacts, in any order.
    pub items: Vec<RosterItem>,
}

/// One contact of the roster (RFC 6121 §2.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterItem {
    /// Whose item it is.
    pub jid: BareJid,
    /// The resource part of the item's JID, where it has one, as items of some gateways do: the server knows
    /// the item by the full JID (§2.1.2.3).
    pub resource: Option<String>,
    /// The name that we gave the contact.
    pub name: Option<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We asked for their presence, and have no answer yet.
    pub ask: bool,
    /// We approved their asking in advance.
    pub approved: bool,
    /// The groups that we put the contact in; items may have them in common.
    pub groups: Arc<BTreeSet<String>>,
}

/// What we know of somebody apart from their roster item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// Their avatar's metadata; `Some(None)`: they have none, and said so.
    pub avatar: Option<Option<AvatarRecord>>,
    /// Their profile, by where it came from.
    pub profile: ProfileRecord,
    /// When we last asked for what the server had not pushed.
    pub asked_at: Option<Timestamp>,
}

/// An avatar's metadata (XEP-0084 §4.2, or XEP-0153's hash).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarRecord {
    /// Names the image.
    pub id: ImageId,
    /// Found by looking at the bytes; absent until they are saved.
    pub image: Option<ImageInfo>,
    /// From a vcard-temp (XEP-0153), so that a real XEP-0084 avatar wins over it.
    pub legacy: bool,
    /// The id of the item that has it, where its owner spells the SHA-1 in another way than we do.
    pub spelling: Option<String>,
}

/// What the bytes of an image say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// By magic bytes, whatever was announced.
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

/// A profile by source, kept apart so that a late event on the lesser node overwrites nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// From `urn:xmpp:vcard4` (XEP-0292); it wins.
    pub vcard4: Option<Arc<Profile>>,
    /// From `urn:ietf:params:xml:ns:vcard-4.0`, the node of the Prose clients.
    pub prose: Option<Arc<Profile>>,
    /// From vcard-temp (XEP-0054), where there is neither.
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

/// What a client says of itself (XEP-0030 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsRecord {
    /// The first identity: category, type, name.
    pub identity: Option<(String, String, Option<String>)>,
    /// What it supports; records may have the texts in common.
    pub features: BTreeSet<Arc<str>>,
}

impl CapsKey {
    /// What the texts take.
    pub(crate) fn bytes(&self) -> usize {
        self.hash.len() + self.ver.len()
    }
}

impl CapsRecord {
    /// What it takes in memory, at most: counted as though it shared nothing. Rows of a cache that hold more
    /// than [`crate::bounds::CAPS_BYTES`] are not needed.
    pub fn bytes(&self) -> usize {
        /// A text's own bookkeeping: its place in the set, its counts, what the allocator rounds up to.
        const EACH: usize = 48;
        let identity = self.identity.iter().map(|(category, type_, name)| {
            3 * EACH + category.len() + type_.len() + name.as_ref().map_or(0, String::len)
        });
        let features = self.features.iter().map(|feature| EACH + feature.len());
        size_of::<Self>() + EACH + identity.chain(features).sum::<usize>()
    }
}

/// Our own presence as `set_presence` said it last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPresence {
    /// What contacts shall see.
    pub availability: Availability,
    /// A sentence for them.
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3; absent: the session's own choice.
    pub priority: Option<i8>,
}
