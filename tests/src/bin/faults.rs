//! The fault record, long or short: runs the rows one after the other, prints their figures, and
//! writes the table of a long run into `tests/RECORD.md`. `tests/faults --help` says how.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use prosed_tests::Kind;
use prosed_tests::faults::{
    Record, Scale, apart, attacks, black_hole, cuts, disk, kills, mutations, refusals, restarts, stops,
};

/// The part of the record that each long run rewrites begins with this line.
const MARK: &str = "<!-- Below: written by tests/faults -->";
/// How many violations of a row are printed.
const SHOWN: usize = 20;

/// Breaks networks, servers, disks and caches under prosed, and reports the results
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// As often as the record requires (about an hour), and write tests/RECORD.md
    #[arg(long)]
    long: bool,
    /// Only rows whose name contains this; with this or the options below, the record is not written
    #[arg(long, value_name = "TEXT")]
    row: Option<String>,
    /// Only on this server
    #[arg(long, value_enum)]
    server: Option<Server>,
    /// The random seed
    #[arg(long)]
    seed: Option<u64>,
    /// This many times instead
    #[arg(long)]
    times: Option<usize>,
}

/// The servers by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Server {
    Prosody,
    Ejabberd,
}

impl Server {
    fn kind(self) -> Kind {
        match self {
            Self::Prosody => Kind::Prosody,
            Self::Ejabberd => Kind::Ejabberd,
        }
    }
}

type Run = fn(&tokio::runtime::Runtime, Scale) -> Record;

/// A row of the record.
struct Row {
    name: &'static str,
    target: &'static str,
    long: usize,
    short: usize,
    kinds: &'static [Kind],
    /// It mostly waits, so that both servers can run at the same time.
    waits: bool,
    run: Run,
}

/// Rows without a server run only once.
const ONE: &[Kind] = &[Kind::Prosody];

const ROWS: &[Row] = &[
    Row {
        name: "wrong password",
        target: "1 attempt, typed error ≤ 2 s",
        long: 20,
        short: 2,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(refusals::wrong_password(scale)),
    },
    Row {
        name: "conflict",
        target: "≤ 1 reconnect",
        long: 5,
        short: 1,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(refusals::conflict(scale)),
    },
    Row {
        name: "cuts at random bytes",
        target: "0 events lost or doubled, final state equal to the server's",
        long: 500,
        short: 12,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(cuts::run(scale)),
    },
    Row {
        name: "server restarted",
        target: "≤ 8 connects a first minute each; roster, presence right after each",
        long: 20,
        short: 2,
        kinds: &Kind::ALL,
        waits: true,
        run: |runtime, scale| runtime.block_on(restarts::run(scale, Duration::from_secs(15))),
    },
    Row {
        name: "black hole",
        target: "noticed ≤ 75 s, back ≤ 5 s after repair",
        long: 3,
        short: 1,
        kinds: &Kind::ALL,
        waits: true,
        run: |runtime, scale| runtime.block_on(black_hole::run(scale, Duration::ZERO)),
    },
    Row {
        name: "black hole, repaired 10 s after it was noticed",
        target: "noticed ≤ 75 s, back ≤ 5 s after repair",
        long: 1,
        short: 0,
        kinds: &Kind::ALL,
        waits: true,
        run: |runtime, scale| runtime.block_on(black_hole::run(scale, Duration::from_secs(10))),
    },
    Row {
        name: "no black hole (control)",
        target: "nothing noticed",
        long: 1,
        short: 0,
        kinds: &Kind::ALL,
        waits: true,
        run: |runtime, scale| runtime.block_on(black_hole::control(scale, Duration::from_secs(90))),
    },
    Row {
        name: "kill -9",
        target: "0 acknowledged records lost, 0 failed starts",
        long: 100,
        short: 6,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(kills::run(scale)),
    },
    Row {
        name: "mutations of the cache folder",
        target: "ready ≤ 10 s each, 0 hangs, 0 wrong data",
        long: 300,
        short: 9,
        kinds: ONE,
        waits: false,
        run: |runtime, scale| runtime.block_on(mutations::run(scale, 5)),
    },
    Row {
        name: "disk full",
        target: "0 acknowledged writes lost, recovers",
        long: 10,
        short: 2,
        kinds: ONE,
        waits: false,
        run: |runtime, scale| runtime.block_on(disk::run(scale)),
    },
    Row {
        name: "SIGTERM",
        target: "ended ≤ 5 s, code 0",
        long: 40,
        short: 4,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(stops::run(scale)),
    },
    Row {
        name: "SIGTERM right after the start",
        target: "ended ≤ 5 s, code 0",
        long: 20,
        short: 2,
        kinds: &Kind::ALL,
        waits: false,
        run: |runtime, scale| runtime.block_on(stops::at_start(scale)),
    },
    Row {
        name: "SASL and TLS attacks",
        target: "0 logins, 0 PLAIN bytes",
        long: 5,
        short: 1,
        kinds: ONE,
        waits: false,
        run: |runtime, scale| runtime.block_on(attacks::run(scale)),
    },
    Row {
        name: "second daemon",
        target: "code 3, the first one unharmed",
        long: 10,
        short: 2,
        kinds: ONE,
        waits: false,
        run: |runtime, scale| runtime.block_on(stops::second(scale)),
    },
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let load = load();
    let mut lines = Vec::new();
    let mut violations = 0;
    let wanted = |row: &&Row| arguments.row.as_ref().is_none_or(|text| row.name.contains(text.as_str()));
    for row in ROWS.iter().filter(wanted) {
        let times = arguments.times.unwrap_or(if arguments.long { row.long } else { row.short });
        let here = |kind: &&Kind| times > 0 && arguments.server.is_none_or(|server| server.kind() == **kind);
        let kinds = row.kinds.iter().filter(here).copied();
        let start = |kind| {
            let (run, scale) = (row.run, Scale::new(kind, times, seed));
            std::thread::spawn(move || {
                let begun = Instant::now();
                (kind, apart(move |runtime| run(runtime, scale)), begun.elapsed())
            })
        };
        // Rows that don't run in parallel start when the previous one has ended.
        let mut running: VecDeque<_> = if row.waits { kinds.clone().map(start).collect() } else { [].into() };
        for kind in kinds {
            let run = running.pop_front().unwrap_or_else(|| start(kind));
            let (kind, record, took) = run.join().expect("a row's panic is its violation");
            let place = if row.kinds.len() > 1 { format!("{kind:?}") } else { String::new() };
            let figures = record.figures.join("; ");
            println!("{} {place} ({:.0} s): {figures}", row.name, took.as_secs_f64());
            for violation in record.violations.iter().take(SHOWN) {
                println!("  VIOLATION {violation}");
            }
            violations += record.violations.len();
            lines.push(format!(
                "| {} | {place} | {} | {figures} | {} |",
                row.name,
                row.target,
                record.violations.len()
            ));
        }
    }
    println!("{violations} violations");
    if arguments.long && arguments.row.is_none() && arguments.times.is_none() && arguments.server.is_none() {
        write(seed, &load, &lines);
    }
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the table, replacing the previous one.
fn write(seed: u64, load_before: &str, lines: &[String]) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/RECORD.md"));
    let text = std::fs::read_to_string(&path).expect("tests/RECORD.md is there");
    let (head, _) = text.split_once(MARK).expect("tests/RECORD.md has the mark");
    let (date, machine, load) = (date(), machine(), load());
    let mut text = format!("{head}{MARK}\n\nEnded on {date}, seed {seed}: {machine}.\n");
    let _infallible =
        writeln!(text, "Processes that wanted to run: {load_before} at the start, {load} at the end.\n");
    text.push_str("| fault | server | target | figures | violations |\n|---|---|---|---|---|\n");
    for line in lines {
        let _infallible = writeln!(text, "{line}");
    }
    std::fs::write(&path, text).expect("tests/RECORD.md can be written");
}

fn date() -> String {
    let date = Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]).output();
    date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The load average of the last 15 minutes: it includes other work on the machine, and the rows themselves.
fn load() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split_whitespace().nth(2).unwrap_or("unknown").to_owned()
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = read("/proc/sys/kernel/osrelease");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "{cores} cores of {}, Linux {}, {build} build",
        model.map_or("an unnamed processor", |(_, model)| model),
        kernel.trim()
    )
}
