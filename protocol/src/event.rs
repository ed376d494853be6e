//! Events: what a UI hears of by itself once it has subscribed.

use jsonrpsee_types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::contact::Contact;
use crate::params::invalid_params;
use crate::subscription::{SubscriptionRequested, SubscriptionResolved};

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Grows with each event of the whole daemon, never goes back, and stays below 2^53.
    pub seq: u64,
    /// When it happened.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// The account that it concerns: a bare JID.
    pub account: String,
    /// What happened.
    #[serde(flatten)]
    pub payload: EventPayload,
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $event:ident = $name:literal;)+) => {
        /// The events' names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum EventName {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $event,)+
        }

        impl EventName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$event,)+];

            /// As it is on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$event => $name,)+ }
            }
        }

        /// What an event carries beside its `seq`, `time` and `account`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "event")]
        pub enum EventPayload {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $event($event),)+
            /// An event that this version of the client does not know. The daemon never sends it.
            #[serde(other, skip_serializing)]
            #[schemars(skip)]
            Unknown,
        }

        impl EventPayload {
            /// The event's name; absent where it is unknown.
            pub const fn name(&self) -> Option<EventName> {
                match self {
                    $(Self::$event(_) => Some(EventName::$event),)+
                    Self::Unknown => None,
                }
            }
        }
    };
}

events! {
    /// Contacts are new, changed or gone.
    ContactChanged = "contactChanged";
    /// An account's session or our own side of it has changed, or the account is gone.
    AccountChanged = "accountChanged";
    /// The server's roster has been reconciled with the cached one.
    RosterLoaded = "rosterLoaded";
    /// Somebody wants to see our presence.
    SubscriptionRequested = "subscriptionRequested";
    /// A request is open no more: answered here or on another device, taken back, or a stranger's that had to
    /// make room for newer ones.
    SubscriptionResolved = "subscriptionResolved";
}

/// Contacts are new, changed or gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactChanged {
    /// All contacts concerned: at most 100 bare JIDs, sorted.
    pub ids: Vec<String>,
    /// Those that are new or changed: their new state, as in a roster. One that looks the same as before has
    /// changed in what only `get_contact` or `load_profile` show.
    pub contacts: Vec<Contact>,
    /// Those of `contacts` who were unavailable before and are not now: bare JIDs.
    #[serde(default)]
    pub came_online: Vec<String>,
    /// Those that are contacts no more: bare JIDs.
    pub removed: Vec<String>,
    /// Present, and true, where this is what a login has found: contacts who were online before, or had left while
    /// the account was away. Nothing to disturb anybody for. It holds for the first presence of each device until
    /// half a minute after our own, unless the contact has left since, and for any that says it is older than our
    /// login. Who comes online within that time looks the same. Where a contact's changes are told together, one
    /// of the login's is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

impl ContactChanged {
    /// How many contacts one event concerns at most, so that no event is large: a bigger change
    /// comes as several events.
    pub const MAX_IDS: usize = 100;
}

/// An account's session or our own side of it has changed, or the account is gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountChanged {
    /// The account's new state, as in `list_accounts`. Absent where there is no such account any more: it was
    /// forgotten, or its first login has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<Account>>,
    /// Present, and true, where the account was forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// The server's roster has been reconciled with the cached one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RosterLoaded {
    /// The server's opaque version of the roster, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many contacts differ from the cached roster.
    pub changed: u64,
}

/// The parameters of `subscribe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscribeParams {
    /// Only these events. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventName>>,
    /// Only this account's: a bare JID. Absent: all accounts'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// First every retained event after this `seq`. Absent: only what comes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl SubscribeParams {
    /// Whether an event with this name, of this account, is wanted.
    pub fn wants(&self, event: EventName, account: &str) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(&event))
            && self.account.as_ref().is_none_or(|wanted| wanted == account)
    }
}

/// The parameters of a subscription to one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscribeToOneParams {
    /// Only this account's: a bare JID. Absent: all accounts'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// First every retained event after this `seq`. Absent: only what comes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl From<SubscribeToOneParams> for SubscribeParams {
    fn from(params: SubscribeToOneParams) -> Self {
        Self { events: None, account: params.account, since: params.since }
    }
}

/// Names a subscription on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SubscriptionId(pub u64);

/// The parameters of `unsubscribe`. `[id]` is fine, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// What `subscribe` answered.
    // Events call it so, and so will some who unsubscribe.
    #[serde(alias = "subscription")]
    pub id: SubscriptionId,
}

/// The parameters of `get_events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetEventsParams {
    /// The events after this `seq`. Absent: only what comes from now on, so that without `timeout`
    /// the answer says where the log stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only these events. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventName>>,
    /// Only this account's: a bare JID. Absent: all accounts'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most so many events, 1 to 1000; larger values count as 1000. Absent: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Where there is none yet, wait so long for one, in seconds; more than 60 counts as 60. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 60))]
    pub timeout: Option<u32>,
}

impl GetEventsParams {
    /// The largest `limit`: an answer of so many usual events stays well below the bound on responses.
    pub const MAX_LIMIT: u32 = 1000;
    /// The longest `timeout`, in seconds: shorter than what proxies and curl users have patience for.
    pub const MAX_TIMEOUT: u32 = 60;

    /// The bound in force, 1 to [`Self::MAX_LIMIT`].
    ///
    /// # Errors
    ///
    /// -32602 where it is 0.
    pub fn limit(&self) -> Result<usize, ErrorObjectOwned> {
        match self.limit.unwrap_or(Self::MAX_LIMIT) {
            0 => Err(invalid_params("get_events: `limit` must be an integer from 1 to 1000")),
            limit => Ok(limit.min(Self::MAX_LIMIT) as usize),
        }
    }

    /// How long to wait for a first event.
    pub fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.timeout.unwrap_or(0).min(Self::MAX_TIMEOUT).into())
    }

    /// As a subscription's filter.
    pub fn filter(self) -> SubscribeParams {
        SubscribeParams { events: self.events, account: self.account, since: self.since }
    }
}

/// Events, for those who poll.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// Ask on with `since` set to this. It counts events that were not asked for as well.
    pub seq: u64,
}
