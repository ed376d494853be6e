//! Events: what a UI receives once it has subscribed.

use jsonrpsee_types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::contact::Contact;
use crate::params::invalid_params;
use crate::subscription::{SubscriptionRequested, SubscriptionResolved};

/// A change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Increases with each event of the whole daemon, never goes back, and stays below 2^53.
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

        /// An event's content besides `seq`, `time` and `account`.
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
            /// The event's name; absent if it is unknown.
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
    /// Contacts were added, changed or removed.
    ContactChanged = "contactChanged";
    /// An account's session, presence or profile has changed, or the account is gone.
    AccountChanged = "accountChanged";
    /// The server's roster has been reconciled with the cached one.
    RosterLoaded = "rosterLoaded";
    /// A new request to see our presence.
    SubscriptionRequested = "subscriptionRequested";
    /// A request is no longer open: answered here or on another device, withdrawn, or a stranger's that gave way to
    /// newer ones.
    SubscriptionResolved = "subscriptionResolved";
}

/// Contacts were added, changed or removed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactChanged {
    /// All contacts concerned: at most 100 bare JIDs, sorted.
    pub ids: Vec<String>,
    /// The new state of those added or changed, as in a roster. One that looks the same as before has changed in
    /// something that only `get_contact` or `load_profile` returns.
    pub contacts: Vec<Contact>,
    /// Those of `contacts` who were unavailable before and no longer are: bare JIDs.
    #[serde(default)]
    pub came_online: Vec<String>,
    /// Those that are no longer contacts: bare JIDs.
    pub removed: Vec<String>,
    /// Present, and true, if this is what a login found: contacts who were online before, or had left while the
    /// account was away. Not worth a notification. It applies to the first presence of each device until half a
    /// minute after our own, unless the contact has left since, and to any presence that says it is older than our
    /// login. A contact who comes online within that time looks the same. If several changes of a contact are
    /// reported together, one from the login is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
}

impl ContactChanged {
    /// The most contacts in one event, so that no event is large: a bigger change is split into several events.
    pub const MAX_IDS: usize = 100;
}

/// An account's session, presence or profile has changed, or the account is gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountChanged {
    /// The account's new state, as in `list_accounts`. Absent if the account no longer exists: it was forgotten, or
    /// its first login failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<Account>>,
    /// Present, and true, if the account was forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// The server's roster has been reconciled with the cached one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RosterLoaded {
    /// The server's opaque version of the roster, if any.
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
    /// Only events of this account: a bare JID. Absent: of all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Start with every retained event after this `seq`. Absent: only future events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl SubscribeParams {
    /// Whether it includes an event with this name, of this account.
    pub fn wants(&self, event: EventName, account: &str) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(&event))
            && self.account.as_ref().is_none_or(|wanted| wanted == account)
    }
}

/// The parameters of a subscription to one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscribeToOneParams {
    /// Only events of this account: a bare JID. Absent: of all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Start with every retained event after this `seq`. Absent: only future events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

impl From<SubscribeToOneParams> for SubscribeParams {
    fn from(params: SubscribeToOneParams) -> Self {
        Self { events: None, account: params.account, since: params.since }
    }
}

/// Identifies a subscription on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SubscriptionId(pub u64);

/// The parameters of `unsubscribe`. `[id]` is also accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// The id returned by `subscribe`.
    // Events use this name, and so will some callers.
    #[serde(alias = "subscription")]
    pub id: SubscriptionId,
}

/// The parameters of `get_events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetEventsParams {
    /// The events after this `seq`. Absent: only future events, so without `timeout` the answer is just the current
    /// position of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only these events. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventName>>,
    /// Only events of this account: a bare JID. Absent: of all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most this many events, 1 to 1000; larger values count as 1000. Absent: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// If there is none yet, wait this long for one, in seconds; more than 60 counts as 60. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 60))]
    pub timeout: Option<u32>,
}

impl GetEventsParams {
    /// The largest `limit`: an answer with this many typical events stays well below the bound on responses.
    pub const MAX_LIMIT: u32 = 1000;
    /// The longest `timeout`, in seconds: shorter than the patience of proxies and curl users.
    pub const MAX_TIMEOUT: u32 = 60;

    /// The effective limit, 1 to [`Self::MAX_LIMIT`].
    ///
    /// # Errors
    ///
    /// -32602 if it is 0.
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

    /// As the filter of a subscription.
    pub fn filter(self) -> SubscribeParams {
        SubscribeParams { events: self.events, account: self.account, since: self.since }
    }
}

/// Events, for polling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// Continue with `since` set to this. It also counts events that were not requested.
    pub seq: u64,
}
