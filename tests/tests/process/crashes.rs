//! A bug that brings one account down: it begins anew, and nobody else notices.

use std::fs;

use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui};
use serde_json::{Value, json};

use super::{BlackHole, break_it, provocable};

const ME: &str = "me@prosed.test";
const YOU: &str = "you@prosed.test";
const ALICE: &str = "alice@prosed.test";

async fn state(ui: &Ui, account: &str) -> Value {
    ui.call("get_account", json!({ "account": account })).await.expect("an account")
}

/// Waits for an event that shows the account in this state.
async fn becomes(ui: &Ui, account: &str, state: &str) -> Value {
    let event =
        ui.event("accountChanged", |event| event["account"] == account && event["info"]["state"] == state);
    event.await["info"].clone()
}

#[tokio::test]
async fn a_panic_takes_one_account_and_it_comes_back() {
    let server = Setup::new(Kind::Prosody).friends("me", "alice").friends("you", "alice");
    let server = Server::start(server).await;
    let alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(provocable().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    for name in ["me", "you"] {
        ui.call("login", server.login(name)).await.expect("logged in");
        let account = server.jid(name);
        let shown = |event: &Value| {
            event["account"] == account.as_str() && event["contacts"][0]["availability"] == "available"
        };
        ui.event("contactChanged", shown).await;
        ui.event("rosterLoaded", |event| event["account"] == account.as_str()).await;
    }
    let bystander = state(&ui, YOU).await;
    let old = state(&ui, ME).await["jid"].as_str().expect("it is bound").to_owned();
    ui.forget_received();

    let error = ui.call("set_presence", break_it(ME, "panic canary-7f3a")).await.expect_err("it crashed");
    assert_eq!(error.kind(), "internalError");
    let failed = becomes(&ui, ME, "failed").await;
    assert_eq!(failed["error"]["data"]["kind"], "internalError");
    ui.contact(ALICE, |contact| contact["availability"] == "unavailable").await;
    becomes(&ui, ME, "online").await;
    let gone = |stanza: &minidom::Element| stanza.attr("type") == Some("unavailable");
    alice.wait_for_presence(&old, gone).await;
    ui.contact(ALICE, |contact| contact["availability"] == "available").await;
    assert!(state(&ui, ME).await.get("error").is_none());

    let after = state(&ui, YOU).await;
    assert_eq!((&after["state"], &after["jid"]), (&json!("online"), &bystander["jid"]));
    assert_eq!(after["since"], bystander["since"], "it was never anything else");

    let log = fs::read_to_string(daemon.log_file()).expect("a log");
    assert!(log.contains("fault_injection.rs"), "the place of the panic is logged");
    assert!(!log.contains("canary-7f3a"), "what it said is not");
}

#[tokio::test]
async fn three_panics_within_a_minute_keep_it_offline() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let daemon = Daemon::start(provocable().trust(&server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.event("rosterLoaded", |_| true).await;
    for _ in 0..2 {
        ui.forget_received();
        ui.call("set_presence", break_it(ME, "panic now")).await.expect_err("it crashed");
        becomes(&ui, ME, "online").await;
    }
    ui.forget_received();
    ui.call("set_presence", break_it(ME, "panic now")).await.expect_err("it crashed");
    let failed = becomes(&ui, ME, "failed").await;
    let error = &failed["error"];
    assert_eq!(
        (&error["data"]["kind"], &error["data"]["retryable"]),
        (&json!("internalError"), &json!(false))
    );
    let roster = ui.call("load_roster", json!({})).await.expect("from the cache");
    assert_eq!((&roster["source"], &roster["contacts"][0]["jid"]), (&json!("cache"), &json!(ALICE)));
    let patience = std::time::Duration::from_secs(2);
    let again = ui.event_within(patience, "accountChanged", |event| event["info"]["state"] != "failed").await;
    assert_eq!(again, None, "it is not tried again");
    assert_eq!(state(&ui, ME).await["error"], *error, "and whoever comes later learns why");

    // Whoever asks for it gets it.
    let mut login = server.login("me");
    login.as_object_mut().expect("parameters").remove("password");
    let online = ui.call("login", login).await.expect("logged in with what is remembered");
    assert_eq!(online["state"], "online");
}

#[tokio::test]
async fn calls_in_flight_are_answered() {
    let hole = BlackHole::open().await;
    let daemon = Daemon::start(provocable()).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", hole.login("me")).await;
    let _held = hole.swallow(1).await;
    // On a connection of its own: on the same one it would wait for the login.
    let other = Ui::connect(&daemon).await;
    other.call("set_presence", break_it(ME, "panic now")).await.expect_err("it crashed");
    assert_eq!(ui.answer(&login).await.expect_err("it crashed").kind(), "internalError");
    // No server had accepted it yet: it never was an account.
    assert_eq!(other.call("list_accounts", json!({})).await.expect("a list"), json!([]));
    let gone = ui.event("accountChanged", |event| event.get("info").is_none()).await;
    assert_eq!(gone.get("removed"), None, "nobody has forgotten it: {gone}");
    let before = ui.events().into_iter().rev().nth(1).expect("an event before");
    assert_eq!(before["info"]["error"]["data"]["kind"], "internalError", "{before}");
}
