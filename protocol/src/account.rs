//! An account: its session with the server, and our own side of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contact::{Availability, Avatar, ProfileSummary, Resource};
use crate::error::ApiError;
use crate::secret::Secret;

/// One XMPP account and how its session stands.
///
/// In lists and events it stays small, as a contact does: at most 32 KiB of JSON, most of which only our own
/// status can take. `get_account` has all devices, with their whole texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account: its bare JID.
    pub account: String,
    /// Our full JID, while the session is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jid: Option<String>,
    /// How the session stands.
    pub state: ConnectionState,
    /// Since when it stands so.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// The resource part of our JID, as bound or as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Whether prosed logs in again by itself after a restart.
    #[serde(default)]
    pub remembered: bool,
    /// Where the account's secret is kept; absent where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<SecretStore>,
    /// When the server was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_stanza_at: Option<String>,
    /// When the next attempt to connect is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub retry_at: Option<String>,
    /// Why the session failed, or why the last attempt to connect did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// What `set_presence` said last: what contacts are shown while the account is `online`, and again once it is.
    pub availability: Availability,
    /// What `set_presence` said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Who we say we are; `load_profile` has the whole profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Our own picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    /// Our other devices that are online, best first: at most four in lists and events, all in `get_account`.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// How many other devices of ours are online, those that `resources` leaves out included.
    #[serde(default)]
    pub resource_count: u32,
    /// Present, and true, where texts are cut or devices left out to keep this small.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Present, and true, where the server's roster has more than 20,000 contacts, or more than 16 MiB of
    /// JIDs, names and groups: some contacts are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub roster_truncated: bool,
}

impl Account {
    /// What an account has in lists and events at most, in bytes of JSON.
    pub const MAX_BYTES: usize = 32 * 1024;
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// On the way, or waiting for the next attempt (`retryAt`).
    Connecting,
    /// Authenticated and bound.
    Online,
    /// The connection is lost, and may come back with nothing lost.
    Suspended,
    /// Down because somebody wanted it so.
    Offline,
    /// Down for good until somebody acts; `error` says why.
    Failed,
    /// A word that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Where secrets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretStore {
    /// The desktop's keyring.
    SecretService,
    /// Given to the daemon by systemd; read only.
    SystemdCredential,
    /// A file that only this user can read.
    File,
    /// A word that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How the connection to the server is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TlsMode {
    /// What the domain's DNS says; else both are tried.
    #[default]
    Auto,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// TLS after a plain greeting (RFC 6120).
    Starttls,
}

/// The parameters of `login`. It has no `Debug`: it holds a password.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginParams {
    /// The account: a bare JID.
    pub jid: String,
    /// Absent: the remembered secret is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The wished resource part of our JID. Absent: prosed or the server picks one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Keep the secret, and log in again after a restart.
    #[serde(default = "yes")]
    pub remember: bool,
    /// The server's name or address. Absent: found in DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port. Absent: found in DNS, else the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is secured. It always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// Log in although the server offers less than it once did (`downgradeRefused`). It holds for this login
    /// only; what the server offers then is what it is held to afterwards. Ask the server's operator first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_downgrade: bool,
}

fn yes() -> bool {
    true
}

impl LoginParams {
    /// Logs in as `jid` with everything else as usual.
    pub fn new(jid: impl Into<String>) -> Self {
        Self {
            jid: jid.into(),
            password: None,
            resource: None,
            remember: true,
            host: None,
            port: None,
            tls: None,
            accept_downgrade: false,
        }
    }
}

/// The parameters of `logout`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogoutParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Erase the account's cache and secret as well.
    #[serde(default)]
    pub forget: bool,
}

/// The parameters of a method that concerns an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The parameters of `set_presence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPresenceParams {
    /// The account: a bare JID. It may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What contacts shall see.
    #[serde(deserialize_with = "known_availability")]
    pub availability: Availability,
    /// A sentence for contacts, of at most 4000 characters. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The resource's priority (RFC 6121 §4.7.2.3). It must be negative for now: prosed keeps no
    /// messages yet, so the server must go on keeping them. Absent: -1.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "negative_priority")]
    #[schemars(range(min = -128, max = -1))]
    pub priority: Option<i8>,
}

/// A word that is not known is refused here: nobody could act on it.
fn known_availability<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Availability, D::Error> {
    const WORDS: &[&str] = &["available", "chat", "away", "xa", "dnd", "unavailable"];
    let word = String::deserialize(deserializer)?;
    let unknown = || serde::de::Error::unknown_variant(&word, WORDS);
    let place = WORDS.iter().position(|known| *known == word).ok_or_else(unknown)?;
    Availability::deserialize(serde::de::value::StrDeserializer::new(WORDS[place]))
}

fn negative_priority<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i8>, D::Error> {
    match Option::<i8>::deserialize(deserializer)? {
        Some(0..) => Err(serde::de::Error::custom(
            "must be negative for now: prosed keeps no messages yet, so the server must go on keeping them",
        )),
        priority => Ok(priority),
    }
}
