//! Who may see whose presence: requests, and the events about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contact::Warning;

/// Somebody wants to see our presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRequest {
    /// Who asks: a bare JID. They may be a stranger.
    pub jid: String,
    /// What they call themselves. It proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// What they say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was first heard of.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// Signs of a JID or name that was made to deceive. It is compared with contacts and the account itself.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Somebody wants to see our presence: `approve_subscription` and `deny_subscription` answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRequested {
    /// Who asks: a bare JID. They may be a stranger.
    pub jid: String,
    /// What they call themselves, cut at 256 characters. It proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// What they say with it, cut at 256 characters; `list_subscription_requests` has it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was first heard of.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// Signs of a JID or name that was made to deceive. It is compared with contacts and the account itself.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A request is open no more: answered here or on another device, taken back, or a stranger's that had to make
/// room for newer ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionResolved {
    /// Who had asked: a bare JID.
    pub jid: String,
}
