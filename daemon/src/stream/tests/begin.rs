//! From a login to a session, where a server does what few do.

use super::server::{BIND, BIND_AND_SM, Conn, HEADER};
use super::session::{SM, online_with_sm, send, text};
use super::*;

const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

fn see_other(place: &str) -> String {
    format!(
        "<stream:error><see-other-host xmlns='{STREAMS}'>{place}</see-other-host></stream:error></stream:stream>"
    )
}

/// Where another server is, as this one would name it.
fn place(server: &Server) -> String {
    format!("127.0.0.1:{}", server.settings().port.unwrap())
}

#[tokio::test]
async fn a_server_that_sends_us_elsewhere_is_followed_before_the_login() {
    let server = Server::new().await;
    let other = server.twin().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.until("<stream:stream").await;
    conn.send(&format!("{HEADER}{}", see_other(&place(&other)))).await;
    other.accept_bound("secret").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
}

#[tokio::test]
async fn a_server_that_sends_us_elsewhere_is_followed_from_a_session_at_once() {
    let server = Server::new().await;
    let other = server.twin().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_bound("secret").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    conn.send(&see_other(&place(&other))).await;
    assert_eq!(event(&mut stream).await, "suspended");
    let (_conn, told) = tokio::join!(other.accept_bound("secret"), event(&mut stream));
    assert!(told.contains("see-other-host"), "{told}");
}

/// The host that we are redirected to needs a certificate for the account's domain.
#[tokio::test]
async fn elsewhere_a_certificate_for_another_name_is_refused() {
    let server = Server::new().await;
    let other = Server::named("other.example").await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_secure().await;
    conn.until("<stream:stream").await;
    conn.send(&format!("{HEADER}{}", see_other(&place(&other)))).await;
    let mut conn = other.accept().await;
    conn.open(super::server::STARTTLS).await;
    conn.element("starttls").await;
    conn.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    assert!(!conn.secure().await);
    assert!(matches!(failure(&mut stream).await, (ConnectError::Tls { .. }, true)));
}

#[tokio::test]
async fn a_server_that_sends_us_around_is_left_after_three_hops() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    for _ in 0..4 {
        let mut conn = server.accept_secure().await;
        conn.until("<stream:stream").await;
        conn.send(&format!("{HEADER}{}", see_other(&place(&server)))).await;
    }
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(error, ConnectError::Unreachable { text } if text.contains("see-other-host")) && again);
    assert!(server.is_left_alone());
}

#[tokio::test]
async fn the_words_of_a_stream_error_are_told() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_bound("secret").await;
    event(&mut stream).await;
    event(&mut stream).await;
    let words = format!("<system-shutdown xmlns='{STREAMS}'/><text xmlns='{STREAMS}'>back at noon</text>");
    conn.send(&format!("<stream:error>{words}</stream:error></stream:stream>")).await;
    assert_eq!(event(&mut stream).await, "suspended");
    let (error, again) = failure(&mut stream).await;
    let ConnectError::Unreachable { text } = error else { panic!("{error}") };
    assert_eq!(text, "the server ended the stream: system-shutdown: back at noon");
    assert!(again);
}

/// Nothing within seconds will change that: callers need not wait.
#[tokio::test]
async fn a_domain_that_the_server_does_not_serve_is_no_network_trouble() {
    let unknown =
        format!("{HEADER}<stream:error><host-unknown xmlns='{STREAMS}'/></stream:error></stream:stream>");
    for secure in [false, true] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = if secure { server.accept_secure().await } else { server.accept().await };
        conn.until("<stream:stream").await;
        conn.send(&unknown).await;
        let (error, again) = failure(&mut stream).await;
        let ConnectError::Protocol { text } = error else { panic!("{error}") };
        assert_eq!(text, "the server does not serve this domain: host-unknown");
        assert!(again);
    }
}

/// A login whose request to bind gets this answer.
async fn refuses(conn: &mut Conn, condition: &str) {
    conn.element("iq").await;
    conn.send(&format!(
        "<iq type='error' id='resource-binding'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>five are enough</text></error></iq>"
    ))
    .await;
}

#[tokio::test]
async fn a_resource_that_another_client_has_is_replaced_by_another() {
    let server = Server::new().await;
    let mut settings = server.settings();
    settings.resource = Some("mine".to_owned());
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND).await;
    refuses(&mut conn, "conflict").await;
    assert!(conn.all.contains("<resource>mine</resource>"), "{}", conn.all);
    let second = conn.bind("me@example.org/theirs").await;
    assert!(!second.contains("<resource"), "{second}");
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/theirs");
}

#[tokio::test]
async fn why_a_resource_was_refused_is_told() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND).await;
    refuses(&mut conn, "resource-constraint").await;
    event(&mut stream).await;
    let (error, again) = failure(&mut stream).await;
    let ConnectError::Protocol { text } = error else { panic!("{error}") };
    assert_eq!(text, "the server refused to bind a resource: resource-constraint: five are enough");
    assert!(again);
}

#[tokio::test]
async fn a_session_is_opened_where_the_server_insists() {
    const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
    for (feature, insists) in [("", true), ("<optional/>", false)] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_login("secret").await;
        conn.open(&format!("{BIND}<session xmlns='{SESSION}'>{feature}</session>")).await;
        conn.bind("me@example.org/here").await;
        event(&mut stream).await;
        if insists {
            assert!(conn.element("iq").await.contains(SESSION));
            assert!(next(&mut stream).now_or_never().is_none(), "before the session is open");
            conn.send("<iq type='result' id='session'/>").await;
        }
        assert_eq!(event(&mut stream).await, "online me@example.org/here");
    }
}

#[tokio::test]
async fn a_server_that_got_more_than_was_sent_gets_another_session_and_a_ui_a_reason() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    conn.send(&format!("<a xmlns='{SM}' h='7'/>")).await;
    assert_eq!(event(&mut stream).await, "suspended");
    let (error, again) = failure(&mut stream).await;
    assert!(matches!(error, ConnectError::Protocol { text } if text.contains("acknowledged")) && again);
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/again").await;
    event(&mut stream).await;
    assert_eq!(event(&mut stream).await, "online me@example.org/again");
}

/// What would be lost with us the server is not to forget.
#[tokio::test]
async fn a_stanza_is_acknowledged_when_it_is_dealt_with_and_not_before() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    conn.send("<message from='a@example.org'/>").await;
    conn.send("<message from='b@example.org'/>").await;
    conn.send(&format!("<r xmlns='{SM}'/>")).await;
    assert!(matches!(stream.next().await, StreamEvent::Stanza(_)));
    stream.handled();
    assert!(matches!(stream.next().await, StreamEvent::Stanza(_)));
    let early = timeout(Duration::from_millis(200), conn.element("a")).await;
    assert!(early.is_err(), "{early:?}");
    stream.handled();
    assert!(conn.element("a").await.contains("h='2'"));
    // However long that takes, the server gets an answer, and a true one.
    conn.send(&format!("<message from='c@example.org'/><r xmlns='{SM}'/>")).await;
    assert!(matches!(stream.next().await, StreamEvent::Stanza(_)));
    assert!(conn.element("a").await.contains("h='2'"));
}

#[tokio::test]
async fn what_is_meant_for_a_session_that_is_gone_is_not_sent_in_the_next() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    drop(server.accept_bound("secret").await);
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    let mut conn = server.accept_bound("secret").await;
    // The next one is bound, and we have not heard of it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    send(&mut stream, text("old")).unwrap();
    while !event(&mut stream).await.starts_with("online") {}
    send(&mut stream, text("new")).unwrap();
    let first = conn.element("message").await;
    assert!(first.contains("new"), "{first}");
}
