//! Nothing is sent that is larger than the server accepts: a server ends the stream over it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::{ImageFormat, RgbImage};
use minidom::Element;
use prosed_tests::contact::{AVATAR_DATA, AVATAR_METADATA, VCARD4};
use prosed_tests::hostile::Hostile;
use prosed_tests::server::Setup;
use prosed_tests::ui::RpcError;
use prosed_tests::xml::{find, print};
use prosed_tests::{Contact, Daemon, Kind, Server, Ui, daemon, on_both_servers, png};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

const ME: &str = "me@prosed.test";

on_both_servers!(
    a_photo_becomes_an_avatar,
    what_is_too_large_costs_nobody_the_session,
    it_would_cost_the_session_if_nobody_measured
);

/// A JPEG with the grain of a camera: as PNG, 384 pixels a side take more than a server takes at a time.
fn photo() -> String {
    let mut noise = 1u32;
    let image = RgbImage::from_fn(384, 384, |x, y| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let shade = |at: u32, grain: u32| u8::try_from(40 + at / 4 + grain % 32).expect("a byte");
        image::Rgb([shade(x, noise), shade(y, noise >> 8), shade((x + y) / 2, noise >> 16)])
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image.write_to(&mut jpeg, ImageFormat::Jpeg).expect("a JPEG");
    BASE64_STANDARD.encode(jpeg.into_inner())
}

/// Calls whose stanzas have some 400 KB.
fn too_large() -> [(&'static str, Value); 2] {
    let groups: Vec<String> = (0..100).map(|n| format!("{n:04}{}", "🙂".repeat(996))).collect();
    let urls: Vec<String> = (0..20).map(|n| format!("{n:04}{}", "🙂".repeat(996))).collect();
    [
        ("add_contact", json!({ "jid": "bob@prosed.test", "groups": groups })),
        ("set_profile", json!({ "profile": { "emails": urls, "phones": urls, "urls": urls } })),
    ]
}

fn is_final(error: &RpcError, bytes: u64) {
    assert_eq!((error.code, error.kind()), (1404, "limitExceeded"), "{error:?}");
    let expected = json!({ "limit": "bytes of a stanza", "value": bytes, "retryable": false });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&error.data[name], value, "{error:?}");
    }
}

async fn start(server: &Server) -> (Daemon, Ui) {
    start_as(Daemon::setup(), server).await
}

async fn start_as(setup: daemon::Setup, server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(setup.trust(server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", server.login("me")).await.expect("logged in");
    (daemon, ui)
}

/// The account is online as it was, and always has been.
async fn stayed(ui: &Ui, since: &Value) {
    let account = ui.call("get_account", json!({})).await.expect("our account");
    assert_eq!((&account["state"], &account["since"]), (&json!("online"), since));
}

async fn a_photo_becomes_an_avatar(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let alice = Contact::online(&server, "alice").await;
    let (_daemon, ui) = start(&server).await;
    let since = ui.call("get_account", json!({})).await.expect("our account")["since"].clone();

    let published = ui.call("set_avatar", json!({ "data": photo() })).await.expect("published");
    let id = published["id"].as_str().expect("an id");
    let metadata = print(&alice.wait_for_pep(ME, AVATAR_METADATA).await);
    assert!(metadata.contains(id) && metadata.contains("image/png"), "{metadata}");
    let query = format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{AVATAR_DATA}'><item id='{id}'/></items></pubsub>"
    );
    let answer = alice.get(Some(ME), &query).await.expect("the picture");
    let data = find(&answer, "data", AVATAR_DATA).map(Element::text).expect("its data");
    let png = BASE64_STANDARD.decode(data.trim()).expect("base64");
    assert_eq!(Sha1::digest(&png).iter().map(|byte| format!("{byte:02x}")).collect::<String>(), id);
    let (width, height) = png::size(&png);
    assert!(width == height && width >= 128, "{width} × {height}");
    ui.event("accountChanged", |event| event["info"]["avatar"]["id"] == id).await;
    stayed(&ui, &since).await;
}

async fn what_is_too_large_costs_nobody_the_session(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let (_daemon, ui) = start(&server).await;
    let since = ui.call("get_account", json!({})).await.expect("our account")["since"].clone();
    for (method, params) in too_large() {
        let error = ui.call(method, params).await.expect_err(method);
        is_final(&error, 64 * 1024);
    }
    stayed(&ui, &since).await;
}

async fn it_would_cost_the_session_if_nobody_measured(kind: Kind) {
    let server = Server::start(Setup::new(kind).friends("me", "alice")).await;
    let (_daemon, ui) = start_as(Daemon::setup().without("stanza-size"), &server).await;
    let (method, params) = too_large().into_iter().next().expect("a call");
    ui.call(method, params).await.expect_err("the server ends the stream");
    ui.event("accountChanged", |event| event["info"]["state"] != "online").await;
}

/// A server that announces how little it accepts, and ends the stream over more.
#[tokio::test]
async fn a_server_is_sent_what_it_says_that_it_takes() {
    const LIMITS: &str = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>";
    let hostile = Hostile::listen().await;
    let daemon = Daemon::start(Daemon::setup().trust_ca(&hostile.ca_pem)).await;
    let ui = Ui::watching(&daemon).await;
    let login = async { ui.call("login", hostile.login_starttls("me", "secret")).await };
    let accept = async {
        let peer = hostile.accept_session_with("me", "secret", LIMITS).await;
        peer.serve(|asked| find(asked, "publish", "http://jabber.org/protocol/pubsub").map(|_| String::new()))
    };
    let (logged_in, served) = tokio::join!(login, accept);
    logged_in.expect("logged in");

    ui.call("set_avatar", json!({ "data": photo() })).await.expect("published");
    let publishes = |stanza: &Element| find(stanza, "data", AVATAR_DATA).is_some();
    let avatar = served.wait_for("the avatar", publishes).await;
    assert!(print(&avatar).len() > 5_000, "as large as it may be");

    let long = "🙂".repeat(4_000);
    let status = json!({ "availability": "away", "status": long });
    for (method, params) in too_large().into_iter().chain([("set_presence", status)]) {
        let error = ui.call(method, params).await.expect_err(method);
        is_final(&error, 10_000);
    }
    served.ping().await;
    for stanza in served.received() {
        assert!(print(&stanza).len() <= 10_000, "{}", stanza.name());
        assert!(
            find(&stanza, "publish", "http://jabber.org/protocol/pubsub")
                .is_none_or(|publish| { publish.attr("node") != Some(VCARD4) })
        );
    }
    assert_eq!(ui.call("get_account", json!({})).await.expect("our account")["state"], "online");
}
