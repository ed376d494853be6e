//! Channel binding and downgrades, with a server that knows its end of the connection.

use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::server::{BIND, mechanisms, sasl};
use super::*;

const BOTH: [&str; 4] = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];

fn bindings(kinds: &[&str]) -> String {
    let kinds: String = kinds.iter().map(|kind| format!("<channel-binding type='{kind}'/>")).collect();
    format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{kinds}</sasl-channel-binding>")
}

/// Logs in over this version of TLS with these features; returns the start of SCRAM's first message.
async fn gs2(version: &'static tokio_rustls::rustls::SupportedProtocolVersion, features: &str) -> String {
    let server = Server::speaking("example.org", &[version]).await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(features).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(BIND).await;
    conn.bind("me@example.org/a").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/a");
    let auth = conn.all.rsplit("<auth").next().unwrap();
    let plus = auth.contains("SCRAM-SHA-256-PLUS");
    let first = super::server::decoded(auth);
    let gs2 = first.split(',').next().unwrap().to_owned();
    assert_eq!(plus, gs2.starts_with("p="), "{gs2}");
    gs2
}

#[tokio::test]
async fn the_login_is_bound_to_its_connection() {
    let offer = mechanisms(&BOTH);
    let all = bindings(&["tls-unique", "tls-server-end-point", "tls-exporter"]);
    assert_eq!(gs2(&TLS13, &format!("{offer}{all}")).await, "p=tls-exporter");
    assert_eq!(gs2(&TLS12, &format!("{offer}{all}")).await, "p=tls-server-end-point");
    let end_point = bindings(&["tls-server-end-point"]);
    assert_eq!(gs2(&TLS13, &format!("{offer}{end_point}")).await, "p=tls-server-end-point");
}

#[tokio::test]
async fn what_can_not_be_bound_is_said_to_be() {
    let unknown = format!("{}{}", mechanisms(&BOTH), bindings(&["tls-unique", "made-up"]));
    assert_eq!(gs2(&TLS12, &unknown).await, "n");
    assert_eq!(gs2(&TLS13, &mechanisms(&BOTH)).await, "n");
    // We tell the server that we support it: had it offered it, it would know that the offer was removed.
    assert_eq!(gs2(&TLS13, &mechanisms(&["SCRAM-SHA-256"])).await, "y");
    assert_eq!(gs2(&TLS12, &mechanisms(&["SCRAM-SHA-256"])).await, "y");
}

/// A man in the middle, with a separate connection to each side: the bindings differ.
#[tokio::test]
async fn a_login_that_was_passed_on_is_refused() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.pretend_another_connection();
    conn.open(&format!("{}{}", mechanisms(&["SCRAM-SHA-256-PLUS"]), bindings(&["tls-exporter"]))).await;
    assert_eq!(conn.challenge(ScramMechanism::Sha256, "secret", 4096).await, None);
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(error, ConnectError::NotAuthorized { .. }) && !again, "{error:?}");
    ended(stream, &server).await;
}

#[tokio::test]
async fn a_refused_binding_is_not_followed_by_an_attempt_without() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&format!("{}{}", mechanisms(&BOTH), bindings(&["tls-exporter"]))).await;
    conn.element("auth").await;
    conn.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><malformed-request/></failure>").await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Protocol { .. }, true)));
    let said = conn.rest().await;
    assert_eq!(said.matches("<auth").count(), 1, "{said}");
    assert!(said.contains("SCRAM-SHA-256-PLUS"), "{said}");
}

/// A client that pins this, and whether it accepts less.
fn client(server: &Server, pins: Pins, accept_downgrade: bool) -> Stream {
    let settings = Settings { pins, accept_downgrade, ..server.settings() };
    Stream::connect(settings, Credentials::Password(crate::credentials::Password::from("secret".to_owned())))
}

/// Serves a login; returns what it pins.
async fn pinned(stream: &mut Stream, mut conn: super::server::Conn, features: &str) -> Pins {
    conn.open(features).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(BIND).await;
    conn.bind("me@example.org/a").await;
    let StreamEvent::Authenticated { pins, .. } = next(stream).await else { panic!("not authenticated") };
    assert_eq!(event(stream).await, "online me@example.org/a");
    pins
}

/// Expects an offer to be refused without sending anything.
async fn is_too_little(stream: &mut Stream, mut conn: super::server::Conn, features: &str, missing: &str) {
    conn.open(features).await;
    let (error, again) = failure(stream).await;
    assert!(matches!(&error, ConnectError::Downgrade { text } if text.contains(missing)), "{error:?}");
    assert!(again);
    let said = conn.rest().await;
    assert!(!said.contains("<auth"), "{said}");
}

#[tokio::test]
async fn what_bound_a_login_once_must_bind_each_that_follows() {
    let bound = format!("{}{}", mechanisms(&BOTH), bindings(&["tls-server-end-point", "tls-exporter"]));
    let server = Server::new().await;
    let mut stream = client(&server, Pins::default(), false);
    let pins = pinned(&mut stream, server.accept_secure().await, &bound).await;
    assert_eq!(event(&mut stream).await, "suspended");
    // On the same stream, and on one that has only what was stored.
    let less = [
        format!("{}{}", mechanisms(&BOTH), bindings(&["tls-server-end-point"])),
        format!("{}{}", mechanisms(&BOTH), bindings(&["tls-unique"])),
        mechanisms(&BOTH),
        format!("{}{}", mechanisms(&["SCRAM-SHA-1", "SCRAM-SHA-256"]), bindings(&["tls-exporter"])),
    ];
    is_too_little(&mut stream, server.accept_secure().await, &less[0], "tls-exporter").await;
    drop(stream);
    for less in &less {
        let server = Server::new().await;
        let mut stream = client(&server, pins, false);
        is_too_little(&mut stream, server.accept_secure().await, less, "tls-exporter").await;
    }
    // Once accepted, it is pinned, and the rest still is.
    let server = Server::new().await;
    let mut stream = client(&server, pins, true);
    let pins = pinned(&mut stream, server.accept_secure().await, &less[0]).await;
    drop(stream);
    let mut stream = client(&server, pins, false);
    assert_eq!(pinned(&mut stream, server.accept_secure().await, &less[0]).await, pins);
    drop(stream);
    let mut stream = client(&server, pins, false);
    is_too_little(&mut stream, server.accept_secure().await, &less[1], "tls-server-end-point").await;
    // Also on the stream that was refused.
    stream.accept_downgrade();
    assert_ne!(pinned(&mut stream, server.accept_secure().await, &less[1]).await, pins);
}

#[tokio::test]
async fn a_login_that_fails_pins_nothing() {
    let bound = format!("{}{}", mechanisms(&BOTH), bindings(&["tls-exporter"]));
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.open(&bound).await;
    conn.element("auth").await;
    conn.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>").await;
    assert!(matches!(failure(&mut stream).await, (ConnectError::Unreachable { .. }, true)));
    let pins = pinned(&mut stream, server.accept_secure().await, &mechanisms(&["SCRAM-SHA-256"])).await;
    assert_ne!(pins, Pins::default());
}

/// XEP-0474: the server signs what it offered.
#[tokio::test]
async fn an_offer_that_was_cut_on_its_way_is_found_out() {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let offered = ["SCRAM-SHA-1", "SCRAM-SHA-256"];
    let whole = "SCRAM-SHA-1\x1eSCRAM-SHA-256";
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(whole));
    for (arrives, honest) in [(&offered[..], true), (&offered[1..], false)] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_secure().await;
        conn.attributes = format!(",h={hash}");
        conn.advertised = whole.to_owned();
        conn.open(&mechanisms(arrives)).await;
        if honest {
            conn.scram(ScramMechanism::Sha256, "secret").await;
            conn.open(BIND).await;
            assert_eq!(event(&mut stream).await, "authenticated, keys: true");
            continue;
        }
        let first = conn.initial().await;
        let nonce = first.split("r=").nth(1).unwrap();
        conn.send(&sasl("challenge", &format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096{}", conn.attributes)))
            .await;
        let (error, again) = failure(&mut stream).await;
        assert!(matches!(&error, ConnectError::Protocol { text } if text.contains("changed")), "{error:?}");
        assert!(again);
        let said = conn.rest().await;
        assert!(!said.contains("<response"), "{said}");
    }
}
