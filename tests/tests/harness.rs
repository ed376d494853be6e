//! The harness is tested before it is trusted: two contacts on each real server, without prosed.

use prosed_tests::contact::{AVATAR_METADATA, Client, PROSE_VCARD4, VCARD4};
use prosed_tests::server::{Passwords, Setup};
use prosed_tests::xml::{XmlStream, find, print};
use prosed_tests::{Contact, Kind, Server, befriend, on_both_servers, png};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' to='prosed.test' version='1.0'>";

on_both_servers!(
    a_server_offers_what_scenarios_need,
    passwords_are_kept_as_asked,
    contacts_befriend_and_show_themselves,
    a_roster_is_set_up,
    a_restart_keeps_the_data,
    clients_see_the_end
);

/// The mechanisms offered under TLS that prosed knows, sorted.
async fn mechanisms(server: &Server) -> Vec<String> {
    let mut stream = server.door().connect().await.expect("TLS");
    stream.write_all(HEADER.as_bytes()).await.expect("it reads");
    let features = XmlStream::new(stream).expect().await.expect("features");
    let offered = features.children().flat_map(|feature| feature.children()).map(minidom::Element::text);
    let known = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"];
    let mut mechanisms: Vec<_> = offered.filter(|offered| known.contains(&offered.as_str())).collect();
    mechanisms.sort();
    mechanisms
}

async fn passwords_are_kept_as_asked(kind: Kind) {
    let setup = Setup::new(kind).account("alice");
    for (passwords, offered) in [
        (Passwords::Sha1, ["PLAIN", "SCRAM-SHA-1"].as_slice()),
        (Passwords::Plain, &["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]),
    ] {
        let server = Server::start(setup.clone().passwords(passwords)).await;
        assert_eq!(mechanisms(&server).await, offered, "{passwords:?}");
        Contact::online(&server, "alice").await;
    }
}

/// What the scenarios of prosed lean on is there, on the port with STARTTLS and on the one without.
async fn a_server_offers_what_scenarios_need(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("alice")).await;

    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).await.expect("the port is open");
    plain.write_all(HEADER.as_bytes()).await.expect("it reads");
    let features = XmlStream::new(plain).expect().await.expect("features");
    assert!(find(&features, "starttls", "urn:ietf:params:xml:ns:xmpp-tls").is_some(), "{}", print(&features));
    assert!(
        find(&features, "mechanism", "urn:ietf:params:xml:ns:xmpp-sasl").is_none(),
        "no SASL without TLS"
    );

    assert_eq!(mechanisms(&server).await, ["PLAIN", "SCRAM-SHA-256"]);

    let alice = Contact::connect(&server, "alice").await;
    let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let of_server = alice.get(Some(server.domain), query).await.expect("the server's features");
    let of_account = alice.get(Some(&alice.jid), query).await.expect("the account's features");
    let offered = print(&of_server) + &print(&of_account);
    for feature in [
        "urn:xmpp:carbons:2",
        "urn:xmpp:blocking",
        "urn:xmpp:mam:2",
        "http://jabber.org/protocol/pubsub#publish-options",
        "vcard-temp",
    ] {
        assert!(offered.contains(feature), "{feature}: {offered}");
    }

    let versioned = alice.get(None, "<query xmlns='jabber:iq:roster' ver=''/>").await.expect("a roster");
    let query = versioned.children().next().expect("an unknown version is answered in full");
    assert!(query.attr("ver").is_some_and(|version| !version.is_empty()), "rosters have versions");
}

async fn contacts_befriend_and_show_themselves(kind: Kind) {
    let server = Server::start(Setup::new(kind).account("alice").account("bob")).await;
    let mut alice = Contact::online(&server, "alice").await;
    let bob = Contact::online(&server, "bob").await;
    befriend(&alice, &bob).await;

    alice.set_presence(Some("dnd"), Some("writing <\"tests\">")).await;
    let presence = bob
        .wait_for_presence(&alice.full_jid, |stanza| stanza.children().any(|child| child.name() == "show"))
        .await;
    let text = |name: &str| presence.get_child(name, "jabber:client").map(minidom::Element::text);
    assert_eq!(text("show").as_deref(), Some("dnd"));
    assert_eq!(text("status").as_deref(), Some("writing <\"tests\">"));
    let caps = presence.get_child("c", "http://jabber.org/protocol/caps").expect("caps");
    assert_eq!(caps.attr("ver"), Some(Client::default().hash().as_str()));

    let blue = alice.publish_avatar(&png::solid(32, 32, [0, 0, 255])).await;
    let red = alice.publish_avatar(&png::solid(32, 32, [255, 0, 0])).await;
    assert_ne!(blue, red);
    for id in [&blue, &red] {
        let event = bob.wait_for_pep(&alice.jid, AVATAR_METADATA).await;
        assert_eq!(find(&event, "info", AVATAR_METADATA).and_then(|info| info.attr("id")), Some(id.as_str()));
    }
    alice.empty_avatar().await;
    let event = bob.wait_for_pep(&alice.jid, AVATAR_METADATA).await;
    assert!(
        find(&event, "metadata", AVATAR_METADATA).is_some_and(|metadata| metadata.children().count() == 0)
    );

    for node in [VCARD4, PROSE_VCARD4] {
        alice.publish_vcard4(node, "<fn><text>Alice Liddell</text></fn>").await;
        let event = bob.wait_for_pep(&alice.jid, node).await;
        let text = find(&event, "text", PROSE_VCARD4).map(minidom::Element::text);
        assert_eq!(text.as_deref(), Some("Alice Liddell"));
    }

    alice.set_vcard_temp("<FN>Alice</FN>", Some(&png::solid(16, 16, [9, 9, 9]))).await;
    let vcard = bob.get(Some(&alice.jid), "<vCard xmlns='vcard-temp'/>").await.expect("alice's vCard");
    assert!(find(&vcard, "BINVAL", "vcard-temp").is_some(), "the photo is there");

    let disco = bob
        .get(Some(&alice.full_jid), "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        .await
        .expect("alice answers");
    assert!(find(&disco, "identity", "http://jabber.org/protocol/disco#info").is_some());

    bob.remove_from_roster(&alice.jid).await;
    alice.wait_for_roster_push(&bob.jid, "none").await;
}

async fn a_roster_is_set_up(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("alice", "bob")).await;
    let bob = Contact::online(&server, "bob").await;
    let alice = Contact::online(&server, "alice").await;
    bob.wait_for_presence(&alice.full_jid, |stanza| stanza.attr("type").is_none()).await;
    let roster = alice.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");
    let item = find(&roster, "item", "jabber:iq:roster").expect("a contact");
    assert_eq!(item.attr("jid"), Some("bob@prosed.test"));
    assert_eq!((item.attr("name"), item.attr("subscription")), (Some("Bob"), Some("both")));

    let id = alice.send_message(&bob.full_jid, "hello & good-bye").await;
    let message = bob.wait_for("the message", |stanza| stanza.attr("id") == Some(&id)).await;
    assert_eq!(
        message.get_child("body", "jabber:client").map(minidom::Element::text).as_deref(),
        Some("hello & good-bye")
    );
}

async fn a_restart_keeps_the_data(kind: Kind) {
    let mut server = Server::start(Setup::new(kind).friends("alice", "bob")).await;
    let alice = Contact::online(&server, "alice").await;
    alice.add_to_roster("carol@prosed.test", Some("Carol"), &["Wonderland"]).await;
    alice.remove_from_roster("bob@prosed.test").await;
    let ports = (server.port, server.direct_port);
    server.restart().await;
    assert_eq!(ports, (server.port, server.direct_port), "clients find it where it was");
    let alice = Contact::online(&server, "alice").await;
    let roster = alice.get(None, "<query xmlns='jabber:iq:roster'/>").await.expect("a roster");
    let items: Vec<_> =
        roster.children().flat_map(|query| query.children()).map(|item| item.attr("jid")).collect();
    assert_eq!(items, [Some("carol@prosed.test")]);
}

async fn clients_see_the_end(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("alice", "bob").account("carol")).await;
    let bob = Contact::online(&server, "bob").await;
    for politely in [true, false] {
        let alice = Contact::online(&server, "alice").await;
        let full_jid = alice.full_jid.clone();
        bob.wait_for_presence(&full_jid, |stanza| stanza.attr("type").is_none()).await;
        if politely {
            alice.disconnect().await;
        } else {
            alice.vanish().await;
        }
        bob.wait_for_presence(&full_jid, |stanza| stanza.attr("type") == Some("unavailable")).await;
    }
}
