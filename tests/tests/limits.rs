//! What one program may use of the real daemon: each limit, and that without its guard there is none. The size of a
//! request and of a batch are in `refusals.rs`, the ping is in `faults.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use prosed_tests::daemon::Setup;
use prosed_tests::hostile::Hostile;
use prosed_tests::http::{bearer, request, request_unix};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a call from the user may take, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Waits for events that don't come, for longer than any test.
const LONG_POLL: u64 = 60;

#[tokio::test]
async fn thirty_two_connections() {
    assert_eq!(after_connections(Daemon::setup()).await, Some(429));
    assert_eq!(after_connections(Daemon::setup().without("connections")).await, None);
}

/// The status of one connection more.
async fn after_connections(setup: Setup) -> Option<u16> {
    let daemon = Daemon::start(setup).await;
    let mut uis = Vec::new();
    for _ in 0..32 {
        uis.push(Ui::connect(&daemon).await);
    }
    let more = Ui::connect_with(&daemon, &[("authorization", &bearer(&daemon))]).await;
    more.err().map(|status| status.as_u16())
}

/// If the process may open few files, they take those of the socket and of the sessions, too.
#[tokio::test]
async fn three_hundred_strangers_keep_nobody_out() {
    assert_eq!(served_beside_strangers(Daemon::setup()).await, [5, 5]);
    let few = Daemon::setup().descriptors(64);
    assert_eq!(served_beside_strangers(few.clone()).await, [5, 5]);
    assert_eq!(served_beside_strangers(few.without("strangers")).await, [0, 0]);
}

/// How many of five calls with the token are answered at once at the port, and of five at the socket.
async fn served_beside_strangers(setup: Setup) -> [usize; 2] {
    let daemon = Daemon::start(setup).await;
    // Where nobody takes them in, the kernel lets some wait.
    let strangers = (0..300).map(|_| timeout(Duration::from_secs(1), TcpStream::connect(daemon.address())));
    let _strangers = join_all(strangers).await;
    let token = bearer(&daemon);
    let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "get_version" }).to_string();
    // Strangers that the kernel still lets in may push out a call before it is read. The next attempt finds a place.
    let ask = || request(&daemon, "POST", "/rpc", &headers, &call);
    let at_the_port = (0..5).map(|_| {
        timeout(AT_ONCE, async {
            match ask().await {
                Err(error) => {
                    eprintln!("pushed out: {error}");
                    ask().await
                }
                answer => answer,
            }
        })
    });
    let at_the_socket =
        (0..5).map(|_| timeout(AT_ONCE, request_unix(&daemon, "POST", "/rpc", &headers[..1], &call)));
    let (port, socket) = tokio::join!(join_all(at_the_port), join_all(at_the_socket));
    [port, socket].map(|answers| {
        answers.iter().filter(|answer| matches!(answer, Ok(Ok(answer)) if answer.status == 200)).count()
    })
}

#[tokio::test]
async fn sixteen_subscriptions_of_one_connection() {
    assert_eq!(after_subscriptions(Daemon::setup()).await, Some(-32006));
    assert_eq!(after_subscriptions(Daemon::setup().without("subscriptions")).await, None);
}

/// The error of one subscription more.
async fn after_subscriptions(setup: Setup) -> Option<i64> {
    let daemon = Daemon::start(setup).await;
    let ui = Ui::connect(&daemon).await;
    for _ in 0..16 {
        ui.subscribe(json!({})).await;
    }
    let more = ui.call("subscribe", json!({})).await;
    let others = Ui::connect(&daemon).await.call("subscribe", json!({})).await;
    assert!(others.is_ok(), "another connection has its own: {others:?}");
    more.err().map(|error| error.code)
}

#[tokio::test]
async fn sixty_four_calls_in_flight_of_one_connection() {
    assert_eq!(after_calls(Daemon::setup()).await, Some(1404));
    assert_eq!(after_calls(Daemon::setup().without("calls-in-flight")).await, None);
}

/// The error of one call more.
async fn after_calls(setup: Setup) -> Option<i64> {
    let daemon = Daemon::start(setup).await;
    let ui = Ui::connect(&daemon).await;
    for _ in 0..64 {
        ui.send_call("get_events", json!({ "since": 0, "timeout": LONG_POLL })).await;
    }
    let more = ui.call("get_version", json!({})).await;
    assert_eq!(ui.frames().len(), 1, "the others wait: {:?}", ui.frames());
    more.err().map(|error| error.code)
}

/// A roster of contacts that are as large as possible: their JIDs and groups consist of characters that JSON writes
/// as two bytes each.
#[tokio::test]
async fn sixteen_mebibytes_an_answer() {
    let (error, length) = load_a_large_roster(Daemon::setup()).await;
    assert_eq!((&error["code"], &error["data"]["limit"]), (&json!(-32008), &json!("bytes of an answer")));
    let text = error["data"]["text"].as_str().expect("how large it is");
    let bytes: usize = text.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    assert!((16 << 20..LARGE_ROSTER * 4_300).contains(&bytes), "{text}");
    assert!(text.contains("`limit`"), "{text}");
    assert!(length < 1024, "{length} bytes");
    let (error, length) = load_a_large_roster(Daemon::setup().without("response-size")).await;
    assert_eq!(error, Value::Null);
    assert!(length > 16 << 20, "{length} bytes");
}

/// Contacts, each of nearly 4 KiB.
const LARGE_ROSTER: usize = 4_600;

/// The error of the call, and the length of the answer.
async fn load_a_large_roster(setup: Setup) -> (Value, usize) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(setup.trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let _peer = server.accept_session("me", "secret").await.serve(|stanza| {
        let groups: String =
            (0..2).map(|group| format!("<group>{group}{}</group>", "\"".repeat(450))).collect();
        let local = "\\".repeat(900);
        let item = |contact| format!("<item jid='c{contact}{local}@prosed.test'>{groups}</item>");
        let items: String = (0..LARGE_ROSTER).map(item).collect();
        find(stanza, "query", "jabber:iq:roster")
            .map(|_| format!("<query xmlns='jabber:iq:roster'>{items}</query>"))
    });
    ui.answer(&login).await.expect("logged in");
    // By POST: the tests' WebSocket takes no frame of that size.
    let token = bearer(&daemon);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let load = async |method: &str, params: Value| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        request(&daemon, "POST", "/rpc", &headers, &call).await.expect("an answer")
    };
    let whole = load("load_roster", json!({})).await;
    let error = whole.json()["error"].clone();
    if error != Value::Null {
        // The largest page always fits, and what it leaves is behind it.
        let state = load("load_state", json!({})).await.json();
        assert_eq!(state["error"]["code"], -32008);
        let state = load("load_state", json!({ "limit": 1_000_000 })).await.json();
        let page = state["result"]["accounts"][0]["roster"].clone();
        assert_eq!(page["complete"], false, "{:.300}", state.to_string());
        let mut contacts = page["contacts"].as_array().cloned().expect("contacts");
        assert_eq!(contacts.len(), 4_000);
        for (limit, complete) in [(500, false), (100, true)] {
            let after = contacts.last().map(|contact| &contact["jid"]);
            let page =
                load("load_roster", json!({ "limit": limit, "after": after })).await.json()["result"].clone();
            assert_eq!(
                (&page["complete"], page["contacts"].as_array().map(Vec::len)),
                (&json!(complete), Some(limit))
            );
            contacts.extend(page["contacts"].as_array().cloned().expect("contacts"));
        }
        let jids: BTreeSet<_> = contacts.iter().map(|contact| contact["jid"].to_string()).collect();
        assert_eq!(jids.len(), LARGE_ROSTER);
    }
    (error, whole.body.len())
}
