//! What prosed promises under faults, row by row: each row breaks something repeatedly and reports the results.
//! `tests/faults` runs them long and stores the figures in `tests/RECORD.md`; the tests run a short form of each.
//!
//! A row counts violations and continues, so that a long run reports all of them. Events and answers are checked
//! against [`view`] and [`expected`], which are tested with planted violations.

pub mod attacks;
pub mod black_hole;
pub mod cuts;
pub mod disk;
pub mod expected;
pub mod kills;
pub mod mutations;
pub mod refusals;
pub mod restarts;
pub mod stops;
pub mod view;

use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::daemon::Setup;
use crate::server::Server;
use crate::{Daemon, Kind, Ui};

/// How often a row breaks things, and the random seed.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The server.
    pub kind: Kind,
    /// How often.
    pub times: usize,
    /// Seeds everything random in prosed's surroundings; prosed's own randomness is not affected.
    pub seed: u64,
    /// A negative control: prosed without this guard, so that the row must find something.
    pub without: Option<&'static str>,
}

impl Scale {
    /// With all guards.
    pub fn new(kind: Kind, times: usize, seed: u64) -> Self {
        Self { kind, times, seed, without: None }
    }

    /// Without a guard.
    pub fn without(self, guard: &'static str) -> Self {
        Self { without: Some(guard), ..self }
    }

    /// The daemon of the row.
    pub fn setup(self) -> Setup {
        self.without.into_iter().fold(Daemon::setup(), Setup::without)
    }
}

/// The results of a row.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What was counted and measured, as text.
    pub figures: Vec<String>,
    /// What should not have happened.
    pub violations: Vec<String>,
}

impl Record {
    /// Adds a figure.
    pub fn figure(&mut self, figure: impl Display) {
        self.figures.push(figure.to_string());
    }

    /// Adds a violation, if there is one.
    pub fn expect(&mut self, fine: bool, violation: impl FnOnce() -> String) {
        if !fine {
            self.violations.push(violation());
        }
    }

    /// Adds violations, each with its place.
    pub fn extend(&mut self, whence: impl Display, violations: impl IntoIterator<Item = String>) {
        self.violations.extend(violations.into_iter().map(|violation| format!("{whence}: {violation}")));
    }

    /// For tests.
    ///
    /// # Panics
    /// If something happened that should not have.
    pub fn assert_clean(&self) {
        assert!(
            self.violations.is_empty(),
            "{} violations ({}):\n{}",
            self.violations.len(),
            self.figures.join(", "),
            self.violations.join("\n")
        );
    }
}

/// Runs a row in its own thread: its children live as long as that, and a panic counts as a violation.
pub fn apart(row: impl FnOnce(&Runtime) -> Record + Send + 'static) -> Record {
    let row = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        row(&runtime.expect("a runtime"))
    });
    row.join().unwrap_or_else(|panic| {
        let constant = || panic.downcast_ref::<&str>().copied();
        let why = panic.downcast_ref::<String>().map(String::as_str).or_else(constant);
        let violation = format!("the row came to no end: {}", why.unwrap_or("a panic"));
        Record { figures: Vec::new(), violations: vec![violation] }
    })
}

/// The maximum, median and number of these times, as text.
pub fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(longest)) => {
            format!("median {:.2} s, longest {:.2} s", middle.as_secs_f64(), longest.as_secs_f64())
        }
        _ => "none".to_owned(),
    }
}

/// A daemon that trusts the server, and a UI that gets every event.
pub async fn daemon(scale: Scale, server: &Server) -> (Daemon, Ui) {
    let daemon = Daemon::start(scale.setup().trust(server)).await;
    let ui = watching(&daemon).await;
    (daemon, ui)
}

/// A UI that gets every event from now on.
pub async fn watching(daemon: &Daemon) -> Ui {
    let ui = Ui::connect(daemon).await;
    ui.subscribe(json!({})).await;
    ui
}

/// All events that a UI has received, once those up to `seq` are among them.
///
/// # Panics
/// If they don't arrive within [`PATIENCE`](crate::PATIENCE).
pub async fn heard(ui: &Ui, seq: u64) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + crate::PATIENCE;
    loop {
        let events = ui.events();
        if events.last().and_then(|event| event["seq"].as_u64()).unwrap_or_default() >= seq {
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "event {seq} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for the account to reach a state; returns whether it did within `patience`.
pub async fn account_is(ui: &Ui, account: &str, state: &str, patience: Duration) -> bool {
    let is = |info: &Value| info["account"] == account && info["state"] == state;
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Ok(info) = ui.call("get_account", json!({ "account": account })).await
            && is(&info)
        {
            return true;
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return false;
        }
        // Events wake us; for those already taken, we poll.
        ui.event_within(left.min(Duration::from_millis(200)), "accountChanged", |event| is(&event["info"]))
            .await;
    }
}
