//! Who may see whose presence: requests, and the events about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contact::Warning;

/// A request to see our presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRequest {
    /// The sender: a bare JID, possibly a stranger's.
    pub jid: String,
    /// Their nickname. It proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// Their message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it first reached us.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// Signs that the JID or nickname may be designed to deceive. They are compared with contacts and the account
    /// itself.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A request to see our presence: answer it with `approve_subscription` or `deny_subscription`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRequested {
    /// The sender: a bare JID, possibly a stranger's.
    pub jid: String,
    /// Their nickname, shortened to 256 characters. It proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// Their message, shortened to 256 characters; `list_subscription_requests` returns all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it first reached us.
    #[schemars(extend("format" = "date-time"))]
    pub received_at: String,
    /// Signs that the JID or nickname may be designed to deceive. They are compared with contacts and the account
    /// itself.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A request is no longer open: answered here or on another device, withdrawn, or a stranger's that gave way to newer
/// ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionResolved {
    /// The sender: a bare JID.
    pub jid: String,
}
