//! Everything that a UI shows at first, in one answer.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::contact::Roster;
use crate::subscription::SubscriptionRequest;

/// The accounts with their rosters and requests, all at the same `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The last event that this answer includes: subscribe with `since` set to it, and nothing is missed or repeated.
    pub seq: u64,
    /// The accounts, sorted by JID.
    pub accounts: Vec<AccountState>,
}

/// One account with its roster and requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountState {
    /// The account, as in `list_accounts`.
    pub info: Account,
    /// Its roster. Absent if none is known yet: `contactChanged`, then `rosterLoaded` report it when it arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<Roster>,
    /// Unanswered requests to see our presence, sorted by JID.
    #[serde(default)]
    pub subscription_requests: Vec<SubscriptionRequest>,
}

/// The parameters of `load_state`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStateParams {
    /// Only this account: a bare JID. Absent: all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most this many contacts across all rosters; more than 4000 counts as 4000. For rosters with `complete`
    /// false, continue with `load_roster`. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU32>,
}
