//! A large roster that keeps changing, and a UI that stops reading: nobody else notices, and the daemon's memory does
//! not grow. Without the bound on its event log it does.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use prosed_tests::daemon::Setup;
use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::http::bearer;
use prosed_tests::metrics::Scrape;
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Ui};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

const CONTACTS: usize = 10_000;
const CHANGES: usize = 100_000;
/// By then the event log is full: from there on, memory has no reason to grow.
const WARM: usize = 70_000;
/// So many at a time, that the lively UI reads along.
const STEP: usize = 10_000;
/// The bound on the event log, in bytes of JSON.
const RETAINED_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// What the allocator may need on top, in MiB: usually 5 to 11, 25 seen on a busy machine; with no bound on the log
/// it is some 50.
const SLACK: u64 = 36;
/// A UI that answers no ping for so long is cut off: on a very slow machine that may come first.
const GONE_AFTER: Duration = Duration::from_secs(50);

/// A UI that keeps what it shows and nothing else.
struct Follower {
    socket: WebSocketStream<TcpStream>,
    contacts: BTreeMap<String, Value>,
    seq: u64,
}

impl Follower {
    async fn connect(daemon: &Daemon) -> Self {
        let address = daemon.address();
        let mut request = format!("ws://{address}/rpc").into_client_request().expect("a URL");
        let token = bearer(daemon).parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        let stream = TcpStream::connect(&address).await.expect("the daemon's port is open");
        let (socket, _) = client_async(request, stream).await.expect("let in");
        Self { socket, contacts: BTreeMap::new(), seq: 0 }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.socket.send(Message::text(call.to_string())).await.expect("the daemon is there");
        let answer = self.next().await.expect("an answer");
        assert_eq!(answer["id"], 1, "{answer}");
        answer["result"].clone()
    }

    /// None: the daemon has cut us off.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Loads the roster and subscribes from there.
    async fn begin(&mut self) {
        let roster = self.call("load_roster", json!({})).await;
        self.seq = roster["seq"].as_u64().expect("a number");
        self.contacts = by_jid(&roster);
        self.call("subscribe", json!({ "since": self.seq })).await;
    }

    /// Reads on up to the event of this number, or to what ends the subscription before.
    async fn read_to(&mut self, seq: u64) -> Read {
        while self.seq < seq {
            let Some(mut message) = self.next().await else { return Read::CutOff };
            if let Some(error) = message["params"].get("error") {
                return Read::Ended(error.clone());
            }
            let event = message["params"]["result"].take();
            let next = event["seq"].as_u64().expect("a number");
            assert_eq!(next, self.seq + 1, "no gap, and nothing twice");
            self.seq = next;
            for contact in event["contacts"].as_array().into_iter().flatten() {
                let jid = contact["jid"].as_str().expect("a JID").to_owned();
                self.contacts.insert(jid, contact.clone());
            }
        }
        Read::AllOfIt
    }
}

#[derive(Debug, PartialEq)]
enum Read {
    AllOfIt,
    /// By this error.
    Ended(Value),
    CutOff,
}

fn by_jid(roster: &Value) -> BTreeMap<String, Value> {
    let contacts = roster["contacts"].as_array().expect("contacts");
    contacts
        .iter()
        .map(|contact| (contact["jid"].as_str().expect("a JID").to_owned(), contact.clone()))
        .collect()
}

fn jid(contact: usize) -> String {
    format!("contact{contact:05}@prosed.test")
}

fn roster() -> String {
    let items = (0..CONTACTS).map(|contact| format!("<item jid='{}' subscription='both'/>", jid(contact)));
    format!("<query xmlns='jabber:iq:roster'>{}</query>", items.collect::<String>())
}

/// Changes of presence, each contact in turn; waits until the daemon has taken them in.
async fn change(server: &Served, changes: std::ops::Range<usize>) {
    for some in changes.collect::<Vec<_>>().chunks(2_000) {
        // Once it is full, the log is to be filled twice more, and soon.
        let words = "and so on ".repeat(if some[0] < WARM { 1 } else { 60 });
        let stanzas = some.iter().map(|change| {
            let show = if (change / CONTACTS).is_multiple_of(2) { "away" } else { "dnd" };
            let jid = jid(change % CONTACTS);
            format!(
                "<presence from='{jid}/desk'><show>{show}</show><status>change {change}, {words}</status></presence>"
            )
        });
        server.send(&stanzas.collect::<String>()).await.expect("the daemon reads");
        server.ping().await;
    }
}

/// What the daemon has in memory, in MiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells");
    line.trim_matches(|sign: char| !sign.is_ascii_digit()).parse::<u64>().expect("a number") / 1024
}

/// A daemon whose account has all the contacts.
async fn start(setup: Setup, server: &Hostile) -> (Daemon, Served) {
    // At debug it tells of each of the contacts that has no picture.
    let setup = setup.trust_ca(&server.ca_pem).environment("RUST_LOG", "info");
    let daemon = Daemon::start(setup).await;
    let ui = Ui::watching(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let roster = roster();
    let served = server
        .accept_session("me", "secret")
        .await
        .serve(move |stanza| find(stanza, "query", "jabber:iq:roster").map(|_| roster.clone()));
    ui.answer(&login).await.expect("logged in");
    ui.event("rosterLoaded", |event| event["changed"] == CONTACTS).await;
    (daemon, served)
}

/// All changes from this one on. A UI that reads along, and one that stops when the log is full; when that was, and by how much memory
/// has grown since, in MiB.
async fn flood(daemon: &Daemon, server: &Served, from: usize) -> (Follower, Follower, Instant, u64) {
    let mut lively = Follower::connect(daemon).await;
    lively.begin().await;
    assert_eq!(lively.contacts.len(), CONTACTS);
    let mut stalled = Follower::connect(daemon).await;
    let (mut before, mut since) = (0, Instant::now());
    for changes in (from..CHANGES).step_by(STEP) {
        if changes == WARM {
            stalled.begin().await;
            (before, since) = (memory(daemon), Instant::now());
        }
        change(server, changes..changes + STEP).await;
        let seq = Scrape::of(daemon).await.value("prosed_event_log_seq", &[]);
        assert_eq!(lively.read_to(seq as u64).await, Read::AllOfIt, "it keeps up");
    }
    (lively, stalled, since, memory(daemon).saturating_sub(before))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_reading_costs_the_others_nothing() {
    let server = Hostile::listen().await;
    let (daemon, server) = start(Daemon::setup(), &server).await;
    let (lively, mut stalled, since, growth) = flood(&daemon, &server, 0).await;
    assert!(growth <= SLACK, "by {growth} MiB");

    assert!(Scrape::of(&daemon).await.value("prosed_event_log_bytes", &[]) <= RETAINED_BYTES);

    // What the one that read along shows is what is.
    let mut late = Follower::connect(&daemon).await;
    late.begin().await;
    assert_eq!(late.seq, lively.seq);
    assert!(late.contacts == lively.contacts, "{}", difference(&late.contacts, &lively.contacts));
    for (at, contact) in (CHANGES - CONTACTS..).zip(late.contacts.values()) {
        let status = contact["status"].as_str().unwrap_or_default();
        assert!(status.starts_with(&format!("change {at},")), "{contact}");
    }

    // The other one reads what was on its way, and then learns that it was too slow.
    match stalled.read_to(u64::MAX).await {
        Read::Ended(error) => {
            let data = &error["data"];
            assert_eq!((&data["kind"], &data["seq"]), (&json!("lagged"), &json!(stalled.seq)));
            let lagged = Scrape::of(&daemon).await.value("prosed_subscriptions_lagged_total", &[]);
            assert_eq!(lagged, 1.0);
        }
        Read::CutOff if since.elapsed() > GONE_AFTER => {}
        other => panic!("{other:?}"),
    }
    if since.elapsed() > GONE_AFTER {
        stalled = Follower::connect(&daemon).await;
    }
    // The remedy is to start over.
    stalled.begin().await;
    change(&server, CHANGES..CHANGES + 1).await;
    assert_eq!(stalled.read_to(lively.seq + 1).await, Read::AllOfIt);
    let status = stalled.contacts[&jid(CHANGES % CONTACTS)]["status"].as_str();
    assert!(status.is_some_and(|status| status.starts_with(&format!("change {CHANGES},"))), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_bound_the_event_log_grows() {
    let server = Hostile::listen().await;
    let (daemon, server) = start(Daemon::setup().without("retention"), &server).await;
    let (_lively, _stalled, _, growth) = flood(&daemon, &server, WARM).await;
    let bytes = Scrape::of(&daemon).await.value("prosed_event_log_bytes", &[]);
    assert!(bytes > 2.0 * RETAINED_BYTES, "{bytes}");
    assert!(growth > SLACK, "by {growth} MiB");
}

fn difference(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> String {
    let differing = one.iter().find(|(jid, contact)| other.get(*jid) != Some(contact));
    differing.map(|(jid, contact)| format!("{contact} and {:?}", other.get(jid))).unwrap_or_default()
}
