//! What is malformed or forged affects only itself.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::StatusCode;
use minidom::Element;
use prosed_tests::contact::{Client, PROSE_VCARD4, VCARD4, sha1_hex};
use prosed_tests::daemon::Setup;
use prosed_tests::hostile::{Hostile, Served, nested, result_of};
use prosed_tests::http::{bearer, request};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui, png};
use serde_json::{Value, json};

/// Levels that overflow the stack of whatever recurses.
const DEEP: usize = 20_000;

const ALICE: &str = "alice@prosed.test";
const ROSTER: &str = "jabber:iq:roster";
const DISCO: &str = "http://jabber.org/protocol/disco#info";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
const METADATA: &str = "urn:xmpp:avatar:metadata";

/// A session on a server with a roster of these items; the test does the rest.
async fn session(items: &'static str) -> (Hostile, Daemon, Ui, Served) {
    session_of(Daemon::setup(), items).await
}

async fn session_of(setup: Setup, items: &'static str) -> (Hostile, Daemon, Ui, Served) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(setup.trust_ca(&server.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session("me", "secret").await.listen(move |stanza| {
        let query = find(stanza, "query", ROSTER)?;
        (query.children().count() == 0 && stanza.attr("type") == Some("get"))
            .then(|| result_of(stanza, &format!("<query xmlns='{ROSTER}' ver='1'>{items}</query>")))
    });
    ui.answer(&login).await.expect("logged in");
    (server, daemon, ui, peer)
}

const ALICE_ALONE: &str = "<item jid='alice@prosed.test' subscription='both'/>";

/// With Alice in the roster.
async fn with_alice() -> (Hostile, Daemon, Ui, Served) {
    session(ALICE_ALONE).await
}

async fn say(peer: &Served, text: &str) {
    peer.send(text).await.expect("prosed is there");
}

/// Alice sends a new status: what was sent before did no harm, and the stream is the same.
async fn alice_is_still_heard(ui: &Ui, peer: &Served) {
    let status = format!("still here {:x}", rand::random::<u32>());
    say(peer, &format!("<presence from='{ALICE}/x'><status>{status}</status></presence>")).await;
    ui.contact(ALICE, |contact| contact["status"] == status.as_str()).await;
}

fn pep(from: &str, node: &str, id: &str, payload: &str) -> String {
    format!(
        "<message type='headline' from='{from}'><event xmlns='{EVENT}'><items node='{node}'>\
         <item id='{id}'>{payload}</item></items></event></message>"
    )
}

fn metadata(owner: &str, info: &str) -> String {
    pep(owner, METADATA, "current", &format!("<metadata xmlns='{METADATA}'>{info}</metadata>"))
}

/// Waits for the request for an image, and answers with this text in place of base64.
async fn serve_image(peer: &Served, id: &str, data: &str) {
    let wish =
        |stanza: &Element| find(stanza, "item", PUBSUB).is_some_and(|item| item.attr("id") == Some(id));
    let asked = peer.wait_for("a request for the image", wish).await;
    let item = format!("<item id='{id}'><data xmlns='urn:xmpp:avatar:data'>{data}</data></item>");
    let items = format!("<items node='urn:xmpp:avatar:data'>{item}</items>");
    say(peer, &result_of(&asked, &format!("<pubsub xmlns='{PUBSUB}'>{items}</pubsub>"))).await;
}

#[tokio::test]
async fn a_malformed_roster_item_loses_only_itself() {
    let (_server, _daemon, ui, peer) = session(
        "<item subscription='both'/><item jid='' subscription='both'/><item jid='a@b@c' subscription='both'/>\
         <item jid='carol@prosed.test' subscription='maybe'/><item jid='me@prosed.test' subscription='both'/>\
         <thing/><item jid='alice@prosed.test' subscription='both' ask='what' approved='perhaps'><group/></item>",
    )
    .await;
    let jids: Vec<_> = ui.contacts().await.iter().map(|contact| contact["jid"].clone()).collect();
    assert_eq!(jids, [ALICE]);
    let push = "<item jid='@' subscription='both'/><item jid='bob@prosed.test' subscription='to'/>";
    say(&peer, &format!("<iq type='set' id='push'><query xmlns='{ROSTER}'>{push}</query></iq>")).await;
    ui.contact("bob@prosed.test", |contact| contact["subscription"] == "to").await;
    alice_is_still_heard(&ui, &peer).await;
}

#[tokio::test]
async fn a_malformed_stanza_loses_only_itself() {
    let (_server, _daemon, ui, peer) = with_alice().await;
    for stanza in [
        "<presence from='alice@prosed.test/x'><show>dancing</show></presence>",
        "<presence from='alice@prosed.test/x'><priority>loud</priority></presence>",
        "<presence from='alice@prosed.test/x' type='never'/>",
        "<presence from='not@a@jid'/>",
        "<iq type='get' from='alice@prosed.test/x'/>",
        "<iq type='get' id='two' from='alice@prosed.test/x'><a xmlns='x'/><b xmlns='x'/></iq>",
        "<iq type='sing' id='sing' from='alice@prosed.test/x'/>",
        "<iq type='result' id='unasked' from='alice@prosed.test/x'><query xmlns='jabber:iq:roster'/></iq>",
        "<message type='shout' from='alice@prosed.test/x'><body>a</body><body>b</body></message>",
        "<message from='alice@prosed.test'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>",
    ] {
        say(&peer, stanza).await;
        alice_is_still_heard(&ui, &peer).await;
    }
}

#[tokio::test]
async fn a_malformed_avatar_loses_only_itself() {
    let (_server, _daemon, ui, peer) = session(
        "<item jid='alice@prosed.test' subscription='both'/><item jid='bob@prosed.test' subscription='both'/>\
         <item jid='carol@prosed.test' subscription='both'/><item jid='dave@prosed.test' subscription='both'/>",
    )
    .await;
    let info = |id: &str| format!("<info id='{id}' type='image/png' bytes='99'/>");
    for nonsense in [
        metadata(ALICE, "<info/>"),
        metadata(ALICE, "<info id='../../etc/passwd' type='image/png' bytes='9'/>"),
        metadata(ALICE, "<info id='x' type='image/png' bytes='many'/>"),
        pep(ALICE, METADATA, "x", "<metadata xmlns='urn:something:else'/>"),
        pep(ALICE, METADATA, "x", ""),
    ] {
        say(&peer, &nonsense).await;
    }
    // A picture that is not the one it claims to be; not a picture; not base64.
    let (image, other) = (png::solid(9, 9, [3, 2, 1]), png::solid(7, 7, [1, 2, 3]));
    for (liar, id, data) in [
        ("bob@prosed.test", sha1_hex(&image), BASE64_STANDARD.encode(&other)),
        ("carol@prosed.test", sha1_hex(b"<svg/>"), BASE64_STANDARD.encode("<svg/>")),
        ("dave@prosed.test", sha1_hex(&other), "!!! no base64 !!!".to_owned()),
    ] {
        say(&peer, &metadata(liar, &info(&id))).await;
        serve_image(&peer, &id, &data).await;
    }
    // Metadata with a bad info next to a good one; and the bytes determine the type.
    let good = png::solid(5, 4, [9, 9, 9]);
    let id = sha1_hex(&good);
    let infos =
        format!("<info type='image/png'/><info id='{id}' type='public.jpeg' bytes='{}'/>", good.len());
    say(&peer, &metadata(ALICE, &infos)).await;
    serve_image(&peer, &id, &BASE64_STANDARD.encode(&good)).await;
    let alice = ui.contact(ALICE, |contact| contact["avatar"]["id"] == id.as_str()).await;
    assert_eq!(alice["avatar"]["type"], "image/png");
    // Images are saved in order of arrival: nothing is in flight any more.
    let shown = ui.contacts().await.iter().filter(|contact| contact.get("avatar").is_some()).count();
    assert_eq!(shown, 1, "a lie was shown");
}

#[tokio::test]
async fn a_malformed_vcard_loses_only_itself() {
    let (_server, _daemon, ui, peer) = with_alice().await;
    for nonsense in ["", "<vcard xmlns='urn:else'/>", "<text>no vcard</text>"] {
        say(&peer, &pep(ALICE, VCARD4, "x", nonsense)).await;
    }
    alice_is_still_heard(&ui, &peer).await;
    let odd = "<fn><fn><text>deep</text></fn></fn><fn/><bday><text/></bday><unheard/><title><text>Guest</text></title>";
    say(&peer, &pep(ALICE, PROSE_VCARD4, ALICE, &format!("<vcard xmlns='{PROSE_VCARD4}'>{odd}</vcard>")))
        .await;
    let alice = ui.contact(ALICE, |contact| contact["profile"]["title"] == "Guest").await;
    for absent in ["fullName", "birthday"] {
        assert_eq!(alice["profile"].get(absent), None, "{alice}");
    }
}

#[tokio::test]
async fn a_forged_push_is_not_believed() {
    let (_server, _daemon, ui, peer) = with_alice().await;
    let item = "<item jid='mallory@prosed.test' subscription='both'/>";
    for from in [ALICE, "alice@prosed.test/x", "mallory@else.test", "me@prosed.test/other", "else.test"] {
        let push = format!("<query xmlns='{ROSTER}' ver='9'>{item}</query>");
        say(&peer, &format!("<iq type='set' id='forged' from='{from}'>{push}</iq>")).await;
    }
    alice_is_still_heard(&ui, &peer).await;
    let known = ui.contacts().await;
    assert_eq!(known.len(), 1, "a forged push was believed: {known:?}");
    let answered = peer.received().into_iter().find(|stanza| stanza.attr("id") == Some("forged"));
    assert_eq!(answered, None, "an answer tells a stranger that we are here");

    for (id, from) in [("bare", " from='me@prosed.test'"), ("server", "")] {
        let item = format!("<item jid='{id}@prosed.test' subscription='to'/>");
        say(&peer, &format!("<iq type='set' id='{id}'{from}><query xmlns='{ROSTER}'>{item}</query></iq>"))
            .await;
        ui.contact(&format!("{id}@prosed.test"), |contact| contact["subscription"] == "to").await;
        peer.wait_for("thanks", |stanza| stanza.attr("id") == Some(id)).await;
    }
}

#[tokio::test]
async fn only_who_was_asked_can_answer() {
    let (_server, _daemon, ui, peer) = with_alice().await;
    let client = Client::new("Loom", "pc");
    say(&peer, &format!("<presence from='{ALICE}/desk'>{}</presence>", client.caps())).await;
    let asked = peer.wait_for("a question", |stanza| find(stanza, "query", DISCO).is_some()).await;
    let id = asked.attr("id").expect("an id");
    let answer = |from: &str, name: &str| {
        let features: String = client.features.iter().map(|var| format!("<feature var='{var}'/>")).collect();
        let identity = format!("<identity category='client' type='pc' name='{name}'/>");
        format!("<iq type='result' id='{id}'{from}><query xmlns='{DISCO}'>{identity}{features}</query></iq>")
    };
    for liar in [
        " from='mallory@prosed.test/desk'",
        " from='alice@prosed.test/phone'",
        " from='alice@prosed.test'",
        "",
    ] {
        say(&peer, &answer(liar, "Loom")).await;
    }
    alice_is_still_heard(&ui, &peer).await;
    let known = |contact: &Value| {
        contact["resources"].as_array().into_iter().flatten().any(|one| one["client"]["name"] == "Loom")
    };
    assert!(!ui.contacts().await.iter().any(known), "somebody else's answer was taken");
    say(&peer, &answer(" from='alice@prosed.test/desk'", "Loom")).await;
    ui.contact(ALICE, known).await;
}

#[tokio::test]
async fn a_deep_stanza_harms_nobody() {
    let (_server, mut daemon, ui, peer) = with_alice().await;
    let deep = nested(DEEP);
    say(&peer, &format!("<message type='headline' from='{ALICE}/x'>{deep}</message>")).await;
    say(&peer, &format!("<presence from='{ALICE}/x'>{deep}</presence>")).await;
    say(&peer, &format!("<iq type='get' id='deep' from='{ALICE}/x'>{deep}</iq>")).await;
    alice_is_still_heard(&ui, &peer).await;
    assert!(daemon.is_running());
}

/// What the limiter is for: no tree-building parser survives it, and nothing can catch the crash.
#[tokio::test]
async fn without_a_limit_a_deep_stanza_takes_everybody_down() {
    let setup = Daemon::setup().without("depth").without("elements");
    let (_server, mut daemon, _ui, peer) = session_of(setup, ALICE_ALONE).await;
    say(&peer, &format!("<message type='headline' from='{ALICE}/x'>{}</message>", nested(DEEP))).await;
    let ended = daemon.ended().await;
    assert_eq!(ended.code(), None, "by a signal: {ended}");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    for (method, params, named) in [
        ("login", json!({}), "jid"),
        ("login", json!({ "jid": "me@prosed.test", "pasword": "x" }), "password"),
        ("login", json!({ "jid": "me@prosed.test", "port": "5222" }), "port"),
        ("login", json!({ "jid": "me@prosed.test", "port": 0 }), "port"),
        ("login", json!({ "jid": "me@prosed.test", "host": "" }), "host"),
        ("login", json!({ "jid": "me@prosed.test", "host": "a\r\nb" }), "host"),
        ("login", json!({ "jid": "me@prosed.test", "host": "../../etc" }), "host"),
        ("login", json!({ "jid": "me@prosed.test", "host": "127.0.0.1:5222" }), "host"),
        ("login", json!({ "jid": "me@prosed.test", "host": "h".repeat(300) }), "host"),
        ("login", json!({ "jid": "me@prosed.test", "resource": "" }), "resource"),
        ("login", json!({ "jid": "me@prosed.test", "resource": "a\u{ffff}" }), "resource"),
        ("login", json!({ "jid": "me@prosed.test", "resource": "r".repeat(1024) }), "resource"),
        ("set_presence", json!({ "availability": "dancing" }), "availability"),
        ("get_contact", json!({ "id": "me@prosed.test" }), "jid"),
        ("subscribe", json!({ "event": ["contactChanged"] }), "events"),
        ("subscribe", json!({ "events": ["contactchanged"] }), "contactChanged"),
        ("load_roster", json!(["me@prosed.test"]), "account"),
    ] {
        let error = ui.call(method, params.clone()).await.expect_err("refused");
        assert_eq!(error.code, -32602, "{method} {params}: {error:?}");
        assert!(error.message.contains(named), "{method} {params}: {error:?}");
        assert!(!error.message.contains("\"x\""), "a password is repeated: {error:?}");
    }
    assert_eq!(ui.call("sing", json!({})).await.expect_err("refused").code, -32601);
}

#[tokio::test]
async fn strangers_are_refused_before_the_upgrade() {
    let daemon = Daemon::start(Daemon::setup().config("allowed_origins = [\"app://prose\"]")).await;
    let token = bearer(&daemon);
    let right = ("authorization", token.as_str());
    // Pages get no answer at all (`refusals.rs`).
    for headers in [&[][..], &[("authorization", "Bearer guess")]] {
        let refused = Ui::connect_with(&daemon, headers).await.err();
        assert_eq!(refused, Some(StatusCode::UNAUTHORIZED), "{headers:?}");
    }
    let protocols = format!("prosed.v1, prosed.bearer.{}", daemon.token());
    let page = [("origin", "app://prose"), ("sec-websocket-protocol", protocols.as_str())];
    let page = Ui::connect_with(&daemon, &page).await.expect("a listed page with the token");
    assert_eq!(page.subprotocol.as_deref(), Some("prosed.v1"));

    let call = r#"{"jsonrpc":"2.0","id":1,"method":"get_version"}"#;
    for (kind, body, status) in [
        ("application/json", call.to_owned(), 200),
        ("text/plain", call.to_owned(), 415),
        ("application/json", format!("[{call},{call}]"), 200),
    ] {
        let headers = [right, ("content-type", kind)];
        let answer = request(&daemon, "POST", "/rpc", &headers, &body).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status, "{kind} {body}");
        let answer = request(&daemon, "POST", "/rpc", &headers[1..], &body).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), 401, "no token: {kind} {body}");
    }
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"subscribe"}"#;
    let headers = [right, ("content-type", "application/json")];
    let answer = request(&daemon, "POST", "/rpc", &headers, subscribe).await.expect("an answer");
    assert_eq!(answer.json()["error"]["data"]["kind"], "subscriptionNeedsWebSocket");
}
