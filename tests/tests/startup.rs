//! From `login` to `contactChanged`, end to end: the real daemon, real servers, live contacts.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{Client, PROSE_VCARD4, VCARD4};
use prosed_tests::server::Setup;
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, http, on_both_servers, png};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";

on_both_servers!(
    a_login_shows_the_contacts,
    a_contact_changes_before_our_eyes,
    what_offline_contacts_published_is_found,
    the_cache_answers_when_the_server_is_gone,
    a_wrong_password_is_final,
    two_accounts_and_two_uis_share_a_daemon,
    a_contact_removed_elsewhere_is_gone,
    contacts_see_us_come_and_go,
);

/// A daemon that trusts the server, and a UI that gets every event.
async fn start(server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(Daemon::setup().trust(server)).await;
    let ui = Ui::watching(&daemon).await;
    (daemon, ui)
}

async fn a_login_shows_the_contacts(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").friends("me", "bob")).await;
    let _alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;

    let account = ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!((&account["account"], &account["state"]), (&json!("me@prosed.test"), &json!("online")));
    let roster = ui.call("load_roster", json!({})).await.expect("a roster");
    assert_eq!(roster["source"], "server", "nothing was cached");
    let jids: Vec<_> =
        roster["contacts"].as_array().into_iter().flatten().map(|contact| &contact["jid"]).collect();
    assert_eq!(jids, [ALICE, BOB]);
    assert_eq!(roster["contacts"][1]["name"], "Bob");
    assert_eq!(roster["contacts"][1]["subscription"], "both");

    ui.event("rosterLoaded", |event| event["account"] == "me@prosed.test").await;
    let alice = ui.contact(ALICE, |contact| contact["availability"] == "available").await;
    assert_eq!(alice["resources"][0]["resource"], "phone");
    let alice = ui.contact(ALICE, |contact| contact["resources"][0]["client"]["name"] == "Pocket").await;
    assert_eq!(alice["resources"][0]["client"]["type"], "phone");

    let direct = Server::start(Setup::new(kind).account("me")).await;
    let (_daemon, ui) = start(&direct).await;
    ui.call("login", direct.login_direct("me")).await.expect("logged in over direct TLS");
}

async fn a_contact_changes_before_our_eyes(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let (daemon, ui) = start(&server).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    ui.contact(ALICE, |contact| contact["availability"] == "available").await;

    alice.set_presence(Some("dnd"), Some("busy <&>")).await;
    ui.contact(ALICE, |contact| contact["availability"] == "dnd" && contact["status"] == "busy <&>").await;

    for colour in [[255, 0, 0], [0, 255, 0]] {
        let image = png::solid(24, 18, colour);
        let id = alice.publish_avatar(&image).await;
        let contact = ui.contact(ALICE, |contact| contact["avatar"]["id"] == id.as_str()).await;
        let avatar = &contact["avatar"];
        assert_eq!((&avatar["width"], &avatar["height"]), (&json!(24), &json!(18)));
        assert_eq!((&avatar["type"], &avatar["bytes"]), (&json!("image/png"), &json!(image.len())));

        let loaded = ui.call("load_avatar", json!({ "jid": ALICE })).await.expect("an avatar");
        assert_eq!(loaded["data"], BASE64_STANDARD.encode(&image));
        let url = avatar["url"].as_str().expect("a url");
        let response = http::request(&daemon, "GET", url, &[], "").await.expect("an answer");
        assert_eq!((response.status.as_u16(), response.header("content-type")), (200, "image/png"));
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(response.body, image);
    }
    alice.empty_avatar().await;
    ui.contact(ALICE, |contact| contact.get("avatar").is_none()).await;

    alice.publish_vcard4(PROSE_VCARD4, "<fn><text>Alice of Prose</text></fn>").await;
    ui.contact(ALICE, |contact| contact["profile"]["fullName"] == "Alice of Prose").await;
    alice.publish_vcard4(VCARD4, "<fn><text>Alice</text></fn><title><text>Guest</text></title>").await;
    let contact = ui.contact(ALICE, |contact| contact["profile"]["fullName"] == "Alice").await;
    assert_eq!(contact["profile"]["title"], "Guest", "the node of XEP-0292 wins");
    let profile = ui.call("load_profile", json!({ "jid": ALICE })).await.expect("a profile");
    assert_eq!(profile["fullName"], "Alice");

    alice.vanish().await;
    ui.contact(ALICE, |contact| contact["availability"] == "unavailable").await;
}

async fn what_offline_contacts_published_is_found(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let id = alice.publish_avatar(&png::solid(8, 8, [7, 8, 9])).await;
    alice.publish_vcard4(VCARD4, "<fn><text>Alice Liddell</text></fn>").await;
    alice.disconnect().await;

    let (_daemon, ui) = start(&server).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    let fits = |contact: &Value| {
        contact["avatar"]["id"] == id.as_str() && contact["profile"]["fullName"] == "Alice Liddell"
    };
    ui.contact(ALICE, fits).await;
}

async fn the_cache_answers_when_the_server_is_gone(kind: Kind) {
    let mut server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let image = png::solid(8, 8, [1, 2, 3]);
    let id = alice.publish_avatar(&image).await;
    alice.publish_vcard4(VCARD4, "<fn><text>Alice</text></fn>").await;
    let (mut daemon, ui) = start(&server).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    let fits =
        |contact: &Value| contact["avatar"]["id"] == id.as_str() && contact["profile"]["fullName"] == "Alice";
    ui.contact(ALICE, fits).await;

    assert!(daemon.sigterm().await.success(), "{}", daemon.log());
    server.kill();
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    let roster = ui.call("load_roster", json!({})).await.expect("a roster");
    assert_eq!(roster["source"], "cache");
    let contact = &roster["contacts"][0];
    assert_eq!((&contact["jid"], &contact["availability"]), (&json!(ALICE), &json!("unavailable")));
    assert_eq!((&contact["avatar"]["id"], &contact["profile"]["fullName"]), (&json!(id), &json!("Alice")));
    let avatar = ui.call("load_avatar", json!({ "jid": ALICE })).await.expect("an avatar");
    assert_eq!(avatar["data"], BASE64_STANDARD.encode(&image));

    // The server's roster is fetched after the cached one, and differences are reported.
    server.restart().await;
    let me = Contact::connect(&server, "me").await;
    me.add_to_roster(BOB, Some("Bob"), &["New"]).await;
    daemon.restart().await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    if !ui.contacts().await.iter().any(|contact| contact["jid"] == BOB) {
        ui.contact(BOB, |contact| contact["groups"] == json!(["New"])).await;
    }
}

async fn a_wrong_password_is_final(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me")).await;
    let (daemon, ui) = start(&server).await;
    let mut login = server.login("me");
    login["password"] = "guess-2718".into();
    let error = ui.call("login", login).await.expect_err("the server refuses");
    assert_eq!((error.code, error.kind()), (1001, "notAuthorized"), "{error:?}");
    assert!(!daemon.log().contains("guess-2718"), "the log holds a secret");
    ui.call("login", server.login("me")).await.expect("the right one is still welcome");
}

async fn two_accounts_and_two_uis_share_a_daemon(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").friends("you", "bob")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let bob = Contact::online(&server, "bob").await;
    let (daemon, one) = start(&server).await;
    let other = Ui::connect(&daemon).await;
    one.call("login", server.login("me")).await.expect("logged in");
    other.call("login", server.login("you")).await.expect("logged in");
    let attached = other.call("login", json!({ "jid": "me@prosed.test" })).await.expect("attached");
    assert_eq!(attached["state"], "online");
    other.subscribe(json!({ "account": "you@prosed.test" })).await;

    let accounts = one.call("list_accounts", json!({})).await.expect("accounts");
    let names: Vec<_> =
        accounts.as_array().into_iter().flatten().map(|account| &account["account"]).collect();
    assert_eq!(names, ["me@prosed.test", "you@prosed.test"]);
    let error = one.call("load_roster", json!({})).await.expect_err("which account?");
    assert_eq!((error.code, error.kind()), (1004, "accountRequired"));
    let roster = one.call("load_roster", json!({ "account": "you@prosed.test" })).await.expect("a roster");
    assert_eq!(roster["contacts"][0]["jid"], BOB);

    alice.set_presence(Some("away"), Some("for one")).await;
    one.contact(ALICE, |contact| contact["status"] == "for one").await;
    bob.publish_vcard4(VCARD4, "<fn><text>Bob</text></fn>").await;
    for ui in [&one, &other] {
        ui.contact(BOB, |contact| contact["profile"]["fullName"] == "Bob").await;
    }
    assert!(other.events().iter().all(|event| event["account"] == "you@prosed.test"), "{:?}", other.events());
}

async fn a_contact_removed_elsewhere_is_gone(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let (_daemon, ui) = start(&server).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    assert_eq!(ui.contacts().await.len(), 1);
    let elsewhere = Contact::connect(&server, "me").await;
    elsewhere.add_to_roster("carol@prosed.test", Some("Carol"), &["Friends"]).await;
    let carol = ui.contact("carol@prosed.test", |contact| contact["rosterName"] == "Carol").await;
    assert_eq!((&carol["subscription"], &carol["groups"]), (&json!("none"), &json!(["Friends"])));
    elsewhere.remove_from_roster(ALICE).await;
    ui.event("contactChanged", |event| event["removed"] == json!([ALICE])).await;
    let left = ui.contacts().await;
    assert_eq!(left.len(), 1, "{left:?}");
}

async fn contacts_see_us_come_and_go(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let mut alice = Contact::connect_as(&server, "alice", "desk", Client::new("Loom", "pc")).await;
    alice.set_presence(None, None).await;
    let (mut daemon, ui) = start(&server).await;
    let account = ui.call("login", server.login("me")).await.expect("logged in");
    let me = account["jid"].as_str().expect("a full JID").to_owned();
    let caps = |stanza: &minidom::Element| find(stanza, "c", "http://jabber.org/protocol/caps").cloned();
    let presence = alice.wait_for_presence(&me, |stanza| caps(stanza).is_some()).await;
    let caps = caps(&presence).expect("caps");
    let node = format!("{}#{}", caps.attr("node").expect("a node"), caps.attr("ver").expect("a hash"));
    let asked = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
    let answer = alice.get(Some(&me), &asked).await.expect("prosed answers");
    assert!(find(&answer, "feature", "http://jabber.org/protocol/disco#info").is_some());
    let asked = "<query xmlns='http://jabber.org/protocol/disco#info' node='https://elsewhere#hash'/>";
    let refusal = alice.get(Some(&me), asked).await.expect_err("not prosed's node");
    assert!(find(&refusal, "item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas").is_some());

    ui.call("set_presence", json!({ "availability": "away", "status": "tea" })).await.expect("said");
    alice.wait_for_presence(&me, |stanza| find(stanza, "status", "jabber:client").is_some()).await;
    assert!(daemon.sigterm().await.success());
    alice.wait_for_presence(&me, |stanza| stanza.attr("type") == Some("unavailable")).await;
}
