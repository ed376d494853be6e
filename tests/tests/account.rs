//! Our own account on real servers: what others see of it, and what survives a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minidom::Element;
use prosed_tests::contact::{PROSE_VCARD4, VCARD4};
use prosed_tests::server::{Passwords, Setup};
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers, png};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const ME: &str = "me@prosed.test";

on_both_servers!(
    our_other_device_changes_the_account,
    what_we_said_of_us_outlives_a_restart,
    who_logged_out_stays_out,
    a_forgotten_account_leaves_nothing,
    messages_are_left_to_other_clients,
    a_stop_is_no_news,
    who_is_online_at_login_has_not_just_come,
    a_first_login_that_fails_leaves_no_account,
    a_remembered_account_comes_back_by_itself,
);

/// A daemon in which we are logged in, a UI that watches, and the full JID that others see.
async fn start(server: &Server) -> (Daemon, Ui, String) {
    let daemon = Daemon::start(Daemon::setup().trust(server)).await;
    let ui = Ui::watching(&daemon).await;
    let account = ui.call("login", server.login("me")).await.expect("logged in");
    let full_jid = account["jid"].as_str().expect("a full JID").to_owned();
    (daemon, ui, full_jid)
}

/// Waits for an `accountChanged` with an account that fits.
async fn account(ui: &Ui, mut fits: impl FnMut(&Value) -> bool) -> Value {
    ui.event("accountChanged", |event| fits(&event["info"])).await["info"].clone()
}

fn is_available(presence: &Element) -> bool {
    presence.attr("type").is_none()
}

fn is_gone(presence: &Element) -> bool {
    presence.attr("type") == Some("unavailable")
}

fn show(presence: &Element) -> Option<String> {
    find(presence, "show", "jabber:client").map(Element::text)
}

/// After a start, everybody who is online is reported, and nobody has just come online.
async fn who_is_online_at_login_has_not_just_come(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui, _) = start(&server).await;
    ui.contact(ALICE, |alice| alice["availability"] == "available").await;
    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    let about_alice = |fits: fn(&Value) -> bool| {
        ui.event("contactChanged", move |event| {
            event["contacts"].as_array().is_some_and(|contacts| contacts.iter().any(fits))
        })
    };
    // It may have come before we began to watch.
    let begun = json!({ "since": 0, "events": ["contactChanged"] });
    let past = ui.call("get_events", begun).await;
    let oldest = past.expect_err("numbers go on").data["oldest"].as_u64().expect("a number");
    let page =
        ui.call("get_events", json!({ "since": oldest - 1, "timeout": 30, "events": ["contactChanged"] }));
    let found = page.await.expect("events")["events"][0].clone();
    assert_eq!((&found["initial"], &found["cameOnline"]), (&json!(true), &json!([ALICE])), "{found}");

    alice.set_presence(Some("away"), Some("lunch")).await;
    let status = about_alice(|alice| alice["status"] == "lunch").await;
    assert_eq!((&status["initial"], &status["cameOnline"]), (&Value::Null, &json!([])), "{status}");
    alice.disconnect().await;
    let left = about_alice(|alice| alice["availability"] == "unavailable").await;
    assert_eq!((&left["initial"], &left["cameOnline"]), (&Value::Null, &json!([])), "{left}");
    ui.forget_received();
    let _alice = Contact::online(&server, "alice").await;
    let came = about_alice(|alice| alice["availability"] == "available").await;
    assert_eq!((&came["initial"], &came["cameOnline"]), (&Value::Null, &json!([ALICE])), "{came}");
}

/// It was never one of ours, so nobody has forgotten it.
async fn a_first_login_that_fails_leaves_no_account(kind: Kind) {
    let mut server = Server::start(Setup::new(kind).account("me")).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    let mut login = server.login("me");
    login["password"] = json!("guess");
    assert_eq!(ui.call("login", login).await.expect_err("it is wrong").kind(), "notAuthorized");
    let gone = ui.event("accountChanged", |event| event.get("info").is_none()).await;
    assert_eq!(gone.get("removed"), None, "{gone}");
    let events = ui.events();
    let states: Vec<_> = events.iter().map(|event| event["info"]["state"].as_str()).collect();
    assert_eq!(states, [Some("connecting"), Some("failed"), None]);
    assert_eq!(events[1]["info"]["error"]["data"]["kind"], "notAuthorized");
    assert_eq!(ui.call("list_accounts", json!({})).await, Ok(json!([])));

    // If a retry might help, it ends with the login, and that is reported.
    server.kill();
    ui.forget_received();
    let begun = ui.send_call("login", server.login("me")).await;
    account(&ui, |info| info["retryAt"].is_string()).await;
    assert_eq!(ui.answer(&begun).await.expect_err("nobody is there").kind(), "serverUnreachable");
    let gone = ui.event("accountChanged", |event| event.get("info").is_none()).await;
    assert_eq!(gone.get("removed"), None, "{gone}");
    let before = ui.events().into_iter().rev().nth(1).expect("an event before");
    assert_eq!(before["info"]["state"], "failed");
}

/// Otherwise a notifier would report that everybody has left, and after the start that everybody has come online.
async fn a_stop_is_no_news(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let _alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui, _) = start(&server).await;
    ui.contact(ALICE, |alice| alice["availability"] == "available").await;
    let told = ui.events().len();
    daemon.sigterm().await;
    ui.closed().await;
    for event in &ui.events()[told..] {
        assert_ne!(event["info"]["state"], "offline", "{event}");
        let contacts = event["contacts"].as_array().into_iter().flatten();
        assert!(contacts.into_iter().all(|contact| contact["availability"] != "unavailable"), "{event}");
    }
}

async fn our_other_device_changes_the_account(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let (_daemon, ui, _) = start(&server).await;
    let mut phone = Contact::online(&server, "me").await;
    let is_there = |info: &Value| info["resources"][0]["client"]["name"] == "Pocket";
    let info = account(&ui, is_there).await;
    assert_eq!(info["resources"].as_array().map(Vec::len), Some(1), "ourselves we are not: {info}");
    assert_eq!(info["resources"][0]["resource"], "phone");
    phone.set_presence(Some("dnd"), Some("out")).await;
    account(&ui, |info| info["resources"][0]["status"] == "out").await;

    phone.publish_vcard4(PROSE_VCARD4, "<fn><text>Marc Bauer</text></fn>").await;
    account(&ui, |info| info["profile"]["fullName"] == "Marc Bauer").await;
    phone.publish_vcard4(VCARD4, "<fn><text>Marc</text></fn>").await;
    account(&ui, |info| info["profile"]["fullName"] == "Marc").await;
    let profile = ui.call("load_profile", json!({ "jid": ME })).await.expect("our own");
    assert_eq!(profile["fullName"], "Marc");
    let id = phone.publish_avatar(&png::solid(6, 6, [0, 0, 9])).await;
    account(&ui, |info| info["avatar"]["id"] == id.as_str()).await;

    phone.vanish().await;
    account(&ui, |info| info["resources"].as_array().is_none_or(Vec::is_empty)).await;
    let as_contact = ui.events().into_iter().find(|event| event["ids"] == json!([ME]));
    assert_eq!(as_contact, None, "our own JID is no contact");
}

async fn what_we_said_of_us_outlives_a_restart(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui, me) = start(&server).await;
    ui.call("set_presence", json!({ "availability": "away", "status": "tea" })).await.expect("said");
    alice.wait_for_presence(ME, |presence| show(presence).as_deref() == Some("away")).await;
    account(&ui, |info| info["availability"] == "away" && info["status"] == "tea").await;

    // What was acknowledged is on disk, however the daemon ends; event numbers continue.
    let seq = ui.call("load_roster", json!({})).await.expect("a roster")["seq"].as_u64();
    daemon.kill();
    daemon.restart().await;
    let is_new = |presence: &Element| is_available(presence) && presence.attr("from") != Some(&me);
    let first = alice.wait_for_presence(ME, is_new).await;
    assert_eq!(show(&first).as_deref(), Some("away"));
    assert_eq!(find(&first, "status", "jabber:client").map(Element::text).as_deref(), Some("tea"));

    let ui = Ui::watching(&daemon).await;
    let now = ui.call("load_roster", json!({})).await.expect("a roster")["seq"].as_u64();
    assert!(now > seq, "{now:?} after {seq:?}");
    ui.call("set_presence", json!({ "availability": "unavailable" })).await.expect("said");
    alice.wait_for_presence(first.attr("from").expect("a full JID"), is_gone).await;
    assert_eq!(ui.contacts().await[0]["jid"], ALICE, "invisible, and at work");
}

async fn who_logged_out_stays_out(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui, me) = start(&server).await;
    alice.wait_for_presence(&me, is_available).await;
    ui.call("logout", json!({})).await.expect("logged out");
    alice.wait_for_presence(&me, is_gone).await;
    account(&ui, |info| info["state"] == "offline").await;
    alice.forget_received();

    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    let accounts = ui.call("list_accounts", json!({})).await.expect("accounts");
    assert_eq!((&accounts[0]["account"], &accounts[0]["state"]), (&json!(ME), &json!("offline")));
    assert_eq!(ui.contacts().await[0]["jid"], ALICE, "the cache stays");
    assert!(
        alice.wait_within(Duration::ZERO, |stanza| stanza.name() == "presence").await.is_none(),
        "nobody has come back"
    );
    // The secret and the connection settings are remembered.
    let back = ui.call("login", json!({ "jid": ME })).await.expect("logged in again");
    assert_eq!((&back["state"], &back["remembered"]), (&json!("online"), &json!(true)));
    alice.wait_for_presence(ME, is_available).await;
}

async fn a_forgotten_account_leaves_nothing(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui, me) = start(&server).await;
    assert_eq!(ui.contacts().await.len(), 1);
    assert_eq!(traces(&daemon.data_dir()).len(), 3, "the account, its secret, and a note of this start");
    ui.call("logout", json!({ "forget": true })).await.expect("forgotten");
    ui.event("accountChanged", |event| event["removed"] == true).await;
    alice.wait_for_presence(&me, is_gone).await;

    assert_eq!(traces(&daemon.data_dir()), Vec::<PathBuf>::new());
    for restarted in [false, true] {
        if restarted {
            daemon.restart().await;
        }
        let ui = Ui::connect(&daemon).await;
        assert_eq!(ui.call("list_accounts", json!({})).await, Ok(json!([])));
        let account = json!({ "account": ME });
        let error = ui.call("load_roster", account).await.expect_err("nothing is cached");
        assert_eq!((error.code, error.kind()), (1003, "accountUnknown"));
        let mut login = server.login("me");
        login.as_object_mut().expect("parameters").remove("password");
        let error = ui.call("login", login).await.expect_err("no secret is left");
        assert_eq!((error.code, error.kind()), (1002, "credentialsMissing"));
    }
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("it restarts");
    let loaded = ui.event("rosterLoaded", |_| true).await;
    assert_eq!(loaded["changed"], 1, "the cache knew of no contact");
}

/// A crash while it was being forgotten: the account is gone at once, and the next start erases what was left of it.
#[tokio::test]
async fn what_a_crash_left_to_be_forgotten_is_forgotten_at_the_next_start() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let (mut daemon, ui, _) = start(&server).await;
    assert_eq!(ui.contacts().await.len(), 1);
    daemon.sigterm().await;
    let list = daemon.data_dir().join("accounts.json");
    let mut accounts: Value = serde_json::from_slice(&fs::read(&list).expect("accounts")).expect("JSON");
    accounts[ME]["forgotten"] = true.into();
    fs::write(&list, accounts.to_string()).expect("written");
    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    assert_eq!(ui.call("list_accounts", json!({})).await, Ok(json!([])));
    assert_eq!(traces(&daemon.data_dir()), Vec::<PathBuf>::new(), "the secret is gone, too");
    ui.call("login", server.login("me")).await.expect("it restarts");
    let loaded = ui.event("rosterLoaded", |_| true).await;
    assert_eq!(loaded["changed"], 1, "the cache knew of no contact");
}

/// Files whose name or content refers to us.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("our folder") {
        let path = entry.expect("our folder").path();
        if path.is_dir() {
            found.extend(traces(&path));
        } else if path.display().to_string().contains(ME)
            || String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(ME)
        {
            found.push(path);
        }
    }
    found
}

async fn messages_are_left_to_other_clients(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (_daemon, _ui, me) = start(&server).await;
    alice.wait_for_presence(&me, is_available).await;
    let id = alice.send_message(ME, "are you there?").await;
    // The server has handled the message once it answers alice's next request.
    alice.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");

    let phone = Contact::online(&server, "me").await;
    phone.wait_for("the message that waited", |stanza| stanza.attr("id") == Some(&id)).await;
}

/// However the server stores passwords, and so whatever was remembered.
async fn a_remembered_account_comes_back_by_itself(kind: Kind) {
    for passwords in [Passwords::Sha1, Passwords::Plain] {
        let server = Server::start(Setup::new(kind).account("me").passwords(passwords)).await;
        let (mut daemon, ..) = start(&server).await;
        daemon.restart().await;
        let ui = Ui::connect(&daemon).await;
        let back = ui.call("login", json!({ "jid": ME })).await;
        assert_eq!(back.unwrap_or_else(|error| panic!("{passwords:?}: {error:?}"))["state"], "online");
    }
}
