//! S1: a cold start-up on the canned server, each client in turn. S2: the same with a warm cache. S3: from `exec` to
//! the cached roster, without a network.

use std::time::{Duration, Instant};

use prosed_benches::outcome::{Outcome, millis, rss_kib};
use prosed_benches::play::{Level, Play};
use prosed_tests::Daemon;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::figures::{Row, Sample, short};
use crate::process::{Canned, cpu_ms};
use crate::ui::Ui;

/// After this long all delayed work is done: the login has settled, and writes are on disk.
pub(crate) const QUIET: Duration = Duration::from_secs(5);

/// Each client's runs of one play.
pub(crate) struct Runs {
    pub(crate) play: Play,
    pub(crate) floor: Vec<Outcome>,
    pub(crate) bare: Vec<Outcome>,
    pub(crate) slixmpp: Vec<Outcome>,
    pub(crate) prosed: Vec<Outcome>,
}

/// A daemon that trusts the canned server, with the default log level.
pub(crate) fn setup(canned: &Canned) -> prosed_tests::daemon::Setup {
    Daemon::setup().trust_ca(&canned.ca).environment("RUST_LOG", "info")
}

/// Runs floor, bare tokio-xmpp, slixmpp (if wanted) and prosed, in turn.
pub(crate) async fn cold(play: &Play, times: usize, slixmpp: bool, quiet: Duration) -> Runs {
    let play = play.clone();
    let mut runs = Runs { play: play.clone(), floor: vec![], bare: vec![], slixmpp: vec![], prosed: vec![] };
    let mut canned = Canned::start();
    // The first run includes the preparation of the play.
    canned.run("floor", &play, &[]);
    for _ in 0..times {
        runs.floor.push(canned.run("floor", &play, &[]));
        runs.bare.push(canned.run("bare", &play, &[]));
        if slixmpp {
            runs.slixmpp.extend(crate::peers::slixmpp(&canned.target(&play)));
            canned.report();
        }
        let daemon = Daemon::start(setup(&canned)).await;
        runs.prosed.push(prosed_cold(canned.login(&play), &daemon, &play, quiet).await);
        drop(daemon);
        canned.report();
    }
    runs
}

/// From `login` until the UI has received everything.
pub(crate) async fn prosed_cold(login: Value, daemon: &Daemon, play: &Play, quiet: Duration) -> Outcome {
    let mut ui = Ui::watching(daemon).await;
    let begun = Instant::now();
    ui.send("login", login).await;
    ui.until(|seen| seen.all_of(play) && seen.roster.is_some()).await;
    let wall_ms = millis(begun.elapsed());
    let roster_ms = ui.seen.roster.map(|at| millis(at - begun)).unwrap_or_default();
    // Delayed work counts, too.
    sleep(quiet).await;
    Outcome { wall_ms, cpu_ms: cpu_ms(daemon.id()), rss_kib: rss_kib(&daemon.id().to_string()), roster_ms }
}

/// One of the figures of a run.
pub(crate) type Figure = fn(&Outcome) -> f64;

pub(crate) fn ratios(of: &[Outcome], to: &[Outcome], figure: Figure) -> Sample {
    of.iter().zip(to).map(|(of, to)| figure(of) / figure(to)).collect()
}

pub(crate) fn middle(runs: &[Outcome], figure: Figure) -> String {
    short(runs.iter().map(figure).collect::<Sample>().median())
}

pub(crate) fn wall(outcome: &Outcome) -> f64 {
    outcome.wall_ms
}

pub(crate) fn cpu(outcome: &Outcome) -> f64 {
    outcome.cpu_ms
}

/// The rows of S1 for one play.
pub(crate) fn rows(runs: &Runs) -> Vec<Row> {
    let Runs { play, floor, bare, slixmpp, prosed } = runs;
    let is_goal = play.level == Level::B && play.contacts >= 10_000;
    let mut rows = Vec::new();
    for (name, figure) in [("wall", wall as Figure), ("CPU", cpu)] {
        let mut figures = format!(
            "floor {}, bare {}, prosed {} ms",
            middle(floor, figure),
            middle(bare, figure),
            middle(prosed, figure)
        );
        if !slixmpp.is_empty() {
            figures.push_str(&format!(", slixmpp {} ms", middle(slixmpp, figure)));
        }
        let row = |to: &[Outcome], unit, at_most| Row {
            goal: "S1",
            what: format!("cold start, canned, {:?} {}, {name}", play.level, play.contacts),
            figures: figures.clone(),
            result: ratios(prosed, to, figure),
            unit,
            at_most,
        };
        rows.push(row(bare, "× bare", is_goal.then_some(1.5)));
        rows.push(row(floor, "× floor", None));
    }
    rows
}

/// S10: the cost per N log N of the last of these plays, compared with the second, where fixed costs matter little.
pub(crate) fn growth(runs: &[Runs]) -> Row {
    let cost = |runs: &Runs| {
        let n = runs.play.contacts as f64;
        runs.prosed.iter().map(|outcome| outcome.cpu_ms / (n * n.ln())).collect::<Sample>().median()
    };
    let each = |runs: &Runs| {
        let us = cost(runs) * (runs.play.contacts as f64).ln() * 1e3;
        format!("{}: {} µs", runs.play.contacts, short(us))
    };
    let last = &runs[runs.len() - 1];
    Row {
        goal: "S10",
        what: format!("CPU of a contact as they grow more, {:?}", last.play.level),
        figures: runs.iter().map(each).collect::<Vec<_>>().join(", "),
        result: [cost(last) / cost(&runs[runs.len().min(2) - 1])].into_iter().collect(),
        unit: "× N log N",
        at_most: Some(1.0),
    }
}

/// S2: the daemon is restarted and logs in by itself, compared with a floor that knows as much.
pub(crate) async fn warm(play: &Play, times: usize, quiet: Duration) -> Vec<Row> {
    let mut canned = Canned::start();
    canned.run("floor", play, &[]);
    let mut daemon = Daemon::start(setup(&canned)).await;
    prosed_cold(canned.login(play), &daemon, play, quiet).await;
    let (mut walls, mut cpus, mut floors, mut prosed) =
        <(Sample, Sample, Vec<Outcome>, Vec<Outcome>)>::default();
    let (mut rosters, mut avatars) = (0, 0);
    for _ in 0..times {
        daemon.sigterm().await;
        canned.report();
        let floor = canned.run("floor", play, &["--warm"]);
        let begun = Instant::now();
        daemon.restart().await;
        let mut ui = Ui::watching(&daemon).await;
        ui.call("load_roster", json!({})).await;
        ui.until(|seen| seen.last).await;
        let wall_ms = millis(begun.elapsed());
        sleep(quiet).await;
        let outcome = Outcome { wall_ms, cpu_ms: cpu_ms(daemon.id()), ..Outcome::default() };
        walls.add(outcome.wall_ms / floor.wall_ms);
        cpus.add(outcome.cpu_ms / floor.cpu_ms);
        floors.push(floor);
        prosed.push(outcome);
    }
    daemon.sigterm().await;
    let report = canned.report();
    rosters += report["rosters"].as_u64().unwrap_or_default();
    avatars += report["avatars"].as_u64().unwrap_or_default();
    let row = |name: &str, result, figure: fn(&Outcome) -> f64| Row {
        goal: "S2",
        what: format!("warm start, canned, {:?} {}, {name} from exec", play.level, play.contacts),
        figures: format!("floor {}, prosed {} ms", middle(&floors, figure), middle(&prosed, figure)),
        result,
        unit: "× floor",
        at_most: (play.contacts >= 10_000).then_some(2.0),
    };
    let again = Row {
        goal: "S2",
        what: format!("warm start, {:?} {}: fetched again", play.level, play.contacts),
        figures: format!("{rosters} rosters, {avatars} avatars"),
        result: [(rosters + avatars) as f64].into_iter().collect(),
        unit: "fetched",
        at_most: Some(0.0),
    };
    vec![row("wall", walls, wall), row("CPU", cpus, cpu), again]
}

/// S3: from `exec` to the answer of `load_roster`, with everything cached and no server.
pub(crate) async fn cached(play: &Play, times: usize, quiet: Duration) -> Row {
    let mut canned = Canned::start();
    canned.run("floor", play, &[]);
    let mut daemon = Daemon::start(setup(&canned)).await;
    prosed_cold(canned.login(play), &daemon, play, quiet).await;
    canned.stop();
    let (mut result, mut bytes) = (Sample::default(), 0);
    for _ in 0..times {
        daemon.sigterm().await;
        let begun = Instant::now();
        daemon.relaunch();
        let connected = async {
            loop {
                match Ui::try_connect_unix(&daemon).await {
                    Some(ui) => break ui,
                    None => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let mut ui = timeout(Duration::from_secs(60), connected).await.expect("it is there within a minute");
        bytes = ui.receive("load_roster", json!({})).await;
        result.add(millis(begun.elapsed()));
        assert!(bytes > play.contacts * 100, "a whole roster");
    }
    Row {
        goal: "S3",
        what: format!("exec to cached roster, no network, {:?} {}", play.level, play.contacts),
        figures: format!("answer of {} KiB", bytes / 1024),
        result,
        unit: "ms",
        at_most: (play.contacts >= 10_000).then_some(100.0),
    }
}
