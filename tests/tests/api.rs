//! The API as seen by a UI: order, subscriptions, and the endpoints besides the WebSocket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use prosed_tests::hostile::Hostile;
use prosed_tests::http::{bearer, request};
use prosed_tests::server::Setup;
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";

#[tokio::test]
async fn what_needs_a_session_waits_for_its_login_and_reads_do_not() {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let account = json!({ "account": "me@prosed.test" });
    let roster = ui.send_call("load_roster", account.clone()).await;
    let state = ui.send_call("get_account", account).await;
    let version = ui.call("get_version", json!({})).await.expect("it concerns no account");
    assert_eq!((&version["name"], &version["apiLevel"]), (&json!("prosed"), &json!(1)));
    assert_eq!(ui.answer(&state).await.expect("an account")["state"], "connecting");
    assert_eq!(ui.frames().len(), 2, "{:?}", ui.frames());

    let _peer = server.accept_session("me", "secret").await.serve(|stanza| {
        let items =
            "<query xmlns='jabber:iq:roster'><item jid='alice@prosed.test' subscription='both'/></query>";
        find(stanza, "query", "jabber:iq:roster").map(|_| items.to_owned())
    });
    ui.answer(&login).await.expect("logged in");
    assert_eq!(ui.answer(&roster).await.expect("a roster")["contacts"][0]["jid"], ALICE);
}

#[tokio::test]
async fn a_subscription_tells_what_was_asked_for_and_no_more() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let silent = Ui::connect(&daemon).await;
    let mut uis = Vec::new();
    for event in ["contactChanged", "accountChanged", "rosterLoaded"] {
        let ui = Ui::connect(&daemon).await;
        let id = ui.call(&format!("subscribe_{event}"), json!({})).await.expect("subscribed");
        uis.push((event, ui, id));
    }
    silent.call("login", server.login("me")).await.expect("logged in");
    for (event, ui, id) in &uis {
        ui.event(event, |_| true).await;
        assert!(ui.events().iter().all(|one| one["event"] == *event), "{:?}", ui.events());
        let named = ui.frames().into_iter().find(|frame| frame["method"] == *event).expect("an event");
        assert_eq!(&named["params"]["subscription"], id);
    }
    let (_, ui, id) = &uis[0];
    let presence = |status: &'static str| move |contact: &Value| contact["status"] == status;
    alice.set_presence(None, Some("one")).await;
    ui.contact(ALICE, presence("one")).await;
    let snapshot = silent.call("load_roster", json!({})).await.expect("a roster");

    assert_eq!(ui.call("unsubscribe", json!([id])).await, Ok(json!(true)));
    assert_eq!(ui.call("unsubscribe", json!({ "id": id })).await, Ok(json!(false)), "it is gone");
    alice.set_presence(None, Some("two")).await;
    let late = Ui::connect(&daemon).await;
    late.subscribe(json!({ "since": snapshot["seq"], "events": ["contactChanged"] })).await;
    late.contact(ALICE, presence("two")).await;
    alice.set_presence(None, Some("three")).await;
    late.contact(ALICE, presence("three")).await;
    let seqs: Vec<_> = late.events().iter().map(|event| event["seq"].as_u64()).collect();
    assert!(seqs.is_sorted_by(|one, next| one < next), "nothing twice: {seqs:?}");
    assert!(seqs.first() > Some(&snapshot["seq"].as_u64()), "{seqs:?} after {}", snapshot["seq"]);
    let heard = |ui: &Ui| ui.events().iter().any(|event| event["contacts"][0]["status"] == "three");
    assert!(heard(&late) && !heard(ui), "an ended subscription tells nothing");
    assert!(silent.events().is_empty(), "who did not subscribe is not told");

    // The same with only curl.
    let headers = [("authorization", bearer(&daemon)), ("content-type", "application/json".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let page = json!({ "jsonrpc": "2.0", "id": 1, "method": "get_events",
                       "params": { "since": snapshot["seq"], "events": ["contactChanged"] } });
    let page = request(&daemon, "POST", "/rpc", &headers, &page.to_string()).await.expect("an answer").json();
    assert_eq!(page["result"]["events"].as_array().map(Vec::len), Some(seqs.len()), "{page}");
    let poll = json!({ "jsonrpc": "2.0", "id": 1, "method": "get_events",
                       "params": { "since": page["result"]["seq"], "timeout": 20 } });
    let poll = poll.to_string();
    let polled = request(&daemon, "POST", "/rpc", &headers, &poll);
    let change = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        alice.set_presence(None, Some("four")).await;
    };
    let (polled, ()) = tokio::join!(polled, change);
    assert_eq!(polled.expect("an answer").json()["result"]["events"][0]["contacts"][0]["status"], "four");
}

#[tokio::test]
async fn numbers_go_on_behind_a_restart_and_what_was_before_is_expired() {
    let server = Hostile::listen().await;
    let mut daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let served = server.accept_session("me", "secret").await.serve(|_| None);
    ui.answer(&login).await.expect("logged in");
    ui.event("rosterLoaded", |_| true).await;
    drop(served);
    let seq = ui.events().last().and_then(|event| event["seq"].as_u64()).expect("a number");

    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    let polled = json!({ "since": seq, "timeout": 0 });
    for (method, params) in [("subscribe", json!({ "since": seq })), ("get_events", polled)] {
        let error = ui.call(method, params).await.expect_err("nothing is retained across a restart");
        assert_eq!(error.kind(), "cursorExpired", "{method}");
        assert!(error.data["oldest"].as_u64() > Some(seq), "{method}: {} after {seq}", error.data);
    }
    // From the current position, nothing is missed.
    let now = ui.call("get_events", json!({})).await.expect("a page")["seq"].clone();
    ui.subscribe(json!({ "since": now })).await;
    let _served = server.accept_session("me", "secret").await.serve(|_| None);
    let event = ui.event("accountChanged", |event| event["info"]["state"] == "online").await;
    assert!(event["seq"].as_u64() > now.as_u64() && now.as_u64() > Some(seq), "{} {now} {seq}", event["seq"]);
}

#[tokio::test]
async fn the_doors_are_described_and_private() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let endpoint = daemon.endpoint();
    assert_eq!((&endpoint["apiLevel"], &endpoint["pid"]), (&json!(1), &json!(daemon.id())));
    assert!(endpoint["version"].is_string() && daemon.address().starts_with("127.0.0.1:"), "{endpoint}");
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for folder in [daemon.runtime_dir(), daemon.data_dir(), daemon.cache_dir()] {
        assert_eq!(mode(folder), 0o700);
    }
    assert_eq!(mode(daemon.token_file()), 0o600);
    assert!(daemon.token().len() >= 43, "256 bits in base64url");

    let health = request(&daemon, "GET", "/healthz", &[], "").await.expect("an answer");
    assert_eq!(health.status, 200);
    let ui = Ui::connect(&daemon).await;
    let described = ui.call("rpc.discover", json!({})).await.expect("a document");
    let names: Vec<_> =
        described["methods"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    for name in
        ["login", "logout", "list_accounts", "get_account", "load_roster", "get_contact", "load_avatar"]
    {
        assert!(names.contains(&&json!(name)), "{name}: {names:?}");
    }
    for name in
        ["load_profile", "set_presence", "subscribe", "unsubscribe", "subscribe_rosterLoaded", "get_events"]
    {
        assert!(names.contains(&&json!(name)), "{name}: {names:?}");
    }
}
