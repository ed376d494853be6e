//! The examples of the OpenRPC document. One test checks them against the types, another against a live daemon.

use serde_json::{Value, json};

/// A PNG of one pixel, in base64.
pub(crate) const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mPYYBAAAALEATHTWgZxAAAAAElFTkSuQmCC";
/// Its SHA-1.
const PICTURE_ID: &str = "7c92da56e64d1ae4c0949eccd9e6cecb4f47d6b6";

pub(crate) fn account() -> Value {
    json!({
        "account": "me@example.org",
        "jid": "me@example.org/k7Qf2mXw0pRz",
        "state": "online",
        "since": "2026-01-31T08:15:00.000Z",
        "resource": "k7Qf2mXw0pRz",
        "remembered": true,
        "secretStore": "file",
        "lastStanzaAt": "2026-01-31T09:00:12.250Z",
        "availability": "available",
        "resources": [],
        "resourceCount": 0,
    })
}

pub(crate) fn contact() -> Value {
    json!({
        "jid": "romeo@example.net",
        "name": "Romeo",
        "rosterName": "Romeo",
        "groups": ["Friends"],
        "subscription": "both",
        "ask": false,
        "approved": false,
        "availability": "away",
        "status": "Under the balcony",
        "resources": [{
            "resource": "orchard",
            "availability": "away",
            "status": "Under the balcony",
            "priority": 5,
            "since": "2026-01-31T08:59:58.120Z",
            "client": {"name": "Prose", "category": "client", "type": "pc"},
        }],
        "resourceCount": 1,
        "warnings": [],
        "avatar": avatar(),
        "profile": {"fullName": "Romeo Montague"},
    })
}

/// As returned by `get_contact`.
pub(crate) fn contact_with_features() -> Value {
    let mut contact = contact();
    contact["resources"][0]["features"] =
        json!(["http://jabber.org/protocol/caps", "http://jabber.org/protocol/disco#info", "urn:xmpp:ping"]);
    contact
}

/// A contact that was just added; `ask`: we have requested their presence.
pub(crate) fn new_contact(groups: &[&str], ask: bool) -> Value {
    json!({
        "jid": "juliet@example.net",
        "name": "Juliet",
        "rosterName": "Juliet",
        "groups": groups,
        "subscription": "none",
        "ask": ask,
        "approved": false,
        "availability": "unavailable",
        "resources": [],
        "resourceCount": 0,
        "warnings": [],
    })
}

pub(crate) fn avatar() -> Value {
    json!({
        "id": PICTURE_ID,
        "type": "image/png",
        "bytes": 69,
        "width": 1,
        "height": 1,
        "url": format!("/avatars/Zm9yIGltYWdlcyBvbmx5/{PICTURE_ID}"),
    })
}

pub(crate) fn profile() -> Value {
    json!({
        "fullName": "Romeo Montague",
        "emails": ["romeo@example.net"],
        "phones": [],
        "urls": [],
        "address": {"locality": "Verona", "country": "Italy"},
    })
}

pub(crate) fn contact_changed() -> Value {
    json!({
        "event": "contactChanged",
        "seq": 42,
        "time": "2026-01-31T09:00:12.250Z",
        "account": "me@example.org",
        "ids": ["romeo@example.net"],
        "contacts": [contact()],
        "cameOnline": ["romeo@example.net"],
        "removed": [],
    })
}

/// The account has just come online.
pub(crate) fn account_changed() -> Value {
    let mut info = account();
    info.as_object_mut().map(|info| info.remove("lastStanzaAt"));
    json!({
        "event": "accountChanged",
        "seq": 43,
        "time": "2026-01-31T09:00:12.250Z",
        "account": "me@example.org",
        "info": info,
    })
}

pub(crate) fn roster_loaded() -> Value {
    json!({
        "event": "rosterLoaded",
        "seq": 44,
        "time": "2026-01-31T09:00:12.250Z",
        "account": "me@example.org",
        "version": "ver14",
        "changed": 1,
    })
}

pub(crate) fn subscription_request() -> Value {
    json!({
        "jid": "juliet@example.net",
        "nick": "Juliet",
        "message": "We met at the ball",
        "receivedAt": "2026-01-31T09:01:00.000Z",
        "warnings": [],
    })
}

pub(crate) fn subscription_requested() -> Value {
    json!({
        "event": "subscriptionRequested",
        "seq": 45,
        "time": "2026-01-31T09:01:00.000Z",
        "account": "me@example.org",
        "jid": "juliet@example.net",
        "nick": "Juliet",
        "message": "We met at the ball",
        "receivedAt": "2026-01-31T09:01:00.000Z",
        "warnings": [],
    })
}

pub(crate) fn subscription_resolved() -> Value {
    json!({
        "event": "subscriptionResolved",
        "seq": 46,
        "time": "2026-01-31T09:02:00.000Z",
        "account": "me@example.org",
        "jid": "juliet@example.net",
    })
}
