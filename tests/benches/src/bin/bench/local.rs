//! S6: from a change at a contact's client to the event in the UI. S7: one event, many
//! subscribers.

use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use prosed_benches::outcome::{Ages, rss_kib};
use prosed_benches::play::Play;
use prosed_tests::Daemon;
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::client_async;

use crate::figures::{Row, Sample, short};
use crate::process::{Canned, program, threads};
use crate::startup::setup;
use crate::ui::Ui;

/// Events per second in S7: few enough that each is sent separately.
const PACE: u64 = 200;
/// Subscriptions per connection (`rpc/limits.rs`).
const SUBSCRIPTIONS: usize = 16;

/// S6 at this many changes per second: how much later the UI has the event than the floor has the stanza.
pub(crate) async fn delays(times: usize, seconds: u64, pace: usize) -> Row {
    let play = Play::parse(&format!("a1000p{pace}")).expect("a play");
    let mut canned = Canned::start();
    let listen = ["--listen", &seconds.to_string()];
    let (mut result, mut floors, mut prosed) = <(Sample, Sample, Sample)>::default();
    for _ in 0..times {
        let printed = canned.run_lines("floor", &play, &listen);
        let floor: Ages = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        let daemon = Daemon::start(setup(&canned)).await;
        let mut ui = Ui::watching(&daemon).await;
        ui.call("login", canned.login(&play)).await;
        ui.until(|seen| seen.all_of(&play) && seen.last).await;
        ui.seen.ages = Ages::default();
        let _elapsed = timeout(Duration::from_secs(seconds), ui.until(|_| false)).await;
        let seen = std::mem::take(&mut ui.seen.ages);
        assert!(seen.count() > pace / 10 * seconds as usize, "{} changes were told", seen.count());
        let [floor, seen] = [floor, seen].map(|ages| ages.permille(990) as f64 / 1e3);
        result.add(seen - floor);
        floors.add(floor);
        prosed.add(seen);
        drop((ui, daemon));
        canned.report();
    }
    Row {
        goal: "S6",
        what: format!("change to event, p99 at {pace} a second, prosed's share"),
        figures: format!("floor {floors}, prosed {prosed} ms"),
        result,
        unit: "ms",
        at_most: Some(1.0),
    }
}

/// CPU per additional notification, in microseconds, and memory per additional subscriber, in KiB.
struct Marginal {
    cpu_us: f64,
    rss_kib: f64,
}

/// S7 with four numbers of subscribers: what each additional one costs, compared with a raw WebSocket server.
pub(crate) async fn fan_out(most: usize, seconds: u64) -> Vec<Row> {
    let (mut figures, mut last) = (Vec::new(), None);
    let counts = [most.div_ceil(32), most.div_ceil(8), most.div_ceil(2), most];
    let (raw_one, prosed_one) = (raw(1, seconds).await, prosed(1, seconds).await);
    for count in counts.into_iter().filter(|count| *count > 1) {
        let (raw, prosed) = (raw(count, seconds).await, prosed(count, seconds).await);
        let marginal = |many: (f64, u64, f64), one: (f64, u64, f64)| Marginal {
            cpu_us: (many.0 / many.1 as f64 - one.0 / one.1 as f64) * 1e3 / (count - 1) as f64,
            rss_kib: (many.2 - one.2) / (count - 1) as f64,
        };
        let (raw, prosed) = (marginal(raw, raw_one), marginal(prosed, prosed_one));
        figures.push(format!("{count}: {} and {}", short(raw.cpu_us), short(prosed.cpu_us)));
        last = Some((raw, prosed));
    }
    let Some((raw, prosed)) = last else { return Vec::new() };
    let per_event = prosed_one.0 * 1e3 / prosed_one.1 as f64;
    vec![
        Row {
            goal: "S7",
            what: format!("CPU of one more notification, {most} subscribers"),
            figures: format!(
                "subscribers: raw WebSocket and prosed, µs: {}; all of an event with one: {} µs",
                figures.join("; "),
                short(per_event)
            ),
            result: [prosed.cpu_us / raw.cpu_us].into_iter().collect(),
            unit: "× raw WebSocket",
            at_most: Some(2.0),
        },
        Row {
            goal: "memory",
            what: "a subscriber".to_owned(),
            figures: format!("raw WebSocket {} KiB a connection", short(raw.rss_kib)),
            result: [prosed.rss_kib].into_iter().collect(),
            unit: "KiB",
            at_most: None,
        },
    ]
}

/// CPU in ms, events, and memory in KiB of a daemon that sends each event to this many subscriptions. If there are
/// more than 16, each connection has as many as are allowed.
async fn prosed(subscribers: usize, seconds: u64) -> (f64, u64, f64) {
    let canned = Canned::start();
    let play = Play::parse(&format!("a1000p{PACE}")).expect("a play");
    let daemon = Daemon::start(setup(&canned)).await;
    let mut ui = Ui::watching(&daemon).await;
    ui.call("login", canned.login(&play)).await;
    ui.until(|seen| seen.all_of(&play) && seen.last).await;
    let mut readers = JoinSet::new();
    let connections = (subscribers - 1).div_ceil(SUBSCRIPTIONS).max((subscribers - 1).min(16));
    let mut wanted = subscribers - 1;
    for left in (1..=connections).rev() {
        let mut other = Ui::watching(&daemon).await;
        let own = wanted.div_ceil(left);
        for _ in 1..own {
            other.call("subscribe", json!({})).await;
        }
        wanted -= own;
        readers.spawn(async move { other.drain().await });
    }
    let _settled = timeout(Duration::from_secs(2), ui.until(|_| false)).await;
    let (before, events) = (threads(daemon.id()).0, ui.seen.events);
    let _elapsed = timeout(Duration::from_secs(seconds), ui.until(|_| false)).await;
    let cpu = threads(daemon.id()).0 - before;
    (cpu, (ui.seen.events - events).max(1) as u64, rss_kib(&daemon.id().to_string()) as f64)
}

/// The same for a WebSocket server that does nothing else.
async fn raw(subscribers: usize, seconds: u64) -> (f64, u64, f64) {
    let mut child = tokio::process::Command::new(program("raw"))
        .args([subscribers.to_string(), PACE.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be started");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let address = lines.next_line().await.expect("a pipe").expect("an address");
    let mut readers = JoinSet::new();
    for _ in 0..subscribers {
        let tcp = TcpStream::connect(&address).await.expect("it listens");
        let (mut socket, _) = client_async("ws://localhost/", tcp).await.expect("a WebSocket");
        readers.spawn(async move { while socket.next().await.is_some() {} });
    }
    sleep(Duration::from_secs(1)).await;
    let pid = child.id().expect("it lives");
    let before = threads(pid).0;
    sleep(Duration::from_secs(seconds)).await;
    let cpu = threads(pid).0 - before;
    (cpu, PACE * seconds, rss_kib(&pid.to_string()) as f64)
}
