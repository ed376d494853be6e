//! A UI manages contacts: adding, changing and removing them, and who may see whose presence.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{AVATAR_METADATA, PROSE_VCARD4, VCARD4};
use prosed_tests::http::request;
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers, png};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";

on_both_servers!(
    contacts_are_added_changed_and_removed,
    a_request_is_approved_and_one_denied,
    a_message_goes_with_a_request,
    a_group_is_renamed,
    last_seen_outlives_a_restart,
    what_another_device_does_is_told,
    our_picture_and_profile_are_published,
    one_who_sees_nothing_of_us_has_a_picture_and_its_address_outlives_a_restart,
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

    // An unanswered request survives the daemon: the server sends it again.
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

async fn a_message_goes_with_a_request(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me").account("alice").account("bob")).await;
    let (alice, bob) = (Contact::online(&server, "alice").await, Contact::online(&server, "bob").await);
    let (_daemon, ui) = start(&server).await;
    let says = |text: &'static str| {
        move |stanza: &minidom::Element| {
            stanza.attr("type") == Some("subscribe")
                && stanza.children().any(|child| child.name() == "status" && child.text() == text)
        }
    };
    ui.call("add_contact", json!({ "jid": ALICE, "message": "It's <me> & all" })).await.expect("added");
    alice.wait_for("a request with its message", says("It's <me> & all")).await;
    ui.call("request_subscription", json!({ "jid": BOB, "message": "We met 🎭" })).await.expect("asked");
    bob.wait_for("a request with its message", says("We met 🎭")).await;

    bob.send("<presence type='subscribe' to='me@prosed.test'><status>So we did</status></presence>").await;
    let event = ui.event("subscriptionRequested", |event| event["jid"] == BOB).await;
    assert_eq!(event["message"], "So we did");
    let open = ui.call("list_subscription_requests", json!({})).await.expect("requests");
    assert_eq!(open[0]["message"], "So we did");

    for method in ["add_contact", "request_subscription"] {
        let error =
            ui.call(method, json!({ "jid": BOB, "message": "x".repeat(1_001) })).await.expect_err("long");
        assert_eq!(error.kind(), "limitExceeded", "{method}");
        let error = ui.call(method, json!({ "jid": BOB, "message": "\u{1}" })).await.expect_err("no XML");
        assert_eq!(error.kind(), "invalidParams", "{method}");
    }
    let unasked = json!({ "jid": BOB, "subscribe": false, "message": "x" });
    assert_eq!(ui.call("add_contact", unasked).await.expect_err("nobody to tell").kind(), "invalidParams");
}

async fn a_group_is_renamed(kind: Kind) {
    const MEMBERS: usize = 100;
    let server = Server::start(Setup::new(kind).account("me")).await;
    let other = Contact::online(&server, "me").await;
    for n in 0..MEMBERS {
        other.add_to_roster(&format!("m{n}@prosed.test"), Some("M"), &["Old", "Kept"]).await;
    }
    let (_daemon, ui) = start(&server).await;
    ui.event("rosterLoaded", |_| true).await;
    let renamed = ui.call("rename_group", json!({ "group": "Old", "name": "New" })).await.expect("renamed");
    assert_eq!(renamed, json!({ "renamed": MEMBERS, "failedCount": 0, "failed": [] }));
    for contact in ui.contacts().await {
        assert_eq!((&contact["groups"], &contact["name"]), (&json!(["Kept", "New"]), &json!("M")));
    }
    let merged = ui.call("rename_group", json!({ "group": "New", "name": "Kept" })).await.expect("merged");
    assert_eq!(merged["renamed"], MEMBERS);
    let error = ui.call("rename_group", json!({ "group": "New", "name": "Kept" })).await.expect_err("none");
    assert_eq!(error.kind(), "notFound");
}

async fn last_seen_outlives_a_restart(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (mut daemon, ui) = start(&server).await;
    let here = ui.contact(ALICE, |contact| contact["availability"] == "available").await;
    assert!(here.get("lastSeen").is_none(), "{here}");
    alice.disconnect().await;
    // Before she came online she was away, too, and nobody knew since when.
    let gone = ui.contact(ALICE, |contact| contact.get("lastSeen").is_some()).await;
    assert_eq!(gone["availability"], "unavailable");
    let seen = gone["lastSeen"].as_str().expect("a time").to_owned();
    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    let after = ui.call("get_contact", json!({ "jid": ALICE })).await.expect("a contact");
    assert_eq!(after["lastSeen"], seen.as_str());
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
    // What a profile can't hold must survive our changes.
    other
        .publish_vcard4(
            VCARD4,
            "<fn><text>Old</text></fn><lang><language-tag>eo</language-tag></lang>\
             <tel><parameters><type><text>home</text></type></parameters><uri>tel:+4930123</uri></tel>",
        )
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
        assert!(vcard.contains("home</"), "what is said of a value that stays: {node}: {vcard}");
    }

    let patches =
        [json!({ "nickname": "Mo", "emails": null }), json!({ "note": "soon" }), json!({ "note": null })];
    for patch in patches {
        ui.call("set_profile", json!({ "profile": patch })).await.expect("published");
    }
    let loaded = ui.call("load_profile", json!({ "jid": "me@prosed.test", "refresh": true })).await;
    assert_eq!(
        loaded.expect("a profile"),
        json!({ "fullName": "Me & Myself", "nickname": "Mo", "emails": [], "phones": ["+4930123"], "urls": [],
                "address": { "locality": "Here" } })
    );

    ui.call("set_avatar", json!({ "data": "" })).await.expect("taken away");
    ui.event("accountChanged", |event| event["info"].get("avatar").is_none()).await;
    let error = ui.call("set_avatar", json!({ "data": "AAAA" })).await.expect_err("no image");
    assert_eq!((error.code, error.kind()), (1204, "invalidMedia"));
}

/// Their server does not know what interests us, so nothing is pushed.
async fn one_who_sees_nothing_of_us_has_a_picture_and_its_address_outlives_a_restart(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("me").account("alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let picture = png::solid(200, 100, [200, 100, 50]);
    let id = alice.publish_avatar(&picture).await;
    let (mut daemon, ui) = start(&server).await;
    ui.call("add_contact", json!({ "jid": ALICE })).await.expect("added");
    alice.wait_for("a request", |stanza| stanza.attr("type") == Some("subscribe")).await;
    let approved = Instant::now();
    alice.approve("me@prosed.test").await;
    let contact = ui.contact(ALICE, |contact| contact["avatar"]["id"] == id.as_str()).await;
    // Two seconds, and what a login and a busy machine take.
    assert!(approved.elapsed() < Duration::from_secs(10), "{:?}", approved.elapsed());
    assert_eq!(contact["subscription"], "to");

    let url = contact["avatar"]["url"].as_str().expect("an address").to_owned();
    let small = request(&daemon, "GET", &format!("{url}?size=64"), &[], "").await.expect("an answer");
    assert_eq!((small.status.as_u16(), small.header("content-type")), (200, "image/jpeg"));

    daemon.restart().await;
    let ui = Ui::connect(&daemon).await;
    assert_eq!(ui.contacts().await[0]["avatar"]["url"], url.as_str());
    let again = request(&daemon, "GET", &format!("{url}?size=64"), &[], "").await.expect("an answer");
    assert_eq!((again.status.as_u16(), &again.body), (200, &small.body));
}
