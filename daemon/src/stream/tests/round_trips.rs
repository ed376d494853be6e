//! How many round trips each way of logging in takes, from the first SYN to the roster's answer, which is `login`'s.

use super::sasl2::{TOKENS, sasl2};
use super::server::{BIND_AND_SM, Conn, HEADER, SALT, mechanisms};
use super::*;
use crate::credentials::Password;

const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='session' resume='true'/>";

fn client(server: &Server, tls: TlsMode, credentials: Credentials) -> Stream {
    Stream::connect(Settings { tls, bind2: true, ..server.settings() }, credentials)
}

fn password() -> Credentials {
    Credentials::Password(Password::from("secret".to_owned()))
}

/// The session is there: the roster is requested and given. Answers how many round trips that took in all.
async fn roster(stream: &mut Stream, conn: &mut Conn) -> usize {
    assert!(event(stream).await.starts_with("authenticated"));
    assert!(event(stream).await.starts_with("online"));
    let roster = "<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    let roster = roster.parse::<minidom::Element>().unwrap();
    super::session::send(stream, roster.try_into().unwrap()).unwrap();
    conn.until("jabber:iq:roster").await;
    conn.send("<iq type='result' id='r'/>").await;
    conn.round_trips()
}

/// A login as in RFC 6120.
async fn plain_login(server: &Server, tls: TlsMode, credentials: Credentials) -> usize {
    let mut stream = client(server, tls, credentials);
    let mut conn = match tls {
        TlsMode::Direct => server.accept_direct().await,
        _ => server.accept_secure().await,
    };
    conn.open(&mechanisms(&["SCRAM-SHA-256"])).await;
    conn.scram(ScramMechanism::Sha256, "secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/here").await;
    roster(&mut stream, &mut conn).await
}

#[tokio::test]
async fn a_login_as_in_rfc_6120_takes_8_or_10_and_the_first_with_a_password_2_more() {
    let server = Server::new().await;
    let keys = || Credentials::Keys(ScramKeys::derive(ScramMechanism::Sha256, "secret", SALT, 4096));
    assert_eq!(plain_login(&server, TlsMode::Direct, keys()).await, 8);
    assert_eq!(plain_login(&server, TlsMode::StartTls, keys()).await, 10);
    // Whether the salt stays the same is asked once.
    assert_eq!(plain_login(&server, TlsMode::Direct, password()).await, 10);
    assert_eq!(plain_login(&server, TlsMode::StartTls, password()).await, 12);
}

/// An offer of everything, with these mechanisms for tokens.
fn offer(tokens: &[&str]) -> String {
    let bind = "<sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline>\
        <feature var='urn:xmpp:sm:3'/></inline></bind>";
    sasl2(&["SCRAM-SHA-256"], tokens).replace("<inline>", &format!("<inline>{bind}"))
}

/// A server's success that binds a resource, and the features after it.
fn bound(success: &str) -> String {
    let success = success.replace("me@example.org<", "me@example.org/prosed.1<");
    let bound = format!("<bound xmlns='urn:xmpp:bind:0'>{ENABLED}</bound></success>");
    success.replace("</success>", &bound) + "<stream:features/>"
}

/// A stream with a token that lost its connection, after a login that bound a resource along with it.
async fn with_token(server: &Server, offer: &str) -> Stream {
    let mut stream = client(server, TlsMode::Direct, password());
    let mut conn = server.accept_direct().await;
    conn.sasl2 = true;
    conn.open(offer).await;
    conn.extras = "<token xmlns='urn:xmpp:fast:0' token='t' expiry='2099-01-01T00:00:00Z'/>".to_owned();
    let proof = conn.challenge(ScramMechanism::Sha256, "secret", 4096).await.unwrap();
    conn.send(&bound(&conn.sasl("success", &proof))).await;
    // TCP, TLS, features, SCRAM (2), whether the salt stays the same (2), roster.
    assert_eq!(roster(&mut stream, &mut conn).await, 8);
    drop(conn);
    assert!(event(&mut stream).await.starts_with("<iq "));
    assert_eq!(event(&mut stream).await, "suspended");
    stream
}

#[tokio::test]
async fn a_login_by_token_takes_5_where_the_features_come_first() {
    let server = Server::new().await;
    let offer = offer(&TOKENS[..1]);
    let mut stream = with_token(&server, &offer).await;
    let mut conn = server.accept_direct().await;
    conn.sasl2 = true;
    conn.open(&offer).await;
    conn.element("authenticate").await;
    // The session is gone, and another one begins.
    conn.extras = "<failed xmlns='urn:xmpp:sm:3'/>".to_owned();
    conn.send(&bound(&conn.unbound_token_success("t"))).await;
    assert_eq!(roster(&mut stream, &mut conn).await, 5);
}

#[tokio::test]
async fn a_login_by_token_takes_4_where_the_features_are_known() {
    let server = Server::new().await;
    let offer = offer(&TOKENS);
    let mut stream = with_token(&server, &offer).await;
    let mut conn = server.accept_direct().await;
    conn.sasl2 = true;
    assert!(conn.takes_token("t").await);
    conn.extras = "<failed xmlns='urn:xmpp:sm:3'/>".to_owned();
    let success = bound(&conn.token_success("t"));
    conn.send(&format!("{HEADER}<stream:features>{offer}</stream:features>{success}")).await;
    assert_eq!(roster(&mut stream, &mut conn).await, 4);
}

#[tokio::test]
async fn a_session_is_resumed_in_3() {
    let server = Server::new().await;
    let offer = offer(&TOKENS);
    let mut stream = with_token(&server, &offer).await;
    let mut conn = server.accept_direct().await;
    conn.sasl2 = true;
    assert!(conn.takes_token("t").await);
    assert!(conn.all.contains("<resume "), "{}", conn.all);
    conn.extras = "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='1'/>".to_owned();
    let success = conn.token_success("t");
    conn.send(&format!("{HEADER}<stream:features>{offer}</stream:features>{success}")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
    assert_eq!(conn.round_trips(), 3);
}
