//! S8: what an idle daemon costs. S9: a thousand accounts. Memory in churn.

use std::time::{Duration, Instant};

use prosed_benches::outcome::rss_kib;
use prosed_benches::play::Play;
use prosed_tests::Daemon;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::figures::{Row, Sample, short};
use crate::process::{Canned, threads, threads_named};
use crate::startup::{Runs, setup};
use crate::ui::Ui;

/// Logins in progress at once, from one UI.
const TOGETHER: usize = 16;
/// The names of sled's threads.
const SLED: &str = "sled-io";
/// Contacts per account.
const CONTACTS: usize = 10;

fn account(level: &str, number: usize) -> Play {
    Play::parse(&format!("{level}{CONTACTS}x{number}")).expect("a play")
}

async fn log_in(canned: &Canned, daemon: &Daemon, level: &str, accounts: std::ops::Range<usize>) {
    let numbers: Vec<_> = accounts.collect();
    for some in numbers.chunks(TOGETHER) {
        let logins = some.iter().map(|number| async {
            let mut ui = Ui::connect(daemon).await;
            ui.call("login", canned.login(&account(level, *number))).await;
        });
        futures::future::join_all(logins).await;
    }
}

/// S8: memory after a login, compared with bare tokio-xmpp.
pub(crate) fn memory(runs: &Runs) -> Row {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let of = |outcomes: &[prosed_benches::outcome::Outcome]| {
        outcomes.iter().map(|outcome| mib(outcome.rss_kib)).collect::<Sample>()
    };
    let result = runs.prosed.iter().zip(&runs.bare);
    let result = result.map(|(prosed, bare)| mib(prosed.rss_kib) - mib(bare.rss_kib)).collect();
    Row {
        goal: "S8",
        what: format!("memory when idle, {:?} {}", runs.play.level, runs.play.contacts),
        figures: format!(
            "floor {}, bare {}, prosed {} MiB",
            of(&runs.floor),
            of(&runs.bare),
            of(&runs.prosed)
        ),
        result,
        unit: "MiB above bare",
        at_most: (runs.play.contacts >= 10_000).then_some(10.0),
    }
}

/// The memory of one additional contact, from the runs of two plays.
pub(crate) fn memory_of_a_contact(few: &Runs, many: &Runs) -> Row {
    let middle = |runs: &Runs| runs.prosed.iter().map(|run| run.rss_kib as f64).collect::<Sample>().median();
    let contacts = many.play.contacts - few.play.contacts;
    Row {
        goal: "memory",
        what: format!("a contact, {:?} {}", many.play.level, many.play.contacts),
        figures: format!("against {} contacts", few.play.contacts),
        result: [(middle(many) - middle(few)) * 1024.0 / contacts as f64].into_iter().collect(),
        unit: "bytes",
        at_most: None,
    }
}

/// S8: ten idle accounts. At level B, where the server pushes everything: at level A the daemon goes on asking for what
/// is missing, one contact a minute for each account.
pub(crate) async fn idle(seconds: u64) -> Vec<Row> {
    let canned = Canned::start();
    let daemon = Daemon::start(setup(&canned)).await;
    log_in(&canned, &daemon, "b", 0..10).await;
    let _ui = Ui::watching(&daemon).await;
    // Until the login has settled, and delayed writes are on disk.
    sleep(Duration::from_secs(seconds.min(30))).await;
    let measure = || (threads(daemon.id()), threads_named(daemon.id(), SLED));
    let ((cpu, sleeps), (_, of_sled)) = measure();
    sleep(Duration::from_secs(seconds)).await;
    let ((cpu_after, sleeps_after), (_, of_sled_after)) = measure();
    let of_sled = (of_sled_after - of_sled) as f64 / seconds as f64;
    let row = |what: &str, result: f64, unit, at_most| Row {
        goal: "S8",
        what: format!("idle, 10 accounts, {what}"),
        figures: format!("{seconds} s; wake-ups of sled's threads: {} a second", short(of_sled)),
        result: [result].into_iter().collect(),
        unit,
        at_most: Some(at_most),
    };
    vec![
        row("wake-ups", (sleeps_after - sleeps) as f64 / seconds as f64, "a second", 1.0),
        row("CPU", (cpu_after - cpu) / seconds as f64, "ms a second", 1.0),
    ]
}

/// S9: this many accounts in one daemon, then all of them at its next start.
pub(crate) async fn accounts(most: usize, quiet: Duration) -> Vec<Row> {
    let mut canned = Canned::start();
    let mut daemon = Daemon::start(setup(&canned)).await;
    let mut figures = Vec::new();
    let (mut from, mut first, mut each) = (0, 0.0, 0.0);
    for count in [most.div_ceil(100), most.div_ceil(10), most.div_ceil(2), most] {
        log_in(&canned, &daemon, "a", from..count).await;
        from = count;
        sleep(quiet).await;
        let rss = rss_kib(&daemon.id().to_string()) as f64;
        if first == 0.0 {
            first = rss;
        } else {
            each = (rss - first) / (count - most.div_ceil(100)) as f64;
        }
        figures.push(format!("{count}: {} MiB", short(rss / 1024.0)));
    }
    daemon.sigterm().await;
    (0..most).for_each(|_| drop(canned.report()));
    let begun = Instant::now();
    daemon.restart().await;
    let mut ui = Ui::connect(&daemon).await;
    ui.call("load_roster", json!({ "account": account("a", 0).jid() })).await;
    let answered = begun.elapsed();
    // Don't call anything that needs an account: that would make it log in sooner.
    let online = async {
        while ui.seen.accounts_online < most {
            sleep(Duration::from_millis(50)).await;
            ui.call("list_accounts", json!({})).await;
        }
    };
    timeout(Duration::from_secs(120), online).await.expect("all accounts come back");
    let all = begun.elapsed();
    daemon.sigterm().await;
    let mut connected: Vec<u64> =
        (0..most).filter_map(|_| canned.report()["connected_ns"].as_u64()).collect();
    connected.sort_unstable();
    let within = |index: usize| {
        connected[index..].iter().take_while(|at| **at - connected[index] < 1_000_000_000).count()
    };
    let at_once = (0..connected.len()).map(within).max().unwrap_or_default();
    vec![
        Row {
            goal: "S9",
            what: format!("memory of an account with {CONTACTS} contacts, {most} accounts"),
            figures: figures.join(", "),
            result: [each].into_iter().collect(),
            unit: "KiB",
            at_most: Some(200.0),
        },
        Row {
            goal: "S9",
            what: format!("start with {most} accounts: connects in the busiest second"),
            figures: format!("first answer after {answered:.2?}, all online after {all:.2?}"),
            result: [at_once as f64].into_iter().collect(),
            unit: "connects",
            at_most: None,
        },
    ]
}

/// Memory under constant change: its slope once it has settled.
pub(crate) async fn churn(time: Duration) -> Row {
    let play = Play::parse("b1000p200").expect("a play");
    let canned = Canned::start();
    let daemon = Daemon::start(setup(&canned)).await;
    let mut ui = Ui::watching(&daemon).await;
    ui.call("login", canned.login(&play)).await;
    let (begun, mut points) = (Instant::now(), Vec::new());
    let step = (time / 20).max(Duration::from_millis(100));
    while begun.elapsed() < time {
        let _elapsed = timeout(step, ui.until(|_| false)).await;
        points.push((begun.elapsed().as_secs_f64(), rss_kib(&daemon.id().to_string()) as f64));
    }
    // The first half fills the bounded caches: the event log alone holds 16 MiB.
    let settled = &points[points.len() / 2..];
    Row {
        goal: "memory",
        what: format!("growth in {time:?} of churn, 200 changes a second"),
        figures: format!(
            "{} MiB at the end, {} events",
            short(settled.last().map_or(0.0, |(_, kib)| kib / 1024.0)),
            ui.seen.events
        ),
        result: [slope(settled) * 60.0].into_iter().collect(),
        unit: "KiB a minute",
        at_most: None,
    }
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    let under = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(1.0, 1.0)]), 0.0);
    }
}
