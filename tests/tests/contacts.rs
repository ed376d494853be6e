//! A UI manages contacts: adding, changing and removing them, and who may see whose presence.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{AVATAR_METADATA, PROSE_VCARD4, VCARD4};
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers, png};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";

on_both_servers!(
    contacts_are_added_changed_and_removed,
    a_request_is_approved_and_one_denied,
    what_another_device_does_is_told,
    our_picture_and_profile_are_published,
);

async fn start(server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(Daemon::setup().trust(server)).await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    (daemon, ui)
}

/// Who waits for an answer.
async fn open(ui: &Ui) -> Vec<Value> {
    let requests = ui.call("list_subscription_requests", json!({})).await.expect("requests");
    requests.as_array().into_iter().flatten().map(|request| request["jid"].clone()).collect()
}

async fn contacts_are_added_changed_and_removed(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me").account("alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;

    let added = json!({ "jid": ALICE, "name": "Alice", "groups": ["Friends"] });
    let contact = ui.call("add_contact", added).await.expect("added");
    assert_eq!((&contact["name"], &contact["groups"]), (&json!("Alice"), &json!(["Friends"])));
    alice.wait_for("a request", |stanza| stanza.attr("type") == Some("subscribe")).await;
    alice.approve("me@prosed.test").await;
    ui.contact(ALICE, |contact| contact["subscription"] == "to").await;
    ui.contact(ALICE, |contact| contact["availability"] == "available").await;

    let renamed = json!({ "jid": ALICE, "name": "Al" });
    let contact = ui.call("update_contact", renamed).await.expect("changed");
    assert_eq!((&contact["name"], &contact["groups"]), (&json!("Al"), &json!(["Friends"])));
    ui.contact(ALICE, |contact| contact["name"] == "Al").await;

    ui.call("remove_contact", json!({ "jid": ALICE })).await.expect("removed");
    ui.event("contactChanged", |event| event["removed"] == json!([ALICE])).await;
    for method in ["get_contact", "remove_contact", "update_contact"] {
        let error = ui.call(method, json!({ "jid": ALICE })).await.expect_err("no contact");
        assert_eq!((error.code, error.kind()), (1201, "contactUnknown"), "{method}");
    }
    let error = ui.call("add_contact", json!({ "jid": "me@prosed.test" })).await.expect_err("ourselves");
    assert_eq!(error.kind(), "invalidJid");
}

async fn a_request_is_approved_and_one_denied(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me").account("alice").account("bob")).await;
    let (alice, bob) = (Contact::online(&server, "alice").await, Contact::online(&server, "bob").await);
    let (mut daemon, ui) = start(&server).await;
    for contact in [&alice, &bob] {
        contact.subscribe("me@prosed.test").await;
    }
    for jid in [ALICE, BOB] {
        ui.event("subscriptionRequested", |event| event["jid"] == jid).await;
    }
    assert_eq!(open(&ui).await, [ALICE, BOB]);

    // A request without an answer outlives the daemon: the server brings it again.
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    if open(&ui).await.len() < 2 {
        ui.event("subscriptionRequested", |event| event["jid"] == BOB).await;
    }

    ui.call("approve_subscription", json!({ "jid": ALICE })).await.expect("approved");
    ui.event("subscriptionResolved", |event| event["jid"] == ALICE).await;
    alice.wait_for_presence("me@prosed.test", |presence| presence.attr("type").is_none()).await;
    ui.call("deny_subscription", json!({ "jid": BOB })).await.expect("denied");
    bob.wait_for("a no", |stanza| stanza.attr("type") == Some("unsubscribed")).await;
    assert_eq!(open(&ui).await, [] as [&str; 0]);
}

async fn what_another_device_does_is_told(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me").account("alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;
    let other = Contact::online(&server, "me").await;
    other.add_to_roster(BOB, Some("Bob"), &["Work"]).await;
    ui.contact(BOB, |contact| contact["groups"] == json!(["Work"])).await;
    alice.subscribe("me@prosed.test").await;
    ui.event("subscriptionRequested", |event| event["jid"] == ALICE).await;
    other.approve(ALICE).await;
    ui.event("subscriptionResolved", |event| event["jid"] == ALICE).await;
    other.remove_from_roster(BOB).await;
    ui.event("contactChanged", |event| event["removed"] == json!([BOB])).await;
}

async fn our_picture_and_profile_are_published(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let other = Contact::online(&server, "me").await;
    // What a profile can't hold must outlive our changes.
    other
        .publish_vcard4(VCARD4, "<fn><text>Old</text></fn><lang><language-tag>eo</language-tag></lang>")
        .await;
    let (_daemon, ui) = start(&server).await;

    let image = png::solid(64, 64, [200, 100, 50]);
    let data = BASE64_STANDARD.encode(&image);
    let published =
        ui.call("set_avatar", json!({ "type": "image/png", "data": data })).await.expect("published");
    let id = published["id"].as_str().expect("an id");
    ui.event("accountChanged", |event| event["info"]["avatar"]["id"] == id).await;
    let metadata = alice.wait_for_pep("me@prosed.test", AVATAR_METADATA).await;
    assert!(prosed_tests::xml::print(&metadata).contains(id), "{metadata:?}");
    let loaded = ui.call("load_avatar", json!({ "jid": "me@prosed.test" })).await.expect("an avatar");
    assert_eq!(loaded["data"], data.as_str());

    let profile =
        json!({ "fullName": "Me & Myself", "emails": ["me@example.org"], "address": { "locality": "Here" } });
    ui.call("set_profile", json!({ "profile": profile })).await.expect("published");
    ui.event("accountChanged", |event| event["info"]["profile"]["fullName"] == "Me & Myself").await;
    let loaded = ui.call("load_profile", json!({ "jid": "me@prosed.test", "refresh": true })).await;
    assert_eq!(loaded.expect("a profile")["address"]["locality"], "Here");
    for node in [VCARD4, PROSE_VCARD4] {
        let query =
            format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{node}'/></pubsub>");
        let vcard = prosed_tests::xml::print(&other.get(None, &query).await.expect("a vCard"));
        assert!(vcard.contains("Me &amp; Myself") && vcard.contains("eo</"), "{node}: {vcard}");
    }

    ui.call("set_avatar", json!({ "data": "" })).await.expect("taken away");
    ui.event("accountChanged", |event| event["info"].get("avatar").is_none()).await;
    let error = ui.call("set_avatar", json!({ "data": "AAAA" })).await.expect_err("no image");
    assert_eq!((error.code, error.kind()), (1204, "invalidMedia"));
}
