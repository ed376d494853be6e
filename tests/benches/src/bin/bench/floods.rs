//! How well an honest account is served while the servers of two others flood the daemon.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prosed_benches::outcome::{Ages, rss_kib};
use prosed_benches::play::Play;
use prosed_tests::Daemon;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::figures::{Row, short};
use crate::process::Canned;
use crate::ui::Ui;

/// Changes of the honest account's contacts per second.
const PACE: usize = 20;
/// The pause between two calls of the UI that only makes calls.
const CALL_EVERY: Duration = Duration::from_millis(20);

/// Two floods of each kind, each for this many seconds. `contacts`: how many a flooding account has.
pub(crate) async fn rows(seconds: u64, contacts: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let kinds =
        [("presences", "f1"), ("profiles", "v1"), ("pings", "q1"), ("pings, nothing acknowledged", "q1u1")];
    for (kind, letter) in kinds {
        rows.extend(beside(kind, letter, seconds, contacts).await);
    }
    rows
}

async fn beside(kind: &str, letter: &str, seconds: u64, contacts: usize) -> Vec<Row> {
    let honest = Play::parse(&format!("a1000p{PACE}")).expect("a play");
    let floods = [1, 2].map(|number| Play::parse(&format!("a{contacts}x{number}{letter}")).expect("a play"));
    // In separate processes: the honest server must not wait for a hostile one.
    let (canned, hostile) = (Canned::start(), Canned::start());
    let (_folder, ca) = both(&canned, &hostile);
    let daemon = Daemon::start(Daemon::setup().trust_ca(&ca).environment("RUST_LOG", "info")).await;
    let mut ui = Ui::connect(&daemon).await;
    ui.call("subscribe", json!({ "account": honest.jid() })).await;
    ui.call("login", canned.login(&honest)).await;
    ui.until(|seen| seen.last).await;
    let all = Ui::watching(&daemon).await;
    tokio::spawn(all.drain());
    let mut caller = Ui::connect(&daemon).await;
    for flood in &floods {
        caller.call("login", hostile.login(flood)).await;
    }
    // Events that arrived while nobody was reading would look late.
    let _elapsed = timeout(Duration::from_millis(500), ui.until(|_| false)).await;
    ui.seen.ages = Ages::default();
    let mut peak = 0;
    let mut waits = [Vec::new(), Vec::new()];
    let calls = async {
        for account in [&honest, &floods[0]].iter().cycle() {
            let begun = Instant::now();
            caller.receive("get_account", json!({ "account": account.jid() })).await;
            waits[usize::from(account.flood.is_some())].push(begun.elapsed().as_secs_f64() * 1e3);
            peak = peak.max(rss_kib(&daemon.id().to_string()));
            sleep(CALL_EVERY).await;
        }
    };
    let _elapsed =
        timeout(Duration::from_secs(seconds), async { tokio::join!(ui.until(|_| false), calls) }).await;
    let ages = &ui.seen.ages;
    let permille = |permille| ages.permille(permille) as f64 / 1e3;
    let row = |what: &str, figures, result: f64, unit, at_most| Row {
        goal: "floods",
        what: format!("two floods of {kind}: {what}"),
        figures,
        result: [result].into_iter().collect(),
        unit,
        at_most,
    };
    let [mut of_honest, mut of_flooded] = waits;
    let p99 = |waits: &mut Vec<f64>| {
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::INFINITY)
    };
    let figures = format!(
        "{} of {} changes told, median {} ms, latest {} ms",
        ages.count(),
        PACE * seconds as usize,
        short(permille(500)),
        short(permille(1000))
    );
    let calls = format!("{} and {} calls", of_honest.len(), of_flooded.len());
    vec![
        row("an honest account's change to event, p99", figures, permille(990), "ms", Some(100.0)),
        row("its get_account, p99", calls.clone(), p99(&mut of_honest), "ms", Some(100.0)),
        row("get_account of a flooded one, p99", calls, p99(&mut of_flooded), "ms", Some(1000.0)),
        row("memory at most", format!("{seconds} s"), peak as f64 / 1024.0, "MiB", None),
    ]
}

/// A file with the CA certificates of both servers, and the temporary folder that holds it.
fn both(one: &Canned, other: &Canned) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ca.pem");
    let [one, other] = [one, other].map(|canned| fs::read_to_string(&canned.ca).expect("a certificate"));
    fs::write(&path, one + &other).expect("a temporary file");
    (folder, path)
}
