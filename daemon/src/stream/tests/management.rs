//! Answers of stream management (XEP-0198) that are out of place: none ends the account, and behind each of them
//! there is a session again.

use super::server::{BIND_AND_SM, Conn};
use super::session::{SM, online_with_sm, send, text};
use super::*;

/// Takes part in everything from a login on as a server should, up to a session.
async fn behave(mut conn: Conn) -> Conn {
    conn.open(BIND_AND_SM).await;
    if conn.either(["resume", "iq"]).await == "resume" {
        conn.element("resume").await;
        conn.send(&format!("<failed xmlns='{SM}'/>")).await;
    }
    bind(&mut conn).await;
    conn
}

async fn bind(conn: &mut Conn) {
    conn.bind("me@example.org/again").await;
    conn.element("enable").await;
    conn.send(&format!("<enabled xmlns='{SM}' id='again' resume='true'/>")).await;
}

/// Reads on until there is a session.
async fn is_online(stream: &mut Stream) -> Vec<String> {
    let mut seen = Vec::new();
    while !seen
        .last()
        .is_some_and(|event: &String| event == "online me@example.org/again" || event == "ended")
    {
        seen.push(event(stream).await);
    }
    assert_ne!(seen.last().unwrap(), "ended", "{seen:?}");
    seen
}

/// A session that was lost, and the connection over which we ask to resume it.
async fn resuming(server: &Server, mut stream: Stream, conn: Conn) -> (Stream, Conn) {
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    (stream, conn)
}

/// The connection is given up, and the next one is as it should be.
async fn comes_again(server: &Server, mut stream: Stream, mut conn: Conn) {
    let server = async {
        conn.gone().await;
        behave(server.accept_login("secret").await).await
    };
    tokio::join!(server, is_online(&mut stream));
}

const TELLING: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>\
    <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>";

/// A lost session, and a server that takes less than before when we come back: whether we resume, with a stanza of so
/// many bytes on its way.
async fn resumes_with(bytes: usize) -> bool {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    let body = "x".repeat(bytes);
    send(&mut stream, text(&body)).unwrap();
    tokio::select! {
        _ = stream.next() => panic!("nothing has come"),
        message = conn.element("message") => assert!(message.contains(&body)),
    }
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    let mut conn = server.accept_login("secret").await;
    conn.open(TELLING).await;
    let resumes = conn.either(["resume", "iq"]).await == "resume";
    if resumes {
        conn.element("resume").await;
        conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='0'/>")).await;
    } else {
        conn.bind("me@example.org/again").await;
    }
    let told = loop {
        match next(&mut stream).await {
            StreamEvent::Resumed { stanza_bytes } if resumes => break stanza_bytes,
            StreamEvent::Online { stanza_bytes, .. } if !resumes => break stanza_bytes,
            _ => {}
        }
    };
    assert_eq!(told, Some(10_000));
    resumes
}

/// What was sent and not acknowledged is sent again when a session is resumed. The server would end it over that, and
/// the next one.
#[tokio::test]
async fn a_session_whose_stanzas_the_server_takes_no_more_is_not_resumed() {
    assert!(resumes_with(5_000).await);
    assert!(!resumes_with(20_000).await);
}

/// Some servers mean "none" by 0.
#[tokio::test]
async fn limits_that_can_not_be_read_are_none() {
    for limits in [
        "<max-bytes>0</max-bytes>",
        "<max-bytes>99999999999</max-bytes>",
        "<max-bytes>many</max-bytes>",
        "<other/>",
        "",
    ] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_login("secret").await;
        conn.open(&format!("{BIND_AND_SM}<limits xmlns='urn:xmpp:stream-limits:0'>{limits}</limits>")).await;
        bind(&mut conn).await;
        event(&mut stream).await;
        match next(&mut stream).await {
            StreamEvent::Online { stanza_bytes, .. } => assert_eq!(stanza_bytes, None, "{limits}"),
            _ => panic!("not online: {limits}"),
        }
    }
}

#[tokio::test]
async fn a_new_session_in_answer_to_resuming_is_a_refusal_to_resume() {
    let server = Server::new().await;
    let (stream, conn) = online_with_sm(&server).await;
    let (mut stream, mut conn) = resuming(&server, stream, conn).await;
    conn.element("resume").await;
    conn.send(&format!("<enabled xmlns='{SM}' id='new' resume='true'/>")).await;
    tokio::join!(bind(&mut conn), is_online(&mut stream));
}

#[tokio::test]
async fn a_session_that_can_not_be_resumed_is_followed_by_another() {
    for answer in ["<enabled xmlns='urn:xmpp:sm:3'/>", "<failed xmlns='urn:xmpp:sm:3'/>"] {
        let server = Server::new().await;
        let mut stream = server.client("secret");
        let mut conn = server.accept_login("secret").await;
        conn.open(BIND_AND_SM).await;
        conn.bind("me@example.org/here").await;
        conn.element("enable").await;
        conn.send(&format!("<enabled xmlns='{SM}'/>")).await;
        event(&mut stream).await;
        assert_eq!(event(&mut stream).await, "online me@example.org/here");
        let (mut stream, mut conn) = resuming(&server, stream, conn).await;
        if conn.either(["enable", "iq"]).await == "enable" {
            conn.element("enable").await;
            conn.send(answer).await;
        }
        tokio::join!(bind(&mut conn), is_online(&mut stream));
    }
}

#[tokio::test]
async fn a_resumption_of_what_was_not_there_ends_the_connection() {
    let server = Server::new().await;
    let stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/here").await;
    conn.element("enable").await;
    conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='0'/>")).await;
    comes_again(&server, stream, conn).await;
}

#[tokio::test]
async fn a_second_refusal_ends_the_connection() {
    let server = Server::new().await;
    let (stream, conn) = online_with_sm(&server).await;
    let (stream, mut conn) = resuming(&server, stream, conn).await;
    conn.element("resume").await;
    conn.send(&format!("<failed xmlns='{SM}'/><failed xmlns='{SM}'/>")).await;
    comes_again(&server, stream, conn).await;
}

#[tokio::test]
async fn a_count_of_more_than_was_sent_ends_the_connection() {
    for h in [5, 2_000_000_000, u32::MAX] {
        let server = Server::new().await;
        let (stream, conn) = online_with_sm(&server).await;
        let (stream, mut conn) = resuming(&server, stream, conn).await;
        conn.element("resume").await;
        conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='{h}'/>")).await;
        comes_again(&server, stream, conn).await;

        let (stream, mut conn) = online_with_sm(&server).await;
        conn.send(&format!("<a xmlns='{SM}' h='{h}'/>")).await;
        comes_again(&server, stream, conn).await;
    }
}

#[tokio::test]
async fn answers_to_nothing_end_the_connection() {
    for answer in [
        "<enabled xmlns='urn:xmpp:sm:3' id='x' resume='true'/>",
        "<failed xmlns='urn:xmpp:sm:3'/>",
        "<resumed xmlns='urn:xmpp:sm:3' previd='session' h='0'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
    ] {
        let server = Server::new().await;
        let (stream, mut conn) = online_with_sm(&server).await;
        conn.send(answer).await;
        comes_again(&server, stream, conn).await;
    }
}

/// What we know, counts included, is that of the session that was asked for.
#[tokio::test]
async fn another_session_than_the_one_asked_for_is_not_resumed() {
    let server = Server::new().await;
    let (stream, conn) = online_with_sm(&server).await;
    let (stream, mut conn) = resuming(&server, stream, conn).await;
    conn.element("resume").await;
    conn.send(&format!("<resumed xmlns='{SM}' previd='unknown' h='0'/>")).await;
    comes_again(&server, stream, conn).await;
}
