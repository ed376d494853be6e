//! A contact: everything known about an entry in the roster.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::profile::{Avatar, ProfileSummary};

/// A roster item and what is known about its owner. Our own JID is never a contact.
///
/// In rosters and events it is at most 4 KiB of JSON, whatever others send: only the best devices, and shortened
/// texts end in `…`. If anything is left out or shortened, `truncated` is true, and `get_contact` returns the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The contact: a bare JID.
    pub jid: String,
    /// The name to show: the roster name, else the profile's nickname or full name, else the JID's local part. It may
    /// be misleading: show `jid` where it matters, and see `warnings`.
    pub name: String,
    /// The name that we gave the contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster_name: Option<String>,
    /// The groups that we put the contact in, sorted. If `truncated` is true, some may be left out: read them from
    /// `get_contact` before you change them.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We requested their presence, and have no answer yet.
    #[serde(default)]
    pub ask: bool,
    /// We approved in advance that they see our presence.
    #[serde(default)]
    pub approved: bool,
    /// That of the best resource: highest priority, then `chat`, `available`, `away`, `xa`, `dnd`, then the newest.
    pub availability: Availability,
    /// The best resource's status text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The devices that are online, best first: at most four in rosters and events, all in `get_contact`.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// While the contact is `unavailable`: when they were last known to be available. That is when they left, or when the
    /// connection was lost, if that came first. It survives restarts; after a crash it may be too old. Absent while
    /// they are available, and if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_seen: Option<String>,
    /// How many devices are online, including those that `resources` leaves out.
    #[serde(default)]
    pub resource_count: u32,
    /// Signs that the JID or name may be designed to deceive.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    /// A summary of their profile; `load_profile` returns all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Present, and true, if texts are shortened, or devices or groups left out, to keep this small.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Contact {
    /// The maximum size of a contact in rosters and events, in bytes of JSON.
    pub const MAX_BYTES: usize = 4 * 1024;
}

/// Availability (RFC 6121 §4.7.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Available.
    #[default]
    Available,
    /// Wants to talk.
    Chat,
    /// Away for a moment.
    Away,
    /// Away for longer.
    Xa,
    /// Does not want to be disturbed.
    Dnd,
    /// Unavailable.
    Unavailable,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Who sees whose presence (RFC 6121 §2.1.2.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Subscription {
    /// Nobody.
    #[default]
    None,
    /// We see theirs.
    To,
    /// They see ours.
    From,
    /// We see each other's.
    Both,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A sign that a JID or name may be designed to deceive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Warning {
    /// One word mixes scripts that look alike, as Latin and Cyrillic do.
    MixedScripts,
    /// It contains characters that change the direction of writing.
    Bidi,
    /// It contains invisible characters, or no visible ones.
    Invisible,
    /// The JID or the name looks like another contact's JID or name, or like the account's own JID, but differs from
    /// it. No program can tell which of the two is genuine: both are marked. Equal names are not.
    LookAlike,
    /// The name looks like a JID, but not the contact's own.
    NameIsJid,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// One connected device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// The resource part of its JID. Empty for the bare JID, which gateways use.
    pub resource: String,
    /// Never `unavailable`.
    pub availability: Availability,
    /// Its status text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3.
    pub priority: i8,
    /// When this presence began.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Idle since (XEP-0319).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub idle_since: Option<String>,
    /// Its program, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
    /// Its features (XEP-0030), sorted. Only from `get_contact`, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
}

/// The program that a device runs (XEP-0030 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// As in `Prose`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in `client`.
    pub category: String,
    /// As in `pc` or `phone`.
    pub r#type: String,
}

/// All contacts of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Roster {
    /// The account: its bare JID.
    pub account: String,
    /// Where this answer comes from.
    pub source: RosterSource,
    /// The server's opaque version of the roster, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The last event that this answer includes: subscribe with `since` set to it, and nothing is missed.
    pub seq: u64,
    /// The contacts, sorted by JID.
    pub contacts: Vec<Contact>,
    /// Whether this is the end of the roster. If not, continue with `load_roster` and `after` set to the last
    /// contact's `jid`; if there is none, without `after`.
    #[serde(default = "yes")]
    pub complete: bool,
}

/// Where a roster came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RosterSource {
    /// From the cache. The server's is being fetched: differences are reported by `contactChanged`.
    Cache,
    /// From the server.
    Server,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The parameters of `load_roster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadRosterParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most this many contacts; more than 4000 counts as 4000, which always fit. Absent: all that remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
    /// Only contacts after this one: a bare JID, whether or not it is a contact. Absent: from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Roster {
    /// The largest page. This many contacts fit into an answer of 16 MiB, however long they are.
    pub const MAX_LIMIT: u32 = 4_000;

    /// How many contacts this `limit` allows.
    pub fn limit(wanted: Option<NonZeroU32>) -> usize {
        wanted.map_or(usize::MAX, |limit| limit.get().min(Self::MAX_LIMIT) as usize)
    }
}

/// The parameters of a method that concerns a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The contact: a bare JID.
    pub jid: String,
}

/// The parameters of `show_contacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShowContactsParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The contacts on the screen, the most important first: at most 200 bare JIDs. Those that are not contacts are
    /// ignored.
    #[schemars(length(max = 200))]
    pub jids: Vec<String>,
}

impl ShowContactsParams {
    /// The most JIDs in one call: several screens of them.
    pub const MAX_JIDS: usize = 200;
}

/// The parameters of `add_contact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddContactParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The contact to add: a bare JID.
    pub jid: String,
    /// The name to store for them, at most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The groups to put them in: at most 100, of at most 1000 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether to request their presence as well.
    #[serde(default = "yes")]
    pub subscribe: bool,
    /// A message for them with that request, at most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The parameters of `request_subscription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSubscriptionParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whose presence to request: a bare JID.
    pub jid: String,
    /// A message for them, at most 1000 characters. Their program may or may not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn yes() -> bool {
    true
}

/// The parameters of `update_contact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateContactParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The contact to change: a bare JID.
    pub jid: String,
    /// The name to store for them, at most 1000 characters; an empty one removes it. Absent: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All their groups: at most 100, of at most 1000 characters each. Absent: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}

/// The parameters of `rename_group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameGroupParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The group's current name.
    pub group: String,
    /// The new name, at most 1000 characters. If that group exists, the two are merged.
    pub name: String,
}

/// The answer to `rename_group`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupRenamed {
    /// How many contacts were moved from the old group to the new one.
    pub renamed: u32,
    /// How many could not be changed, and are still in the old group.
    pub failed_count: u32,
    /// Those contacts and the reasons, sorted by JID: at most 100 of them.
    pub failed: Vec<MemberNotRenamed>,
}

impl GroupRenamed {
    /// The most contacts listed in `failed`.
    pub const MAX_FAILED: usize = 100;
}

/// A contact that `rename_group` could not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberNotRenamed {
    /// The contact: a bare JID.
    pub jid: String,
    /// Why.
    pub error: ApiError,
}
