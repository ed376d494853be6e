//! An account: its session with the server, and our own presence and profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contact::{Availability, Resource};
use crate::error::ApiError;
use crate::profile::{Avatar, ProfileSummary};
use crate::secret::Secret;

/// One XMPP account and the state of its session.
///
/// In lists and events it takes at most 32 KiB of JSON, most of which only our own status can take. `get_account` returns
/// all devices, with their full texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account: its bare JID.
    pub account: String,
    /// Our full JID, while the session is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jid: Option<String>,
    /// The state of the session.
    pub state: ConnectionState,
    /// When this state began.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// The resource part of our JID, as bound or requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Whether prosed logs in automatically after a restart.
    #[serde(default)]
    pub remembered: bool,
    /// Where the account's secret is stored, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<SecretStore>,
    /// When the server was last heard from.
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
    /// As last set by `set_presence`: what contacts see while the account is `online`, and again when it next is.
    pub availability: Availability,
    /// As last set by `set_presence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// A summary of our own profile; `load_profile` returns all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSummary>,
    /// Our own picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Avatar>,
    /// Our other devices that are online, best first: at most four in lists and events, all in `get_account`.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// How many other devices of ours are online, including those that `resources` leaves out.
    #[serde(default)]
    pub resource_count: u32,
    /// Present, and true, if texts are shortened or devices left out to keep this small.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Present, and true, if the server's roster has more than 20,000 contacts, or more than 16 MiB of JIDs, names
    /// and groups: some contacts are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub roster_truncated: bool,
}

impl Account {
    /// The maximum size of an account in lists and events, in bytes of JSON.
    pub const MAX_BYTES: usize = 32 * 1024;
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// Connecting, or waiting for the next attempt (`retryAt`).
    Connecting,
    /// Authenticated and bound.
    Online,
    /// The connection is lost, and may resume without loss.
    Suspended,
    /// Down because a user asked for it.
    Offline,
    /// Down until a user acts; `error` says why.
    Failed,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Where secrets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretStore {
    /// The desktop's keyring.
    SecretService,
    /// Given to the daemon by systemd; read only.
    SystemdCredential,
    /// A file that only this user can read.
    File,
    /// A value that this version of the client does not know. The daemon never sends it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How the connection to the server is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TlsMode {
    /// According to the domain's DNS; without records, or if `host` or `port` is given: `starttls`.
    #[default]
    Auto,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// STARTTLS (RFC 6120).
    Starttls,
}

/// The parameters of `login`. No `Debug`: it contains a password.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginParams {
    /// The account: a bare JID.
    pub jid: String,
    /// The password. Absent: the remembered secret is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The resource part to request for our JID. Absent: prosed or the server chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Store the secret, and log in again after a restart.
    #[serde(default = "yes")]
    pub remember: bool,
    /// The server's name or address. Absent: looked up in DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The server's port. Absent: looked up in DNS, else the default port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is secured. It always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// Log in although the server offers less than it once did (`downgradeRefused`). Applies to this login only; from
    /// then on, the server must offer at least what it offers now. Ask the server's operator first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_downgrade: bool,
}

fn yes() -> bool {
    true
}

impl LoginParams {
    /// Logs in as `jid` with defaults for everything else.
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
    /// The account: a bare JID. Optional if there is only one.
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
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The parameters of `set_activity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetActivityParams {
    /// Whether somebody is looking.
    pub active: bool,
}

/// The parameters of `set_presence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPresenceParams {
    /// The account: a bare JID. Optional if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The availability that contacts see.
    #[serde(deserialize_with = "known_availability")]
    pub availability: Availability,
    /// A status text for contacts, at most 4000 characters. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The resource's priority (RFC 6121 §4.7.2.3). It must be negative for now: prosed stores no messages yet, so
    /// the server must keep them. Absent: -1.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "negative_priority")]
    #[schemars(range(min = -128, max = -1))]
    pub priority: Option<i8>,
}

/// An unknown value is refused here: it could not be acted on.
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
