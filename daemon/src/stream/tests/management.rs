//! Answers of stream management (XEP-0198) that are out of place: none ends the account, and behind each of them
//! there is a session again.

use super::server::{BIND_AND_SM, Conn};
use super::session::{SM, online_with_sm};
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
    while !seen.last().is_some_and(|event: &String| event.starts_with("online") || event == "ended") {
        seen.push(event(stream).await);
    }
    assert_eq!(seen.last().unwrap(), "online me@example.org/again", "{seen:?}");
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

#[tokio::test]
async fn a_new_session_in_answer_to_resuming_is_a_refusal_to_resume() {
    let server = Server::new().await;
    let (stream, conn) = online_with_sm(&server).await;
    let (mut stream, mut conn) = resuming(&server, stream, conn).await;
    conn.element("resume").await;
    conn.send(&format!("<enabled xmlns='{SM}' id='new' resume='true'/>")).await;
    tokio::join!(bind(&mut conn), is_online(&mut stream));
}

/// What can't be resumed the library enables again, before it is bound. A server should refuse that.
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

/// The server knows which session it was asked for, and counts are all that we keep of it.
#[tokio::test]
async fn the_name_of_a_resumed_session_is_not_looked_at() {
    let server = Server::new().await;
    let (stream, conn) = online_with_sm(&server).await;
    let (mut stream, mut conn) = resuming(&server, stream, conn).await;
    conn.element("resume").await;
    conn.send(&format!("<resumed xmlns='{SM}' previd='unknown' h='0'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
}
