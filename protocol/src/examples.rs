//! The examples of the OpenRPC document. A test holds them against the types.

use serde_json::{Value, json};

pub(crate) fn account() -> Value {
    json!({
        "account": "me@example.org",
        "jid": "me@example.org/prosed.k7Qf",
        "state": "online",
        "since": "2026-01-31T08:15:00.000Z",
        "resource": "prosed.k7Qf",
        "remembered": true,
        "secretStore": "file",
        "lastStanzaAt": "2026-01-31T09:00:12.250Z",
        "availability": "available",
        "resources": [],
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
        "warnings": [],
        "avatar": avatar(),
        "profile": profile(),
    })
}

pub(crate) fn avatar() -> Value {
    json!({
        "id": "bc36d8584dd707cd075947a16d251aad8a873f38",
        "type": "image/jpeg",
        "bytes": 68213,
        "width": 512,
        "height": 512,
        "url": "/avatars/Zm9yIGltYWdlcyBvbmx5/bc36d8584dd707cd075947a16d251aad8a873f38",
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
        "removed": [],
    })
}

pub(crate) fn account_changed() -> Value {
    json!({
        "event": "accountChanged",
        "seq": 43,
        "time": "2026-01-31T09:00:12.250Z",
        "account": "me@example.org",
        "info": account(),
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
        "status": "We met at the ball",
        "receivedAt": "2026-01-31T09:01:00.000Z",
    })
}

pub(crate) fn subscription_requested() -> Value {
    json!({
        "event": "subscriptionRequested",
        "seq": 44,
        "time": "2026-01-31T09:01:00.000Z",
        "account": "me@example.org",
        "jid": "juliet@example.net",
        "nick": "Juliet",
        "status": "We met at the ball",
    })
}

pub(crate) fn subscription_resolved() -> Value {
    json!({
        "event": "subscriptionResolved",
        "seq": 45,
        "time": "2026-01-31T09:02:00.000Z",
        "account": "me@example.org",
        "jid": "juliet@example.net",
    })
}
