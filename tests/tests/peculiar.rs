//! Peculiar clients and servers, within the RFCs or not: what a UI sees of them.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use prosed_tests::contact::{AVATAR_DATA, Client, sha1_hex};
use prosed_tests::hostile::Hostile;
use prosed_tests::server::Setup;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers, png};
use serde_json::{Value, json};

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";

on_both_servers!(
    an_avatar_whose_id_is_in_capitals_is_found,
    caps_that_cannot_be_checked_count_for_their_device,
);

async fn start(server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(Daemon::setup().trust(server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    (daemon, ui)
}

/// Item ids are opaque (XEP-0060); that this one is a lower-case hash is only a custom.
async fn an_avatar_whose_id_is_in_capitals_is_found(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").friends("me", "bob")).await;
    let alice = Contact::online(&server, "alice").await;
    let bob = Contact::online(&server, "bob").await;
    let publish = async |contact: &Contact, image: &[u8]| {
        let id = sha1_hex(image).to_uppercase();
        let data = BASE64_STANDARD.encode(image);
        let item = format!("<data xmlns='{AVATAR_DATA}'>{data}</data>");
        contact.publish(AVATAR_DATA, &id, &item).await.expect("published");
        let info = format!("<info id='{id}' type='image/png' bytes='{}'/>", image.len());
        contact.publish_avatar_metadata(&id, &info).await;
    };
    let (before, after) = (png::solid(9, 9, [90, 10, 10]), png::solid(11, 11, [10, 90, 10]));
    // One from before the login, and one that comes as an event.
    publish(&alice, &before).await;
    let (_daemon, ui) = start(&server).await;
    ui.contact(ALICE, |contact| contact["avatar"]["width"] == 9).await;
    publish(&bob, &after).await;
    let shown = ui.contact(BOB, |contact| contact["avatar"]["width"] == 11).await;
    assert_eq!(shown["avatar"]["id"], sha1_hex(&after), "one picture, one id");
    let loaded = ui.call("load_avatar", json!({ "jid": ALICE })).await.expect("a picture");
    assert_eq!(loaded["data"], BASE64_STANDARD.encode(&before));
}

/// Caps from before there was a hash (XEP-0115 1.3), and those whose hash has a name that is not registered.
async fn caps_that_cannot_be_checked_count_for_their_device(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice").friends("me", "bob")).await;
    let (_daemon, ui) = start(&server).await;
    let old = "<c xmlns='http://jabber.org/protocol/caps' node='https://old.test' ver='0.9' ext='voice'/>";
    let loud = "<c xmlns='http://jabber.org/protocol/caps' hash='SHA-1' node='https://loud.test' ver='fitsNobodyQ='/>";
    let come = async |name: &str, software: &str, caps: &str| {
        let contact = Contact::connect_as(&server, name, software, Client::new(software, "pc")).await;
        contact.send(&format!("<presence>{caps}</presence>")).await;
        contact
    };
    let mut there = Vec::new();
    // The same words from all of them: nobody is taken for somebody else.
    for (name, jid, software, caps) in [
        ("alice", ALICE, "Loom", old),
        ("alice", ALICE, "Tape", old),
        ("alice", ALICE, "Horn", loud),
        ("bob", BOB, "Mark", old),
        ("bob", BOB, "Drum", loud),
    ] {
        there.push(come(name, software, caps).await);
        let is_known = |contact: &Value| {
            let devices = contact["resources"].as_array().into_iter().flatten();
            devices.clone().any(|device| device["client"]["name"] == software)
                && devices.clone().all(|device| device["client"]["name"] == device["resource"])
        };
        ui.contact(jid, is_known).await;
    }
}

/// ejabberd keeps those of a shared roster in it, whatever a client wants: it answers with a push that says so.
#[tokio::test]
async fn a_contact_whom_the_server_keeps_is_not_said_to_be_removed() {
    let server =
        Server::start(Setup::new(Kind::Ejabberd).account("me").account("alice").shared_roster()).await;
    let (_daemon, ui) = start(&server).await;
    let roster = ui.contacts().await;
    assert_eq!(
        (roster.len(), &roster[0]["jid"], &roster[0]["groups"]),
        (1, &json!(ALICE), &json!(["Staff"]))
    );
    let error = ui.call("remove_contact", json!({ "jid": ALICE })).await.expect_err("it stays");
    assert_eq!((error.kind(), &error.data["condition"]), ("stanzaError", &json!("not-allowed")), "{error:?}");
    assert_eq!(ui.contacts().await[0]["jid"], ALICE);
    // What the server lets its users choose still is theirs.
    let renamed = ui.call("update_contact", json!({ "jid": ALICE, "name": "Al" })).await.expect("renamed");
    assert_eq!((&renamed["name"], &renamed["groups"]), (&json!("Al"), &json!(["Staff"])));
}

/// No client can send such: servers do, which say so of what they could not deliver.
#[tokio::test]
async fn a_presence_error_takes_no_device_away() {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let roster =
        "<query xmlns='jabber:iq:roster'><item jid='alice@prosed.test' subscription='both'/></query>";
    let peer = server.accept_session("me", "secret").await.serve(|stanza| {
        let query = stanza.children().next()?;
        (query.ns() == "jabber:iq:roster").then(|| roster.to_owned())
    });
    ui.answer(&login).await.expect("logged in");
    let presence = |more: &str| format!("<presence from='alice@prosed.test{more}</presence>");
    for device in ["desk", "phone"] {
        peer.send(&presence(&format!("/{device}'><status>{device}</status>"))).await.expect("sent");
    }
    let both = |contact: &Value| contact["resources"].as_array().is_some_and(|devices| devices.len() == 2);
    ui.contact(ALICE, both).await;
    let error = "type='error'><error type='cancel'><remote-server-timeout \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for from in ["' ", "/desk' ", "/gone' "] {
        peer.send(&presence(&format!("{from}{error}"))).await.expect("sent");
    }
    peer.ping().await;
    let told = ui.events().len();
    assert!(both(&ui.contacts().await[0]), "nobody has gone");
    peer.send(&presence("/desk' type='unavailable'>")).await.expect("sent");
    let left = |contact: &Value| contact["status"] == "phone" && !both(contact);
    ui.contact(ALICE, left).await;
    assert_eq!(ui.events().len(), told + 1, "and nothing was told of them: {:?}", ui.events());
}
