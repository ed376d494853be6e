//! What contacts and our other devices do, and what of it reaches a UI, on real servers.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::Client;
use prosed_tests::hostile::nested;
use prosed_tests::server::Setup;
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers, png};
use serde_json::{Value, json};
use tokio::time::sleep;

const ALICE: &str = "alice@prosed.test";
const DISCO: &str = "http://jabber.org/protocol/disco#info";

on_both_servers!(
    a_contact_is_renamed_and_grouped_elsewhere,
    a_picture_of_the_old_kind_will_do,
    an_old_vcard_is_found_on_request,
    contacts_may_ask_what_we_are_and_strangers_may_not,
    a_contact_on_two_devices_shows_the_best,
    what_was_held_back_is_in_the_next_roster,
);

async fn start(server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(Daemon::setup().trust(server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    (daemon, ui)
}

async fn a_contact_is_renamed_and_grouped_elsewhere(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let (mut daemon, ui) = start(&server).await;
    assert_eq!(ui.contacts().await[0]["name"], "Alice");
    let elsewhere = Contact::connect(&server, "me").await;
    elsewhere.add_to_roster(ALICE, Some("Alice <L>"), &["Work", "Friends"]).await;
    let alice = ui.contact(ALICE, |contact| contact["rosterName"] == "Alice <L>").await;
    assert_eq!(alice["subscription"], "both");
    let groups: Vec<_> = alice["groups"].as_array().into_iter().flatten().collect();
    assert!(groups.len() == 2 && groups.contains(&&json!("Work")), "{alice}");

    // The push is in the cache, and its version is ours: the server has nothing to add.
    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", json!({ "jid": "me@prosed.test" })).await.expect("it comes back by itself");
    assert_eq!(ui.contacts().await[0]["name"], "Alice <L>");
    let before = ui.events().into_iter().find(|event| event["changed"].as_u64().is_some_and(|n| n > 0));
    assert_eq!(before, None, "the push was kept");
}

async fn a_picture_of_the_old_kind_will_do(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").old_vcards()).await;
    let mut alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;
    let old = png::solid(12, 10, [10, 20, 30]);
    alice.set_vcard_temp("<FN>Alice</FN>", Some(&old)).await;
    let shown = ui.contact(ALICE, |contact| contact["avatar"]["width"] == 12).await;
    assert_eq!(shown["avatar"]["bytes"], old.len());
    let loaded = ui.call("load_avatar", json!({ "jid": ALICE })).await.expect("a picture");
    assert_eq!(loaded["data"], BASE64_STANDARD.encode(&old));

    let new = png::solid(20, 20, [1, 1, 1]);
    let id = alice.publish_avatar(&new).await;
    ui.contact(ALICE, |contact| contact["avatar"]["id"] == id.as_str()).await;
    alice.set_presence(Some("away"), None).await;
    let away = ui.contact(ALICE, |contact| contact["availability"] == "away").await;
    assert_eq!(away["avatar"]["id"], id.as_str(), "the old picture does not come back");
}

async fn an_old_vcard_is_found_on_request(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").old_vcards()).await;
    let mut alice = Contact::online(&server, "alice").await;
    let vcard = "<FN>Alice Liddell</FN><ORG><ORGNAME>Wonderland</ORGNAME></ORG>";
    alice.set_vcard_temp(vcard, None).await;
    let (_daemon, ui) = start(&server).await;
    let profile = ui.call("load_profile", json!({ "jid": ALICE })).await.expect("a profile");
    assert_eq!(
        (&profile["fullName"], &profile["organization"]),
        (&json!("Alice Liddell"), &json!("Wonderland"))
    );
    ui.contact(ALICE, |contact| contact["profile"]["organization"] == "Wonderland").await;

    alice.set_vcard_temp("<FN>Alice L.</FN>", None).await;
    let known = ui.call("load_profile", json!({ "jid": ALICE })).await.expect("a profile");
    assert_eq!(known["fullName"], "Alice Liddell", "the cache answers");
    let fresh = json!({ "jid": ALICE, "refresh": true });
    let fresh = ui.call("load_profile", fresh).await.expect("a profile");
    assert_eq!(fresh["fullName"], "Alice L.");
}

async fn contacts_may_ask_what_we_are_and_strangers_may_not(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").account("mallory")).await;
    let alice = Contact::online(&server, "alice").await;
    let mallory = Contact::online(&server, "mallory").await;
    let (_daemon, ui) = start(&server).await;
    let account = ui.call("get_account", json!({})).await.expect("an account");
    let me = account["jid"].as_str().expect("a full JID");
    let query = format!("<query xmlns='{DISCO}'/>");
    let answer = alice.get(Some(me), &query).await.expect("a contact is answered");
    assert_eq!(find(&answer, "identity", DISCO).and_then(|one| one.attr("name")), Some("prosed"));
    for query in [query, "<ping xmlns='urn:xmpp:ping'/>".to_owned()] {
        let refusal = mallory.get(Some(me), &query).await.expect_err("strangers learn nothing");
        assert!(
            find(&refusal, "service-unavailable", "urn:ietf:params:xml:ns:xmpp-stanzas").is_some(),
            "{refusal:?}"
        );
    }
}

async fn a_contact_on_two_devices_shows_the_best(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let mut phone = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;
    ui.contact(ALICE, |contact| contact["resources"].as_array().is_some_and(|all| all.len() == 1)).await;
    let mut desk = Contact::connect_as(&server, "alice", "desk", Client::new("Loom", "pc")).await;
    desk.set_presence(Some("dnd"), Some("at the desk")).await;
    let both = |contact: &Value| {
        contact["resources"].as_array().is_some_and(|all| all.len() == 2)
            && contact["resources"][1]["client"]["name"] == "Loom"
    };
    let alice = ui.contact(ALICE, both).await;
    assert_eq!((&alice["availability"], alice.get("status")), (&json!("available"), None));
    phone.set_presence(Some("xa"), None).await;
    ui.contact(ALICE, |contact| contact["availability"] == "xa").await;
    phone.disconnect().await;
    ui.contact(ALICE, |contact| contact["status"] == "at the desk").await;
}

/// By way of Prosody: ejabberd 23.01 does not survive such a stanza itself.
#[tokio::test]
async fn a_contact_cannot_end_us_with_a_deep_stanza() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui) = start(&server).await;
    let account = ui.call("get_account", json!({})).await.expect("an account");
    let (me, deep) = (account["jid"].as_str().expect("a full JID"), nested(3_500));
    alice.send(&format!("<message type='headline' to='{me}'>{deep}</message>")).await;
    alice.set_presence(None, Some("no harm meant")).await;
    ui.contact(ALICE, |contact| contact["status"] == "no harm meant").await;
    let after = ui.call("get_account", json!({})).await.expect("an account");
    assert_eq!((&after["since"], daemon.is_running()), (&account["since"], true), "the stream lives");
    assert!(daemon.log().contains("a stanza that exceeds our limits was dropped"), "{}", daemon.log());
}

/// Alice's status, as an event within a second, if it arrives.
async fn hears_status(ui: &Ui, status: &str) -> Option<Value> {
    let fits = |event: &Value| event["contacts"][0]["status"] == status;
    ui.event_within(Duration::from_secs(1), "contactChanged", fits).await
}

async fn what_was_held_back_is_in_the_next_roster(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;
    ui.call("set_activity", json!({ "active": false })).await.expect("said");
    // The server is told once the login has settled, after two seconds of quiet.
    let mut held_back = None;
    for n in 0..5 {
        sleep(Duration::from_millis(2_500)).await;
        let status = format!("status {n}");
        alice.set_presence(Some("away"), Some(&status)).await;
        if hears_status(&ui, &status).await.is_none() {
            held_back = Some(status);
            break;
        }
    }
    let status = held_back.expect("the server holds presences back");
    let shown = |contacts: Vec<Value>| contacts[0]["status"].clone();
    assert_ne!(shown(ui.contacts().await), *status, "nobody looks, and the server is not asked");

    ui.call("set_activity", json!({ "active": true })).await.expect("said");
    assert_eq!(shown(ui.contacts().await), *status, "a roster waits for what was held back");
    let event = hears_status(&ui, &status).await.expect("it is told");
    assert_eq!(event["initial"], true, "it has not just happened: {event}");
    alice.set_presence(None, Some("back")).await;
    let event = hears_status(&ui, "back").await.expect("at once");
    assert_eq!(event["initial"], Value::Null, "{event}");
}
