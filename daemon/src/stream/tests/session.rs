//! A bound stream: what comes through, what is lost, how it ends.

use std::time::Instant;

use super::server::{BIND_AND_SM, Conn};
use super::*;

pub(super) const SM: &str = "urn:xmpp:sm:3";

fn message(id: usize) -> Stanza {
    text(&id.to_string())
}

pub(super) fn text(body: &str) -> Stanza {
    let id = body.get(..10).unwrap_or(body);
    let xml =
        format!("<message xmlns='jabber:client' to='a@example.org' id='m{id}'><body>{body}</body></message>");
    xmpp_parsers::message::Message::try_from(xml.parse::<minidom::Element>().unwrap()).unwrap().into()
}

pub(super) fn send(stream: &mut Stream, stanza: Stanza) -> Result<(), Full> {
    let bytes = prosed_session::stanza_bytes(&stanza);
    stream.send(stanza, bytes, None)
}

/// A stream that is online, and the server's end of it.
async fn online(server: &Server) -> (Stream, Conn) {
    let mut stream = server.client("secret");
    let conn = server.accept_bound("secret").await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    (stream, conn)
}

/// The same with stream management.
pub(super) async fn online_with_sm(server: &Server) -> (Stream, Conn) {
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.bind("me@example.org/here").await;
    conn.element("enable").await;
    conn.send(&format!("<enabled xmlns='{SM}' id='session' resume='true'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    (stream, conn)
}

/// 25 kB that would abort the process.
fn deep() -> String {
    format!(
        "<message from='evil@example.org' type='headline' id='deep'>{}{}</message>",
        "<x>".repeat(3500),
        "</x>".repeat(3500)
    )
}

#[tokio::test]
async fn a_stanza_too_deep_is_lost_alone() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    conn.send(&deep()).await;
    conn.send("<message from='a@example.org' id='after'><body>still here</body></message>").await;
    let replaced = event(&mut stream).await;
    assert!(replaced.contains("deep") && !replaced.contains("<x"), "{replaced}");
    assert!(event(&mut stream).await.contains("still here"));
}

#[tokio::test]
async fn dropped_stanzas_are_counted_like_any_other() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    let parts = "<x>".repeat(70) + &"</x>".repeat(70);
    conn.send(&deep()).await;
    for type_ in ["get", "result"] {
        conn.send(&format!("<iq type='{type_}' id='{type_}' from='evil@example.org/x'>{parts}</iq>")).await;
    }
    conn.send(&format!("<presence from='evil@example.org/x'>{parts}</presence><r xmlns='{SM}'/>")).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(event(&mut stream).await);
    }
    assert!(seen[1].contains("'get'") && seen[1].contains("dropped"), "{seen:?}");
    assert!(seen[2].contains("'error'") && seen[2].contains("policy-violation"), "{seen:?}");
    let ack = conn.element("a").await;
    assert!(ack.contains("h='4'"), "{ack}");
}

#[tokio::test]
async fn a_lost_connection_suspends_and_a_new_stream_follows() {
    let server = Server::new().await;
    let (mut stream, conn) = online(&server).await;
    let lost = Instant::now();
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    // Meant for a stream that will not come back.
    send(&mut stream, message(1)).unwrap();
    let mut conn = server.accept_bound("secret").await;
    assert!(lost.elapsed() >= Duration::from_secs(1), "again after {:?}", lost.elapsed());
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "online me@example.org/here");
    send(&mut stream, message(2)).unwrap();
    let first = conn.element("message").await;
    assert!(first.contains("m2"), "{first}");
}

#[tokio::test]
async fn a_lost_connection_resumes_and_what_was_sent_meanwhile_arrives() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    send(&mut stream, message(1)).unwrap();
    conn.element("message").await;
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    send(&mut stream, message(2)).unwrap();
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    assert!(conn.element("resume").await.contains("session"));
    conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='0'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
    assert_eq!(event(&mut stream).await, "resumed");
    for id in ["m1", "m2"] {
        let (got, _) = tokio::join!(conn.element("message"), drive(&mut stream));
        assert!(got.contains(id), "{got}");
    }
}

/// A server that was restarted says nothing of how many stanzas it got.
#[tokio::test]
async fn a_server_that_has_forgotten_the_session_gets_a_new_one() {
    for count in ["", " h='0'", " h='4000000'"] {
        let server = Server::new().await;
        let (mut stream, conn) = online_with_sm(&server).await;
        drop(conn);
        assert_eq!(event(&mut stream).await, "suspended");
        let mut conn = server.accept_login("secret").await;
        conn.open(BIND_AND_SM).await;
        conn.element("resume").await;
        let reason = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
        conn.send(&format!("<failed xmlns='{SM}'{count}>{reason}</failed>")).await;
        conn.bind("me@example.org/there").await;
        conn.element("enable").await;
        conn.send(&format!("<enabled xmlns='{SM}' id='another' resume='true'/>")).await;
        assert_eq!(event(&mut stream).await, "authenticated, keys: false");
        assert_eq!(event(&mut stream).await, "online me@example.org/there");
    }
}

/// Lets the stream work for a moment.
async fn drive(stream: &mut Stream) {
    let _ = timeout(Duration::from_millis(50), stream.next()).await;
}

#[tokio::test]
async fn a_silent_link_is_probed_after_a_minute_and_dead_soon_after() {
    for with_sm in [false, true] {
        let server = Server::new().await;
        let (mut stream, mut conn) =
            if with_sm { online_with_sm(&server).await } else { online(&server).await };
        // Time runs by itself while nobody has anything to do.
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        assert!(matches!(stream.next().await, StreamEvent::Suspended));
        let silence = start.elapsed().as_secs();
        tokio::time::resume();
        assert!((70..=80).contains(&silence), "dead after {silence} s");
        conn.until(if with_sm { "<r xmlns='urn:xmpp:sm:3'" } else { "urn:xmpp:ping" }).await;
    }
}

#[tokio::test]
async fn another_client_in_our_place_ends_it() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    conn.send(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    )
    .await;
    assert_eq!(event(&mut stream).await, "suspended");
    assert_eq!(failure(&mut stream).await, (ConnectError::Replaced, false));
    ended(stream, &server).await;
}

#[tokio::test]
async fn other_stream_errors_are_followed_by_another_attempt() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    conn.send(
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    )
    .await;
    assert_eq!(event(&mut stream).await, "suspended");
    server.accept_bound("secret").await;
}

#[tokio::test]
async fn thousands_are_sent_in_order_while_as_many_come_in() {
    const MANY: usize = 3000;
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    (0..MANY).for_each(|id| send(&mut stream, message(id)).unwrap());
    let served = async {
        let flood = "<message from='a@example.org'><body>flood</body></message>".repeat(100);
        for _ in 0..MANY / 100 {
            conn.send(&flood).await;
        }
        for id in 0..MANY {
            let got = conn.element("message").await;
            assert!(got.contains(&format!("id='m{id}'")), "{got} is not m{id}");
        }
    };
    let mut came = 0;
    let read = async {
        while came < MANY {
            assert!(event(&mut stream).await.contains("flood"));
            came += 1;
        }
    };
    timeout(PATIENCE, async { tokio::join!(served, read) }).await.expect("stalled");
}

#[tokio::test]
async fn a_queue_that_nobody_empties_is_bounded() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    (0..4096).for_each(|id| send(&mut stream, message(id)).unwrap());
    assert_eq!(send(&mut stream, message(4096)), Err(Full));
}

fn answer(to: usize, id: usize) -> Stanza {
    let to = format!("peer{to}@example.org/x").parse().unwrap();
    Iq::Result { from: None, to: Some(to), id: format!("a{id}"), payload: None }.into()
}

/// Sends answers to this many peers, and lets the task take what it may. Says how many were accepted.
async fn send_answers(stream: &mut Stream, peers: usize, answers: usize) -> usize {
    let mut taken = 0;
    for id in 0..answers {
        taken += usize::from(send(stream, answer(id % peers, id)).is_ok());
        if id % 16 == 0 {
            tokio::task::yield_now().await;
            assert!(stream.next().now_or_never().is_none());
        }
    }
    taken
}

#[tokio::test]
async fn answers_that_nobody_acknowledges_are_bounded_and_leave_room_for_requests() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    let taken = send_answers(&mut stream, 5_000, 20_000).await;
    assert_eq!(taken, 256 + 1_024);
    // A request goes out behind what was sent already.
    send(&mut stream, message(1)).unwrap();
    let (said, _) = tokio::join!(conn.until("id='m1'"), drive(&mut stream));
    assert_eq!(said.matches("id='a").count(), 256);
    // Acknowledged, they make room for those that wait.
    conn.send(&format!("<a xmlns='{SM}' h='257'/>")).await;
    let (said, _) = tokio::join!(conn.until("id='a511'"), drive(&mut stream));
    assert_eq!(said.matches("id='a").count(), 256);
}

#[tokio::test]
async fn one_peer_gets_few_of_the_places_for_answers() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    assert_eq!(send_answers(&mut stream, 1, 1_000).await, 16);
    send(&mut stream, answer(1, 0)).unwrap();
}

#[tokio::test]
async fn large_requests_wait_for_those_before_them_to_be_acknowledged() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    let large = |id: usize| {
        let mut large = xmpp_parsers::message::Message::chat(None);
        large.id = Some(xmpp_parsers::message::Id(format!("m{id}")));
        large.bodies.insert(Default::default(), "x".repeat((1 << 20) - 1_024));
        Stanza::from(large)
    };
    let taken = (0..100).filter(|id| send(&mut stream, large(*id)).is_ok()).count();
    assert!((16..=20).contains(&taken), "{taken} MiB");
    let (said, _) = tokio::join!(conn.until("id='m3'"), async {
        for _ in 0..20 {
            drive(&mut stream).await;
        }
    });
    drop(said);
    conn.until("</message>").await;
    conn.send(&format!("<r xmlns='{SM}'/>")).await;
    drive(&mut stream).await;
    let said = conn.until("<a xmlns").await;
    assert!(!said.contains("<message"), "more than 4 MiB are not acknowledged");
    conn.send(&format!("<a xmlns='{SM}' h='1'/>")).await;
    tokio::join!(conn.until("id='m4'"), async {
        for _ in 0..20 {
            drive(&mut stream).await;
        }
    });
}

#[tokio::test]
async fn a_server_that_acknowledges_nothing_is_left_after_two_minutes() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online_with_sm(&server).await;
    (0..1_100).for_each(|id| send(&mut stream, message(id)).unwrap());
    // Time runs by itself while nobody has anything to do.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let chatter = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            conn.send("<message from='a@example.org'/>").await;
        }
    };
    let left = async {
        loop {
            match stream.next().await {
                StreamEvent::Stanza(_) | StreamEvent::Suspended => {}
                StreamEvent::ConnectFailed { error, retry_at } => break (error, retry_at),
                _ => panic!("something else happened"),
            }
        }
    };
    let (error, retry_at) = tokio::select! {
        left = left => left,
        () = chatter => panic!("it is not left"),
    };
    let seconds = start.elapsed().as_secs();
    assert!((115..=130).contains(&seconds), "left after {seconds} s");
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");
    assert!(retry_at.is_some());
}

#[tokio::test]
async fn closing_sends_what_waits_and_takes_leave() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    (0..100).for_each(|id| send(&mut stream, message(id)).unwrap());
    let served = async {
        let said = conn.until("</stream:stream>").await;
        assert_eq!(said.matches("<message").count(), 100);
        conn.send("</stream:stream>").await;
        conn.rest().await;
        drop(conn);
    };
    let start = Instant::now();
    tokio::join!(served, stream.close());
    assert!(start.elapsed() < Duration::from_secs(3), "closing took {:?}", start.elapsed());
    assert!(server.is_left_alone());
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_does_not_answer() {
    let server = Server::new().await;
    let (stream, mut conn) = online(&server).await;
    let start = Instant::now();
    stream.close().await;
    assert!(start.elapsed() < Duration::from_secs(6), "closing took {:?}", start.elapsed());
    // The connection is gone, too, at once.
    assert!(conn.rest().await.ends_with("</stream:stream>"));
    timeout(Duration::from_secs(3), conn.gone()).await.expect("the connection lingers");
}

#[tokio::test]
async fn dropping_ends_everything() {
    let server = Server::new().await;
    let (stream, mut conn) = online(&server).await;
    drop(stream);
    conn.until("</stream:stream>").await;
    conn.send("</stream:stream>").await;
    conn.rest().await;
    assert!(server.is_left_alone());
}

#[test]
fn a_stream_may_live_in_a_task_of_its_own() {
    fn may_move<T: Send + 'static>(_: fn() -> T) {}
    may_move::<Stream>(|| unreachable!());
    fn drives(mut stream: Stream) -> impl Send {
        async move {
            stream.next().await;
            stream.close().await;
        }
    }
    let _ = drives;
}

#[tokio::test]
async fn while_suspended_it_is_told_when_the_next_attempt_comes() {
    let server = Server::new().await;
    let (mut stream, conn) = online(&server).await;
    drop(server);
    drop(conn);
    assert!(matches!(stream.next().await, StreamEvent::Suspended));
    let StreamEvent::Waiting { retry_at } = stream.next().await else { panic!("not told") };
    let wait = retry_at.duration_since(std::time::SystemTime::now()).unwrap();
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
    // And again when that attempt has failed.
    let StreamEvent::ConnectFailed { retry_at: Some(_), .. } = stream.next().await else {
        panic!("not told of the failure")
    };
}

#[tokio::test]
async fn a_probe_finds_a_dead_connection_within_15_seconds_and_tries_at_once() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    let start = tokio::time::Instant::now();
    stream.probe();
    stream.probe();
    tokio::time::pause();
    assert!(matches!(stream.next().await, StreamEvent::Suspended));
    let silence = start.elapsed().as_secs();
    assert!((14..=16).contains(&silence), "dead after {silence} s");
    tokio::time::resume();
    let lost = Instant::now();
    let said = conn.rest().await;
    assert_eq!(said.matches("urn:xmpp:ping").count(), 1, "{said}");
    let _conn = server.accept_bound("secret").await;
    assert!(lost.elapsed() < Duration::from_secs(1), "again after {:?}", lost.elapsed());
    assert_eq!(event(&mut stream).await, "authenticated, keys: false");
}

#[tokio::test]
async fn a_probe_that_is_answered_changes_nothing_and_its_answer_is_nobodys() {
    let server = Server::new().await;
    let (mut stream, mut conn) = online(&server).await;
    stream.probe();
    let ping = conn.element("iq").await;
    let id = ping.split("id='").nth(1).unwrap().split('\'').next().unwrap();
    conn.send(&format!("<iq type='result' id='{id}' to='me@example.org/here'/>")).await;
    conn.send("<message from='a@example.org'><body>next</body></message>").await;
    assert!(event(&mut stream).await.contains("next"));
    tokio::time::pause();
    assert!(timeout(Duration::from_secs(20), stream.next()).await.is_err(), "something happened");
}

#[tokio::test]
async fn a_probe_ends_the_wait_for_the_next_attempt_but_not_any_number_of_times() {
    let server = Server::new().await;
    let settings = server.settings();
    drop(server);
    let password = Credentials::Password(crate::credentials::Password::from("secret".to_owned()));
    let mut stream = Stream::connect(settings, password);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut at = Vec::new();
    while at.len() < 12 {
        let StreamEvent::ConnectFailed { .. } = stream.next().await else { panic!("something else") };
        at.push(start.elapsed().as_secs());
        stream.probe();
    }
    // Far sooner than back-off alone; eight a minute all the same.
    assert!(at[7] < 20, "{at:?}");
    assert!(at[8] >= 60, "{at:?}");
}

#[tokio::test]
async fn the_client_state_is_told_before_what_follows_it() {
    let server = Server::new().await;
    let mut stream = server.client("secret");
    let mut conn = server.accept_login("secret").await;
    conn.open(&format!("{BIND_AND_SM}<csi xmlns='urn:xmpp:csi:0'/>")).await;
    conn.bind("me@example.org/here").await;
    conn.element("enable").await;
    conn.send(&format!("<enabled xmlns='{SM}' id='session' resume='true'/>")).await;
    assert_eq!(event(&mut stream).await, "authenticated, keys: true");
    let StreamEvent::Online { client_state, .. } = stream.next().await else { panic!("online comes next") };
    assert!(client_state);
    stream.client_state(false);
    send(&mut stream, message(1)).unwrap();
    let said = conn.until("</message>").await;
    assert!(said.contains("<inactive xmlns='urn:xmpp:csi:0'"), "{said}");
    // It is no stanza: it is neither counted nor sent again.
    drop(conn);
    assert_eq!(event(&mut stream).await, "suspended");
    stream.client_state(true);
    let mut conn = server.accept_login("secret").await;
    conn.open(BIND_AND_SM).await;
    conn.element("resume").await;
    conn.send(&format!("<resumed xmlns='{SM}' previd='session' h='0'/>")).await;
    let said = conn.until("</message>").await;
    assert!(!said.contains("active"), "{said}");
}
