//! Measures the goals S1 to S10 and prints one table: see `tests/benches/README.md`.

mod figures;
mod floods;
mod local;
mod many;
mod network;
mod peers;
mod process;
mod record;
mod servers;
mod size;
mod startup;
mod ui;

use std::time::Duration;

use clap::Parser;
use figures::Row;
use prosed_benches::play::Play;
use prosed_tests::Kind;
use startup::Runs;

/// slixmpp takes over a minute for 10,000.
const SLIXMPP_CONTACTS: usize = 1000;

/// Measures prosed, a floor and other clients in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Only these goals: S1, S3 …; or idle (a part of S8), memory, floods, size
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many times to measure each
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// Only these numbers of contacts
    #[arg(long, value_delimiter = ',', default_value = "100,1000,3000,10000")]
    contacts: Vec<usize>,
    /// Write the table and the plot into tests/benches/RECORD.md
    #[arg(long)]
    record: bool,
    /// An hour of churn instead of two minutes
    #[arg(long)]
    long: bool,
    /// Everything once and tiny: whether it works, not how fast
    #[arg(long)]
    smoke: bool,
}

impl Arguments {
    fn churn(&self) -> Duration {
        Duration::from_secs(match (self.smoke, self.long) {
            (true, _) => 1,
            (false, false) => 120,
            (false, true) => 3600,
        })
    }

    fn wants(&self, goal: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == goal)
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = Arguments::parse();
    if arguments.smoke {
        (arguments.times, arguments.contacts) = (1, vec![20]);
    }
    let before = record::load();
    let (rows, runs) = measure(&arguments).await;
    println!("\n{}", record::table(&rows));
    if arguments.record {
        record::write(&rows, &runs, arguments.times, (before, record::load()));
    }
}

async fn measure(arguments: &Arguments) -> (Vec<Row>, Vec<Runs>) {
    let Arguments { times, smoke, .. } = *arguments;
    let quiet = if smoke { Duration::ZERO } else { startup::QUIET };
    let mut rows = Vec::new();
    let mut all_runs = Vec::new();
    if arguments.wants("S1") || arguments.wants("S8") || arguments.wants("S10") {
        for level in ["a", "b"] {
            let mut of_level = Vec::new();
            for &contacts in &arguments.contacts {
                let slixmpp = contacts <= SLIXMPP_CONTACTS && peers::python().is_some();
                let runs = startup::cold(&play(level, contacts), times, slixmpp, quiet).await;
                take(&mut rows, startup::rows(&runs));
                take(&mut rows, vec![many::memory(&runs)]);
                of_level.push(runs);
            }
            if let [first, .., last] = &of_level[..] {
                take(&mut rows, vec![many::memory_of_a_contact(first, last), startup::growth(&of_level)]);
            }
            all_runs.extend(of_level);
        }
    }
    if arguments.wants("S5") && !smoke {
        let (a, b) = (play("a", 1000), play("b", 1000));
        // ejabberd pushes nothing for contacts who are offline: no client can know when level B is complete.
        for (kind, play) in [(Kind::Prosody, &a), (Kind::Ejabberd, &a), (Kind::Prosody, &b)] {
            take(&mut rows, servers::rows(kind, play, times, quiet).await);
        }
    }
    if arguments.wants("S2") {
        for &contacts in &arguments.contacts {
            take(&mut rows, startup::warm(&play("b", contacts), times, quiet).await);
        }
    }
    if arguments.wants("S3") {
        for &contacts in &arguments.contacts {
            take(&mut rows, vec![startup::cached(&play("b", contacts), times, quiet).await]);
        }
    }
    if arguments.wants("S4") {
        take(&mut rows, network::login(times).await);
    }
    if arguments.wants("S6") {
        // A debug build on a busy machine can't keep up with the rate that is measured otherwise.
        let (seconds, pace) = if smoke { (1, 50) } else { (10, 1000) };
        take(&mut rows, vec![local::delays(times, seconds, pace).await]);
    }
    if arguments.wants("S7") {
        let (subscribers, seconds) = if smoke { (2, 1) } else { (100, 5) };
        take(&mut rows, local::fan_out(subscribers, seconds).await);
    }
    if arguments.wants("S8") || arguments.wants("idle") {
        take(&mut rows, many::idle(if smoke { 1 } else { 60 }).await);
    }
    if arguments.wants("S9") {
        take(&mut rows, many::accounts(if smoke { 20 } else { 1000 }, quiet).await);
    }
    if arguments.wants("memory") {
        take(&mut rows, vec![many::churn(arguments.churn()).await]);
    }
    if arguments.wants("floods") {
        let (seconds, contacts) = if smoke { (1, 10) } else { (20, 1000) };
        take(&mut rows, floods::rows(seconds, contacts).await);
    }
    if arguments.wants("size") {
        take(&mut rows, size::rows());
    }
    (rows, all_runs)
}

fn play(level: &str, contacts: usize) -> Play {
    Play::parse(&format!("{level}{contacts}")).expect("a name that spells a play")
}

/// Prints rows as they arrive.
fn take(rows: &mut Vec<Row>, more: Vec<Row>) {
    for row in &more {
        let Row { goal, what, figures, result, unit, .. } = row;
        println!("{goal} {what}: {result} {unit} {} {} [{figures}]", row.goal_text(), row.verdict());
    }
    rows.extend(more);
}
