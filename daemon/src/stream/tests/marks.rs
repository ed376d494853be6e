//! What becomes of stanzas with marks: each is answered for once.

use super::server::{BIND_AND_SM, Conn};
use super::session::{SM, online_with_sm, text};
use super::*;

fn mark(stream: &mut Stream, number: u64) -> Result<(), Full> {
    let stanza = text(&number.to_string());
    let bytes = prosed_session::stanza_bytes(&stanza);
    stream.send(stanza, bytes, Some(Mark(number)))
}

/// Sends them, and lets the server read them.
async fn written(stream: &mut Stream, conn: &mut Conn, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        mark(stream, number).unwrap();
        assert!(conn.element("message").await.contains(&format!("m{number}")));
    }
}

/// A session that was lost with stanzas 1 and 2 on their way, 3 waiting, and a server that answers a resumption by this.
/// Returns what the client hears of its marks, before the session that follows.
async fn lost(answer: &str) -> Vec<String> {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=2).await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    mark(&mut stream, 3).unwrap();
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.element("resume").await;
    conn.send(answer).await;
    conn.bind("me@example.org/there").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    let mut heard = Vec::new();
    loop {
        match event(&mut stream).await {
            event if event.starts_with("online") => return heard,
            event => heard.push(event),
        }
    }
}

#[tokio::test]
async fn a_resumed_session_knows_what_the_server_has_and_sends_the_rest_again() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=3).await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    mark(&mut stream, 4).unwrap();
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.element("resume").await;
    conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='2'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "acknowledged 1 2");
    assert_eq!(event(&mut stream).await, "resumed");
    for number in ["m3", "m4"] {
        assert!(conn.element("message").await.contains(number));
    }
    conn.send(&format!("<a xmlns='{SM}' h='4'/>")).await;
    assert_eq!(event(&mut stream).await, "acknowledged 3 4");
}

#[tokio::test]
async fn acknowledgements_and_stanzas_are_told_in_the_order_of_the_wire() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=2).await;
    let stanza = |id: &str| format!("<message from='a@example.org' id='{id}'/>");
    let acknowledged = |h: u8| format!("<a xmlns='{SM}' h='{h}'/>");
    conn.send(
        &[stanza("first"), acknowledged(1), stanza("second"), acknowledged(1), acknowledged(2)].concat(),
    )
    .await;
    assert!(event(&mut stream).await.contains("first"));
    assert_eq!(event(&mut stream).await, "acknowledged 1");
    assert!(event(&mut stream).await.contains("second"));
    assert_eq!(event(&mut stream).await, "acknowledged 2");
}

/// The server is asked as soon as a stanza has been written.
#[tokio::test]
async fn the_server_is_asked_at_once() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=1).await;
    conn.element("r").await;
}

#[tokio::test]
async fn a_session_that_is_gone_may_still_say_how_far_it_came() {
    let failed = |count: &str| format!("<failed xmlns='{SM}'{count}/>");
    let rest = "unsent, doubtful: 2, unwritten: 3";
    assert_eq!(lost(&failed(" h='1'")).await, ["acknowledged 1", rest]);
    let none = "unsent, doubtful: 1 2, unwritten: 3";
    // Without a count, with one that can't be, and with none that was reached.
    for count in ["", " h='3'", " h='x'", " h='4294967295'", " h='0'"] {
        assert_eq!(lost(&failed(count)).await, [none], "{count}");
    }
}

/// Behind a conflict there is no other attempt.
#[tokio::test]
async fn what_a_stream_leaves_is_told_before_its_end() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=2).await;
    conn.send(&format!("<a xmlns='{SM}' h='1'/>")).await;
    assert_eq!(event(&mut stream).await, "acknowledged 1");
    let conflict = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
    conn.send(&format!("<stream:error>{conflict}</stream:error>")).await;
    assert_eq!(event(&mut stream).await, "suspended");
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 2, unwritten: ");
    assert!(event(&mut stream).await.starts_with("failed, again: false"));
    assert_eq!(event(&mut stream).await, "ended");
    assert!(stream.close().await.is_empty());
}

#[tokio::test]
async fn a_server_that_manages_nothing_leaves_each_stanza_in_doubt() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_bound("secret").await;
    event(&mut stream).await;
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    written(&mut stream, &mut conn, 1..=1).await;
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 1, unwritten: ");
}

#[tokio::test]
async fn a_server_that_refuses_to_manage_leaves_each_stanza_in_doubt_too() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/here").await;
    conn.element("enable").await;
    event(&mut stream).await;
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    written(&mut stream, &mut conn, 1..=2).await;
    conn.send(&format!("<failed xmlns='{SM}'/>")).await;
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 1 2, unwritten: ");
    written(&mut stream, &mut conn, 3..=3).await;
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 3, unwritten: ");
}

#[tokio::test]
async fn a_stanza_that_comes_too_late_for_its_session_was_never_written() {
    let server = Server::new().await;
    let (mut stream, conn) = online_with_sm(&server).await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    mark(&mut stream, 1).unwrap();
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.element("resume").await;
    conn.send(&format!("<failed xmlns='{SM}'/>")).await;
    conn.bind("me@example.org/there").await;
    while stream.shared.lock().session < 2 {
        tokio::task::yield_now().await;
    }
    mark(&mut stream, 2).unwrap();
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "unsent, doubtful: , unwritten: 1 2");
    assert_eq!(event(&mut stream).await, "online me@example.org/there");
}

fn fates(events: &[StreamEvent]) -> Vec<(&str, &[Mark])> {
    let fates = events.iter().flat_map(|event| match event {
        StreamEvent::Acknowledged(marks) => vec![("acknowledged", &marks[..])],
        StreamEvent::Unsent(Unsent { doubtful, unwritten }) => {
            vec![("doubtful", &doubtful[..]), ("unwritten", &unwritten[..])]
        }
        _ => panic!("no fate"),
    });
    fates.filter(|(_, marks)| !marks.is_empty()).collect()
}

#[tokio::test]
async fn a_stream_that_is_closed_tells_what_the_server_got_of_its_last_words() {
    for acknowledges in [true, false] {
        let server = Server::new().await;
        let (mut stream, mut conn) = online_with_sm(&server).await;
        mark(&mut stream, 1).unwrap();
        let server = async {
            conn.element("message").await;
            if acknowledges {
                conn.send(&format!("<a xmlns='{SM}' h='1'/>")).await;
            }
            conn.until("</stream:stream>").await;
            conn.send("</stream:stream>").await;
        };
        let (told, ()) = tokio::join!(stream.close(), server);
        let fate = if acknowledges { "acknowledged" } else { "doubtful" };
        assert_eq!(fates(&told), [(fate, &[Mark(1)][..])]);
    }
}

#[tokio::test]
async fn what_finds_no_room_has_no_other_answer() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let taken = (1..).take_while(|&number| mark(&mut stream, number).is_ok()).count();
    assert!(taken > 1_000);
    let told = stream.close().await;
    let all: Vec<Mark> = (1..).map(Mark).take(taken).collect();
    assert_eq!(fates(&told), [("unwritten", &all[..])]);
}

#[tokio::test]
async fn a_task_that_crashes_leaves_what_it_was_given_in_doubt() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    written(&mut stream, &mut conn, 1..=1).await;
    stream.task.as_ref().unwrap().abort();
    assert_eq!(event(&mut stream).await, "unsent, doubtful: 1, unwritten: ");
    assert_eq!(event(&mut stream).await, "ended");
}
