//! What prosed sends to a server, and when: checked by a server that follows a script.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use prosed_tests::contact::{Client, sha1_hex};
use prosed_tests::hostile::{Hostile, ROSTER_VERSIONING, Served, result_of};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui, png};
use serde_json::json;
use tokio::time::Instant;

const ALICE: &str = "alice@prosed.test";
const BOB: &str = "bob@prosed.test";

const ROSTER: &str = "jabber:iq:roster";
const DISCO: &str = "http://jabber.org/protocol/disco#info";
const CAPS: &str = "http://jabber.org/protocol/caps";
const CARBONS: &str = "urn:xmpp:carbons:2";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// Both contacts, in version 1.
const ITEMS: &str = "<query xmlns='jabber:iq:roster' ver='1'>\
    <item jid='alice@prosed.test' subscription='both'/><item jid='bob@prosed.test' subscription='both'/></query>";

/// A server that no one has talked to, and a daemon that trusts it, watched by a UI.
async fn begin() -> (Hostile, Daemon, Ui) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    (server, daemon, ui)
}

/// Logs in; the server answers each stanza with what `answer` returns, and nothing else.
async fn log_in(
    server: &Hostile,
    ui: &Ui,
    answer: impl FnMut(&Element) -> Option<String> + Send + 'static,
) -> Served {
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await.listen(answer);
    ui.answer(&login).await.expect("logged in");
    peer
}

/// Restarts the daemon: the account comes back on its own.
async fn come_back(
    server: &Hostile,
    daemon: &mut Daemon,
    answer: impl FnMut(&Element) -> Option<String> + Send + 'static,
) -> (Served, Ui) {
    daemon.restart().await;
    let ui = Ui::watching(daemon).await;
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await.listen(answer);
    ui.call("login", json!({ "jid": "me@prosed.test" })).await.expect("it is online, or soon will be");
    (peer, ui)
}

/// Answers what every server answers, and leaves the rest to the test.
fn roster_only(stanza: &Element) -> Option<String> {
    find(stanza, "query", ROSTER).map(|_| result_of(stanza, ITEMS))
}

/// A stanza in one word, with what matters of it.
fn gist(stanza: &Element) -> String {
    let priority = find(stanza, "priority", "jabber:client").map(Element::text).unwrap_or_default();
    if let Some(roster) = find(stanza, "query", ROSTER) {
        return format!("roster get ver={:?}", roster.attr("ver"));
    }
    match (stanza.name(), stanza.attr("type")) {
        ("presence", None) if find(stanza, "c", CAPS).is_some() => format!("presence {priority} with caps"),
        ("presence", None) => format!("presence {priority}"),
        ("iq", Some("set")) if find(stanza, "enable", CARBONS).is_some() => "carbons".to_owned(),
        ("iq", Some("result")) => "pong".to_owned(),
        _ => prosed_tests::xml::print(stanza),
    }
}

fn gists(peer: &Served) -> Vec<String> {
    peer.received().iter().map(gist).collect()
}

fn how_many(peer: &Served, name: &str, namespace: &str) -> usize {
    peer.received().iter().filter(|stanza| find(stanza, name, namespace).is_some()).count()
}

#[tokio::test]
async fn the_roster_then_both_presences_and_carbons() {
    let (server, mut daemon, ui) = begin().await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    // Nothing is answered but by the test.
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await.listen(|_| None);
    let asked = peer.wait_for("a roster request", |stanza| find(stanza, "query", ROSTER).is_some()).await;
    peer.ping().await;
    assert_eq!(gists(&peer), ["roster get ver=Some(\"\")", "pong"], "presence waits for the roster");

    peer.send(&result_of(&asked, ITEMS)).await.expect("prosed is there");
    let account = ui.answer(&login).await.expect("logged in, though nothing else is answered");
    assert_eq!(account["state"], "online");
    for _ in 0..2 {
        assert_eq!(ui.contacts().await.len(), 2);
    }
    peer.ping().await;
    let said = gists(&peer);
    assert_eq!(said[2..], ["presence -1", "presence -1 with caps", "carbons", "pong"]);

    daemon.restart().await;
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await;
    // An empty result: nothing has changed since version 1.
    let peer = peer.listen(|stanza| find(stanza, "query", ROSTER).map(|_| result_of(stanza, "")));
    let ui = Ui::connect(&daemon).await;
    ui.call("login", json!({ "jid": "me@prosed.test" })).await.expect("it came back by itself");
    assert_eq!(ui.contacts().await.len(), 2);
    peer.ping().await;
    let all = ["roster get ver=Some(\"1\")", "presence -1", "presence -1 with caps", "carbons", "pong"];
    assert_eq!(gists(&peer), all);
}

#[tokio::test]
async fn presence_does_not_wait_for_a_slow_roster() {
    let (server, _daemon, ui) = begin().await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session("me", "secret").await.listen(|_| None);
    let asked = peer.wait_for("a roster request", |stanza| find(stanza, "query", ROSTER).is_some()).await;
    let since = Instant::now();
    peer.wait_for("presence", |stanza| stanza.name() == "presence").await;
    let waited = since.elapsed();
    assert!(waited > Duration::from_millis(1_800), "it waits some 2 s for the roster, not {waited:?}");
    ui.answer(&login).await.expect("logged in without a roster");

    let roster = ui.send_call("load_roster", json!({})).await;
    peer.ping().await;
    peer.send(&result_of(&asked, ITEMS)).await.expect("prosed is there");
    let roster = ui.answer(&roster).await.expect("the roster came at last");
    assert_eq!(roster["contacts"][0]["jid"], ALICE);
    assert_eq!(
        gists(&peer),
        ["roster get ver=None", "presence -1", "presence -1 with caps", "carbons", "pong"]
    );
}

#[tokio::test]
async fn our_hash_fits_what_we_say_we_are() {
    let (server, _daemon, ui) = begin().await;
    let peer = log_in(&server, &ui, roster_only).await;
    let presence = peer.wait_for("presence with caps", |stanza| find(stanza, "c", CAPS).is_some()).await;
    let caps = find(&presence, "c", CAPS).expect("caps");
    let (node, ver) = (caps.attr("node").expect("a node"), caps.attr("ver").expect("a hash"));
    assert_eq!(caps.attr("hash"), Some("sha-1"));

    for (id, asked) in [("own", format!(" node='{node}#{ver}'")), ("none", String::new())] {
        let query = format!("<query xmlns='{DISCO}'{asked}/>");
        peer.send(&format!("<iq type='get' id='{id}' from='me@prosed.test'>{query}</iq>"))
            .await
            .expect("sent");
        let answer = peer.wait_for("what prosed is", |stanza| stanza.attr("id") == Some(id)).await;
        let identity = find(&answer, "identity", DISCO).expect("an identity");
        let features = find(&answer, "query", DISCO).expect("an answer").children();
        let said = Client {
            name: identity.attr("name").expect("a name").to_owned(),
            kind: identity.attr("type").expect("a type").to_owned(),
            features: features.filter_map(|child| child.attr("var")).map(str::to_owned).collect(),
        };
        assert!(said.features.iter().any(|var| var == "urn:xmpp:avatar:metadata+notify"), "{said:?}");
        assert_eq!(said.hash(), ver, "{said:?}");
    }
    for foreign in [format!("{node}#6aWbehzlp0FWzQSHMB9Ma3lEAgo="), "https://elsewhere.test".to_owned()] {
        let query = format!("<query xmlns='{DISCO}' node='{foreign}'/>");
        peer.send(&format!("<iq type='get' id='{foreign}' from='{ALICE}'>{query}</iq>")).await.expect("sent");
        let answer = peer.wait_for("a refusal", |stanza| stanza.attr("id") == Some(&foreign)).await;
        assert!(find(&answer, "item-not-found", STANZAS).is_some(), "{}", gist(&answer));
    }
}

/// What `client` answers to a disco#info request.
fn disclose(request: &Element, client: &Client) -> Option<String> {
    let node = find(request, "query", DISCO)?.attr("node").unwrap_or_default();
    let features: String = client.features.iter().map(|var| format!("<feature var='{var}'/>")).collect();
    let (kind, name) = (&client.kind, &client.name);
    let identity = format!("<identity category='client' type='{kind}' name='{name}'/>");
    Some(result_of(request, &format!("<query xmlns='{DISCO}' node='{node}'>{identity}{features}</query>")))
}

#[tokio::test]
async fn a_hash_is_asked_for_once_and_remembered() {
    let (server, mut daemon, ui) = begin().await;
    let client = Client::new("Loom", "pc");
    let loom = |contact: &serde_json::Value| contact["resources"][0]["client"]["name"] == "Loom";
    let peer = log_in(&server, &ui, roster_only).await;
    for from in [ALICE, BOB] {
        peer.send(&format!("<presence from='{from}/desk'>{}</presence>", client.caps())).await.expect("sent");
    }
    let asked = peer.wait_for("a question", |stanza| find(stanza, "query", DISCO).is_some()).await;
    let node = find(&asked, "query", DISCO).and_then(|query| query.attr("node"));
    assert!(node.is_some_and(|node| node.ends_with(&client.hash())), "{node:?}");
    peer.send(&disclose(&asked, &client).expect("an answer")).await.expect("sent");
    ui.contact(ALICE, loom).await;
    for jid in [ALICE, BOB] {
        let contact = ui.call("get_contact", json!({ "jid": jid })).await.expect("known");
        assert!(loom(&contact), "{contact}");
        let features = contact["resources"][0]["features"].as_array().expect("features");
        assert!(features.contains(&json!("urn:xmpp:receipts")), "{features:?}");
    }
    assert_eq!(how_many(&peer, "query", DISCO), 1, "one question a hash");

    // A hash that does not match its answer says nothing about others who show it.
    let liar = Client::new("Liar", "pc").with_feature("never:announced");
    peer.send(&format!("<presence from='{ALICE}/liar'>{}</presence>", liar.caps())).await.expect("sent");
    let asked = peer.wait_for("a question", |stanza| find(stanza, "query", DISCO).is_some()).await;
    peer.send(&disclose(&asked, &Client::new("Liar", "pc")).expect("an answer")).await.expect("sent");
    peer.send(&format!("<presence from='{BOB}/other'>{}</presence>", liar.caps())).await.expect("sent");
    let asked = peer.wait_for("a question", |stanza| find(stanza, "query", DISCO).is_some()).await;
    assert_eq!(asked.attr("to"), Some("bob@prosed.test/other"));

    let (peer, ui) = come_back(&server, &mut daemon, roster_only).await;
    peer.send(&format!("<presence from='{ALICE}/desk'>{}</presence>", client.caps())).await.expect("sent");
    ui.contact(ALICE, loom).await;
    peer.ping().await;
    assert_eq!(how_many(&peer, "query", DISCO), 0, "known across restarts");
}

#[tokio::test]
async fn an_avatar_is_fetched_once() {
    let (server, mut daemon, ui) = begin().await;
    let image = png::solid(16, 16, [200, 100, 0]);
    let id = sha1_hex(&image);
    let data = BASE64_STANDARD.encode(&image);
    let item = format!(
        "<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:avatar:data'><item id='{id}'>\
         <data xmlns='urn:xmpp:avatar:data'>{data}</data></item></items></pubsub>"
    );
    let has_avatar = |contact: &serde_json::Value| contact["avatar"]["id"] == id.as_str();
    let is_wish = |stanza: &Element| find(stanza, "item", PUBSUB).is_some();
    let wishes = |peer: &Served| peer.received().iter().filter(|stanza| is_wish(stanza)).count();
    let metadata = |from: &str| {
        format!(
            "<message type='headline' from='{from}'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='urn:xmpp:avatar:metadata'><item id='{id}'><metadata xmlns='urn:xmpp:avatar:metadata'>\
             <info id='{id}' type='image/png' bytes='{}' width='16' height='16'/></metadata></item></items>\
             </event></message>",
            image.len()
        )
    };

    let peer = log_in(&server, &ui, roster_only).await;
    for _ in 0..2 {
        peer.send(&metadata(ALICE)).await.expect("sent");
    }
    let asked = peer.wait_for("a request for the image", is_wish).await;
    assert_eq!((asked.attr("to"), asked.attr("type")), (Some(ALICE), Some("get")));
    peer.send(&result_of(&asked, &item)).await.expect("sent");
    ui.contact(ALICE, has_avatar).await;
    peer.send(&metadata(ALICE)).await.expect("sent");
    peer.send(&metadata(BOB)).await.expect("sent");
    ui.contact(BOB, has_avatar).await;
    peer.ping().await;
    assert_eq!(wishes(&peer), 1, "the image is known by its hash, whoever shows it");

    let (peer, ui) = come_back(&server, &mut daemon, roster_only).await;
    peer.send(&metadata(ALICE)).await.expect("sent");
    peer.ping().await;
    assert_eq!(wishes(&peer), 0, "it is saved");
    assert!(ui.contacts().await.iter().all(has_avatar));
    let told = ui.events().into_iter().filter(|event| event["event"] == "contactChanged").count();
    assert_eq!(told, 0, "what was known is no news");
}

/// This server acknowledges nothing, so prosed can't know whether it has the request. The roster does not show it.
#[tokio::test]
async fn a_subscription_request_that_was_lost_with_its_connection_is_sent_again_once() {
    let (server, _daemon, ui) = begin().await;
    let peer = log_in(&server, &ui, roster_only).await;
    ui.call("request_subscription", json!({ "jid": "carol@prosed.test" })).await.expect("sent");
    let is_request = |stanza: &Element| stanza.attr("type") == Some("subscribe");
    let first = peer.wait_for("a subscription request", is_request).await;
    drop(peer);
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await.listen(roster_only);
    let second = peer.wait_for("the same again", is_request).await;
    assert_eq!(first.attr("to"), second.attr("to"));
    drop(peer);
    let peer = server.accept_session_with("me", "secret", ROSTER_VERSIONING).await.listen(roster_only);
    peer.wait_for("carbons", |stanza| find(stanza, "enable", CARBONS).is_some()).await;
    peer.ping().await;
    assert!(!peer.received().iter().any(is_request), "at each login");
}
