//! A contact: everything known of somebody in the roster.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::patch::ProfilePatch;

/// A roster item and what is known of its owner. Our own JID never is one.
///
/// In rosters and events it is at most 4 KiB of JSON, whatever others send: the best devices only, and texts
/// that are cut end in `…`. Where anything is left out or cut, `truncated` is true, and `get_contact` has the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Who it is: a bare JID.
    pub jid: String,
    /// What to show: the roster name, else the profile's nickname or full name, else the JID's
    /// local part. It may deceive: show `jid` where it matters, and see `warnings`.
    pub name: String,
    /// The name that we gave the contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster_name: Option<String>,
    /// The groups that we put the contact in, sorted. Where `truncated` is true, some may be left out: take them
    /// from `get_contact` before you change them.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We asked for their presence, and have no answer yet.
    #[serde(default)]
    pub ask: bool,
    /// We approved in advance that they see our presence.
    #[serde(default)]
    pub approved: bool,
    /// The best resource's: of the highest priority, then `chat`, `available`, `away`, `xa`, `dnd`, then the newest.
    pub availability: Availability,
    /// The best resource's sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The devices that are online, best first: at most four in rosters and events, all in `get_contact`.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// While the contact is away: when they were last known to be there. That is when they left, or when the
    /// connection was lost, if that came first. It survives restarts; after a crash it may be too old. Absent while
    /// they are available, and where it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_seen: Option<String>,
    /// How many devices are online, those that `resources` leaves out included.
    #[serde(default)]
    pub resource_count: u32,
    /// Signs of a JID or name that was made to deceive.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    /// Who they say they are; `load_profile` has the whole profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Present, and true, where texts are cut, or devices or groups left out, to keep this small.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Contact {
    /// What a contact has in rosters and events at most, in bytes of JSON.
    pub const MAX_BYTES: usize = 4 * 1024;
}

/// How somebody is there (RFC 6121 §4.7.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Is there.
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
    /// Is not there.
    Unavailable,
    /// A word that this version of the client does not know. The daemon never sends it.
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
    /// A word that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A sign of a JID or name that was made to deceive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Warning {
    /// One word mixes scripts that look alike, as Latin and Cyrillic do.
    MixedScripts,
    /// It holds characters that turn the direction of writing.
    Bidi,
    /// It holds characters that can't be seen, or nothing that can.
    Invisible,
    /// The JID or the name looks like another contact's JID or name, or like the account's own JID, and
    /// is another. Which of the two is the genuine one, no program can tell: both are marked. Equal
    /// names are not.
    LookAlike,
    /// The name looks like a JID, and is not the contact's own.
    NameIsJid,
    /// A word that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// One connected device of somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// The resource part of its JID. Empty for the bare JID, from which gateways speak.
    pub resource: String,
    /// Never `unavailable`.
    pub availability: Availability,
    /// A sentence for us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3.
    pub priority: i8,
    /// Since when it is so.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Untouched since (XEP-0319).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub idle_since: Option<String>,
    /// Which program it is, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
    /// What it supports (XEP-0030), sorted. From `get_contact` only, and once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
}

/// Which program a device runs (XEP-0030 §3.1).
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

/// A picture that prosed has fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Avatar {
    /// The SHA-1 of its bytes, in hexadecimal digits. Another picture has another id.
    pub id: String,
    /// Its media type, as in `image/png`, by its bytes and not by what was announced.
    pub r#type: String,
    /// Its size, in bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Its path on this daemon, good for `<img>`. With `?size=64` it is a small and square one, of 64, 128 or 256
    /// pixels, whichever is next. It stays the same over restarts, and changes when the token is replaced.
    pub url: String,
}

/// A picture with its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadedAvatar {
    /// The picture.
    #[serde(flatten)]
    pub avatar: Avatar,
    /// Its bytes, in base64.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub data: String,
}

/// Who somebody says to be: a vCard (RFC 6350).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The nickname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The function in the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// E-mail addresses, in the owner's order.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Telephone numbers, in the owner's order.
    #[serde(default)]
    pub phones: Vec<String>,
    /// Web addresses, in the owner's order. A peer wrote them: check the scheme before you open one.
    #[serde(default)]
    pub urls: Vec<String>,
    /// The postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The birthday, as the owner wrote it (RFC 6350 §6.2.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What contacts and accounts show of a profile. In rosters, lists and events each text has at most 256
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileSummary {
    /// The full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The nickname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// The organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// A postal address (RFC 6350 §6.3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// The town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// The region or state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// All contacts of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Roster {
    /// The account: its bare JID.
    pub account: String,
    /// Where this answer came from.
    pub source: RosterSource,
    /// The server's opaque version of the roster, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The last event that this answer includes: subscribe with `since` set to it, and nothing is lost.
    pub seq: u64,
    /// The contacts, sorted by JID.
    pub contacts: Vec<Contact>,
    /// Whether these are the last ones. If not, go on with `load_roster` and `after` set to the last one's `jid`;
    /// where there is none, without `after`.
    #[serde(default = "yes")]
    pub complete: bool,
}

/// Where a roster came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RosterSource {
    /// From the cache. The server's is fetched behind it: differences come as `contactChanged`.
    Cache,
    /// As the server has it.
    Server,
    /// A word that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The parameters of `load_roster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadRosterParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most so many contacts; more than 4000 counts as 4000, which always fit. Absent: all that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
    /// Only contacts behind this one: a bare JID, whether it is a contact or not. Absent: from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Roster {
    /// The largest page. So many contacts fit into an answer of 16 MiB, however long they are.
    pub const MAX_LIMIT: u32 = 4_000;

    /// How many contacts this `limit` lets pass.
    pub fn limit(wanted: Option<NonZeroU32>) -> usize {
        wanted.map_or(usize::MAX, |limit| limit.get().min(Self::MAX_LIMIT) as usize)
    }
}

/// The parameters of a method that concerns a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who is meant: a bare JID.
    pub jid: String,
}

/// The parameters of `show_contacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShowContactsParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who is on the screen, the most important first: at most 200 bare JIDs. Those that are no contacts are ignored.
    #[schemars(length(max = 200))]
    pub jids: Vec<String>,
}

impl ShowContactsParams {
    /// The most JIDs in one call: several screens of them.
    pub const MAX_JIDS: usize = 200;
}

/// The parameters of `set_avatar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetAvatarParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The image's media type. What the bytes are decides; it may be left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// A GIF, JPEG, PNG or WebP in base64. Empty: the picture is taken away.
    #[schemars(extend("contentEncoding" = "base64"))]
    pub data: String,
}

/// What `set_avatar` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAvatar {
    /// The id that it is published under. Absent where it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The parameters of `set_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetProfileParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What to change: what is left out of it stays as it is, null takes away. A note has at most 4000
    /// characters, any other text 1000, and a list 20 entries.
    pub profile: ProfilePatch,
}

/// The parameters of `add_contact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddContactParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who is added: a bare JID.
    pub jid: String,
    /// The name to keep for them, of at most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The groups to put them in: at most 100, of at most 1000 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether to ask to see their presence, too.
    #[serde(default = "yes")]
    pub subscribe: bool,
    /// What to say to them with that, in at most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The parameters of `request_subscription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSubscriptionParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who is asked: a bare JID.
    pub jid: String,
    /// What to say to them with it, in at most 1000 characters. Their program may show it, or not.
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
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whose name or groups change: a bare JID.
    pub jid: String,
    /// The name to keep for them, of at most 1000 characters; an empty one takes it away. Absent: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All of their groups: at most 100, of at most 1000 characters each. Absent: unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}

/// The parameters of `rename_group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameGroupParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The group as it is called now.
    pub group: String,
    /// What to call it, in at most 1000 characters. Where there is such a group, the two become one.
    pub name: String,
}

/// What `rename_group` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupRenamed {
    /// How many contacts are in the new group now instead of the old one.
    pub renamed: u32,
    /// How many could not be changed, and are still in the old group.
    pub failed_count: u32,
    /// Who they are and why, sorted by JID: at most 100 of them.
    pub failed: Vec<MemberNotRenamed>,
}

impl GroupRenamed {
    /// The members that `failed` names at most.
    pub const MAX_FAILED: usize = 100;
}

/// A contact that `rename_group` could not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberNotRenamed {
    /// Who it is: a bare JID.
    pub jid: String,
    /// Why.
    pub error: ApiError,
}

/// The parameters of `load_profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadProfileParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who is meant: a bare JID, our own included.
    pub jid: String,
    /// Ask the server anew, even where the profile is known.
    #[serde(default)]
    pub refresh: bool,
}
