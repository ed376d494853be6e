//! What old, odd and foreign servers and contacts send, and how people write their addresses.

use minidom::Element;
use prosed_tests::contact::{Client, befriend};
use prosed_tests::hostile::{Hostile, Served, result_of};
use prosed_tests::server::{Setup, password};
use prosed_tests::xml::find;
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, on_both_servers};
use serde_json::{Value, json};

on_both_servers!(a_domain_is_one_however_it_is_spelled);

/// A domain in Unicode, which DNS, TLS and certificates know as `xn--mller-kva.example`.
const MUELLER: &str = "müller.example";

async fn a_domain_is_one_however_it_is_spelled(kind: Kind) {
    let server = Server::start(Setup::new(kind).domain(MUELLER).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    for spelling in ["xn--mller-kva.example", "MU\u{308}LLER.Example.", "ｍüller。example"] {
        let login = json!({
            "jid": format!("me@{spelling}"), "password": password("me"),
            "host": "127.0.0.1", "port": server.direct_port, "tls": "direct",
        });
        ui.call("login", login).await.expect(spelling);
    }
    let accounts = ui.call("list_accounts", json!({})).await.expect("accounts");
    let jids: Vec<_> = accounts.as_array().into_iter().flatten().map(|account| &account["account"]).collect();
    assert_eq!(jids, [&json!(server.jid("me"))]);

    ui.contact(&alice.jid, |contact| contact["availability"] == "available").await;
    let renamed = json!({ "jid": "alice@xn--mller-kva.example", "name": "Al" });
    let contact = ui.call("update_contact", renamed).await.expect("changed");
    assert_eq!((&contact["jid"], &contact["name"]), (&json!(alice.jid), &json!("Al")));
    let names: Vec<_> = ui.contacts().await.iter().map(|contact| contact["jid"].clone()).collect();
    assert_eq!(names, [alice.jid.as_str()]);
}

/// What the server lets through is read, and returned unchanged. ejabberd 23.01 lets no emoji through.
#[tokio::test]
async fn a_device_may_have_any_name() {
    let server = Server::start(Setup::new(Kind::Prosody).account("me").account("alice")).await;
    let me = Contact::online(&server, "me").await;
    let mut alice = Contact::connect_as(&server, "alice", "📱Phone ❤\u{fe0f}", Client::default()).await;
    alice.set_presence(None, None).await;
    befriend(&me, &alice).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    let resource = alice.full_jid.split_once('/').expect("a full JID").1;
    // Its software is known once the device has answered a question.
    ui.contact(&alice.jid, |contact| {
        contact["resources"].as_array().into_iter().flatten().any(|device| {
            device["resource"] == resource && device["client"]["name"] == alice.client.name.as_str()
        })
    })
    .await;
}

const ROSTER: &str = "<item jid='alice@prosed.test' subscription='both'/><item jid='gw.prosed.test' subscription='both'/>\
    <item jid='icq.real.example/registered' subscription='both'/>";

/// Where stanzas are counted, and where they are not: read by other parts of ours.
const STREAMS: [&str; 2] = ["<sm xmlns='urn:xmpp:sm:3'/>", ""];

async fn session(features: &str) -> (Hostile, Daemon, Ui, Served) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session_with("me", "secret", features).await.listen(|stanza: &Element| {
        if stanza.name() == "enable" {
            return Some("<enabled xmlns='urn:xmpp:sm:3'/>".to_owned());
        }
        find(stanza, "query", "jabber:iq:roster")?;
        (stanza.attr("type") == Some("get"))
            .then(|| result_of(stanza, &format!("<query xmlns='jabber:iq:roster'>{ROSTER}</query>")))
    });
    ui.answer(&login).await.expect("logged in");
    (server, daemon, ui, peer)
}

async fn hears(ui: &Ui, peer: &Served, stanza: &str, jid: &str, fits: impl Fn(&Value) -> bool) {
    peer.send(stanza).await.expect("prosed is there");
    ui.contact(jid, fits).await;
}

fn has_device(contact: &Value, resource: &Value) -> bool {
    contact["resources"].as_array().into_iter().flatten().any(|device| device["resource"] == *resource)
}

#[tokio::test]
async fn a_presence_is_heard_whatever_is_odd_about_it() {
    for features in STREAMS {
        let (_server, _daemon, ui, peer) = session(features).await;
        for (n, odd) in [
            "<show/>".to_owned(),
            "<priority>5225</priority>".to_owned(),
            // A smiley: XML parsers differ in what they think of one within a tag.
            "<show/><x xmlns='urn:x'> :)</x>".to_owned(),
            "<show/><x xmlns='urn:x'>\r</x>".to_owned(),
            format!("<show/>{}", "<x xmlns='urn:x'/>".repeat(100)),
        ]
        .iter()
        .enumerate()
        {
            let status = n.to_string();
            let presence = format!(
                "<presence from='alice@prosed.test/📱Phone'>{odd}<status>{status}</status></presence>"
            );
            hears(&ui, &peer, &presence, "alice@prosed.test", |contact| {
                contact["status"] == status.as_str() && has_device(contact, &json!("📱Phone"))
            })
            .await;
        }
    }
}

#[tokio::test]
async fn gateways_are_heard_as_they_are() {
    let (_server, _daemon, ui, peer) = session(STREAMS[0]).await;
    for (from, contact) in
        [("gw.prosed.test", "gw.prosed.test"), ("icq.real.example/registered", "icq.real.example")]
    {
        hears(&ui, &peer, &format!("<presence from='{from}'/>"), contact, |contact| {
            contact["availability"] == "available"
        })
        .await;
    }
}
