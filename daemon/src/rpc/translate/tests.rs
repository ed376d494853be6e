use std::collections::BTreeSet;
use std::sync::Arc;

use prosed_session::{CapsRecord, ContactsChanged, ImageId, ImageType};
use serde_json::{Value, json};

use super::*;
use crate::events::Filter;

const NOON: Timestamp = Timestamp(1_700_000_000_123);

/// With a key that tests know.
fn translator() -> Translator {
    Translator::new(PictureKey::from_text("cap"))
}

fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

fn log() -> Arc<EventLog> {
    Arc::new(EventLog::new(0, Box::new(|next| Ok(next + 1_000_000))).unwrap())
}

fn events(log: &Arc<EventLog>) -> Vec<Value> {
    let mut cursor = log.cursor(Filter::default(), Some(0)).unwrap();
    std::iter::from_fn(|| cursor.try_next().unwrap())
        .map(|entry| serde_json::from_str(entry.json.get()).unwrap())
        .collect()
}

fn contact(jid_text: &str) -> Contact {
    Contact {
        last_seen: None,
        look_alike: false,
        jid: jid(jid_text),
        name: "Romeo".to_owned(),
        roster_name: None,
        groups: Arc::new(BTreeSet::from(["Friends".to_owned(), "Actors".to_owned()])),
        subscription: Subscription::Both,
        ask: false,
        approved: false,
        availability: Availability::Xa,
        status: None,
        resources: vec![Resource {
            resource: "orchard".to_owned(),
            availability: Availability::Xa,
            status: Some("Asleep".to_owned()),
            priority: -1,
            since: NOON,
            idle_since: None,
            client: Some(Arc::new(CapsRecord {
                identity: Some(("client".to_owned(), "pc".to_owned(), None)),
                features: BTreeSet::from(["urn:xmpp:ping".into()]),
            })),
        }],
        avatar: Some(Avatar {
            id: ImageId([0xab; 20]),
            kind: ImageType::Jpeg,
            bytes: 68_213,
            width: 512,
            height: 256,
        }),
        profile: None,
    }
}

#[test]
fn a_contact_as_json() {
    let translated = translator().contact(contact("romeo@example.net"));
    assert_eq!(
        serde_json::to_value(translated).unwrap(),
        json!({
            "jid": "romeo@example.net", "name": "Romeo", "groups": ["Actors", "Friends"],
            "subscription": "both", "ask": false, "approved": false, "availability": "xa",
            "resources": [{"resource": "orchard", "availability": "xa", "status": "Asleep", "priority": -1,
                           "since": "2023-11-14T22:13:20.123Z", "client": {"category": "client", "type": "pc"}}],
            "resourceCount": 1, "warnings": [],
            "avatar": {"id": "ab".repeat(20), "type": "image/jpeg", "bytes": 68213, "width": 512,
                       "height": 256, "url": format!("/avatars/cap/{}", "ab".repeat(20))},
        })
    );
}

#[test]
fn features_come_in_the_whole_contact_only() {
    let whole = translator().whole_contact(contact("romeo@example.net"));
    assert_eq!(whole.resources[0].features, Some(vec!["urn:xmpp:ping".to_owned()]));
}

#[test]
fn a_deceptive_jid_is_flagged() {
    let translated = translator().contact(contact("rom\u{435}o@example.net"));
    assert_eq!(translated.warnings, [api::Warning::MixedScripts]);
}

#[test]
fn a_look_alike_is_flagged() {
    let translated = translator().contact(Contact { look_alike: true, ..contact("romeo@example.net") });
    assert_eq!(translated.warnings, [api::Warning::LookAlike]);
}

#[test]
fn many_contacts_are_several_events_of_at_most_a_hundred() {
    let log = log();
    let changed: Vec<_> = (0..250).map(|n| contact(&format!("c{n:03}@example.net"))).collect();
    let removed = (0..101).map(|n| jid(&format!("r{n:03}@example.net"))).collect();
    let came_online = [0, 99, 100].map(|n: usize| changed[n].jid.clone()).to_vec();
    let notice = Notice::ContactsChanged(ContactsChanged { changed, came_online, removed, initial: true });
    translator().publish(&log, &jid("me@example.org"), notice, &mut || unreachable!());
    let events = events(&log);
    let sizes = |field: &str| -> Vec<_> {
        events.iter().map(|event| event[field].as_array().unwrap().len()).collect()
    };
    assert_eq!(sizes("ids"), [100, 100, 50, 100, 1]);
    assert_eq!(sizes("contacts"), [100, 100, 50, 0, 0]);
    assert_eq!(sizes("removed"), [0, 0, 0, 100, 1]);
    assert_eq!(events[0]["cameOnline"], json!(["c000@example.net", "c099@example.net"]));
    assert_eq!(events[1]["cameOnline"], json!(["c100@example.net"]));
    assert_eq!(sizes("cameOnline")[2..], [0, 0, 0]);
    assert!(events.iter().all(|event| event["initial"] == true));
    assert_eq!(events[2]["ids"][49], "c249@example.net");
    assert_eq!(events[4]["removed"], json!(["r100@example.net"]));
    assert_eq!(events[0]["event"], "contactChanged");
    assert_eq!(events[0]["account"], "me@example.org");
}

#[test]
fn an_account_as_an_event() {
    let log = log();
    let failure = Failure::NotAuthorized { condition: "not-authorized".to_owned(), text: String::new() };
    let account = Account {
        account: jid("me@example.org"),
        jid: None,
        state: ConnectionState::Failed,
        since: NOON,
        last_stanza_at: None,
        retry_at: None,
        failure: Some(failure),
        availability: Availability::Available,
        status: None,
        profile: None,
        avatar: None,
        resources: vec![],
        roster_truncated: false,
    };
    let standing = Standing {
        remembered: true,
        secret_store: Some(crate::credentials::StoreName::SecretService),
        resource: Some("desk".to_owned()),
    };
    let notice = Notice::AccountChanged;
    translator().publish(&log, &jid("me@example.org"), notice, &mut || (account.clone(), standing.clone()));
    translator().publish_gone(&log, &jid("me@example.org"), true);
    translator().publish_gone(&log, &jid("typo@example.org"), false);
    let events = events(&log);
    assert_eq!(events[0]["event"], "accountChanged");
    assert_eq!(
        events[0]["info"],
        json!({
            "account": "me@example.org", "state": "failed", "since": "2023-11-14T22:13:20.123Z",
            "resource": "desk", "remembered": true, "secretStore": "secretService", "availability": "available",
            "resources": [], "resourceCount": 0,
            "error": {"code": 1001, "message": ErrorKind::NotAuthorized.message(),
                      "data": {"kind": "notAuthorized", "account": "me@example.org", "retryable": false,
                               "condition": "not-authorized"}},
        })
    );
    assert_eq!(events[1]["removed"], true);
    assert_eq!(events[1].get("info"), None);
    assert_eq!((events[2].get("removed"), events[2].get("info")), (None, None));
}

#[test]
fn a_strangers_request_is_a_small_event() {
    let log = log();
    let request = SubscriptionRequest {
        jid: jid("stranger@example.net"),
        nick: Some("x".repeat(1_000)),
        message: Some("🌊".repeat(4_000)),
        received_at: NOON,
        look_alike: true,
    };
    let notice = Notice::SubscriptionRequested(request);
    translator().publish(&log, &jid("me@example.org"), notice, &mut || unreachable!());
    let event = &events(&log)[0];
    for (text, begins) in [(&event["nick"], "xxx"), (&event["message"], "🌊🌊🌊")] {
        let text = text.as_str().unwrap();
        assert!(text.starts_with(begins) && text.ends_with('…') && text.chars().count() == 256, "{text}");
    }
    assert_eq!(event["warnings"], json!(["lookAlike"]));
}

#[test]
fn a_strangers_request_warns_as_a_contact_does() {
    let warnings = |jid_text: &str, nick: Option<&str>, look_alike: bool| {
        let nick = nick.map(str::to_owned);
        let request =
            SubscriptionRequest { jid: jid(jid_text), nick, message: None, received_at: NOON, look_alike };
        subscription_request(&request).warnings
    };
    assert_eq!(warnings("stranger@example.net", None, false), []);
    assert_eq!(warnings("stranger@example.net", Some("Juliet"), false), []);
    assert_eq!(warnings("stranger@example.net", Some("Juliet"), true), [api::Warning::LookAlike]);
    assert_eq!(warnings("stranger@example.net", Some("anna@example.org"), false), [api::Warning::NameIsJid]);
    assert_eq!(warnings("p\u{430}ypal@example.net", None, false), [api::Warning::MixedScripts]);
}

#[test]
fn a_reconciled_roster_as_an_event() {
    let log = log();
    let notice = Notice::RosterLoaded { version: None, changed: 3 };
    translator().publish(&log, &jid("me@example.org"), notice, &mut || unreachable!());
    let event = &events(&log)[0];
    assert_eq!((&event["event"], &event["changed"]), (&json!("rosterLoaded"), &json!(3)));
}

#[test]
fn each_failure_has_the_code_of_its_kind() {
    let text = || "text".to_owned();
    let condition = || "item-not-found".to_owned();
    for (from, kind) in [
        (Failure::NotAuthorized { condition: condition(), text: text() }, ErrorKind::NotAuthorized),
        (Failure::AccountDisabled { text: text() }, ErrorKind::AccountDisabled),
        (Failure::ServerUnreachable { text: text() }, ErrorKind::ServerUnreachable),
        (Failure::TlsFailed { text: text() }, ErrorKind::TlsFailed),
        (Failure::ProtocolViolation { text: text() }, ErrorKind::ProtocolViolation),
        (Failure::DowngradeRefused { text: text() }, ErrorKind::DowngradeRefused),
        (Failure::SessionReplaced, ErrorKind::SessionReplaced),
        (Failure::Offline, ErrorKind::Offline),
        (Failure::ContactUnknown, ErrorKind::ContactUnknown),
        (Failure::NotFound, ErrorKind::NotFound),
        (Failure::InvalidMedia { text: text() }, ErrorKind::InvalidMedia),
        (Failure::StanzaError { condition: condition(), text: text() }, ErrorKind::StanzaError),
        (Failure::RequestTimedOut, ErrorKind::RequestTimedOut),
        (Failure::LimitExceeded { what: "requests", limit: 7 }, ErrorKind::LimitExceeded),
        (Failure::TooLarge { limit: 7 }, ErrorKind::LimitExceeded),
        (Failure::StorageFailed, ErrorKind::StorageFailed),
        (Failure::Internal { again: true }, ErrorKind::InternalError),
        (Failure::Internal { again: false }, ErrorKind::InternalError),
    ] {
        let error = failure(&from, &jid("me@example.org"));
        assert_eq!(error.code, kind.code(), "{from:?}");
        assert_eq!(error.data.account.as_deref(), Some("me@example.org"));
        let said = format!("{from:?}");
        assert_eq!(error.data.text.is_some(), said.contains("text:"), "{from:?}");
        assert_eq!(error.data.condition.is_some(), said.contains("condition:"), "{from:?}");
    }
    let error = failure(&Failure::LimitExceeded { what: "requests", limit: 7 }, &jid("me@example.org"));
    assert_eq!((error.data.limit.as_deref(), error.data.value), (Some("requests"), Some(7)));
    assert!(error.data.retryable);
    let error = failure(&Failure::TooLarge { limit: 7 }, &jid("me@example.org"));
    assert_eq!((error.data.limit.as_deref(), error.data.value), (Some("bytes of a stanza"), Some(7)));
    assert!(!error.data.retryable, "it would be as large again");
}

#[test]
fn no_time_breaks_the_calendar() {
    assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000Z");
    assert!(time(Timestamp(i64::MAX)).contains('T'));
    assert!(time(Timestamp(i64::MIN)).contains('T'));
}
