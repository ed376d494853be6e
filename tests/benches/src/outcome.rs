//! What a client program reports about its run, as one line of JSON on standard output.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A client's run, from its start until it has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// From the first connect to the last answer, in milliseconds.
    pub wall_ms: f64,
    /// CPU time of the process since its start, in milliseconds.
    pub cpu_ms: f64,
    /// Resident memory a second after the end, in KiB.
    pub rss_kib: u64,
    /// From the first connect to the roster, in milliseconds.
    pub roster_ms: f64,
}

impl Outcome {
    /// Measures this process, at the end of its work.
    pub fn of_this_process(connected: Instant, roster: Duration) -> Self {
        let wall_ms = millis(connected.elapsed());
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_ms = cpu.tv_sec as f64 * 1e3 + cpu.tv_nsec as f64 / 1e6;
        std::thread::sleep(Duration::from_secs(1));
        Self { wall_ms, cpu_ms, rss_kib: rss_kib("self"), roster_ms: millis(roster) }
    }

    /// Prints it for the process that started this one.
    ///
    /// # Panics
    /// Never: the fields are numbers.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("numbers are JSON"));
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Resident memory of a process (a number, or `self`), in KiB; 0 if it is gone.
pub fn rss_kib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Nanoseconds on a clock that all processes of the machine share.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The ages of stamped presences on arrival, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ages(Vec<u64>);

impl Ages {
    /// Adds a status, if it is a stamp.
    pub fn note(&mut self, status: &str) {
        if let Ok(stamp) = status.parse::<u64>() {
            self.0.push(monotonic_ns().saturating_sub(stamp) / 1000);
        }
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The age that this many in a thousand do not exceed; 0 if there are none.
    pub fn permille(&self, permille: usize) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * permille / 1000).or(sorted.last()).copied().unwrap_or_default()
    }

    /// Prints them for the process that started this one.
    ///
    /// # Panics
    /// Never: they are numbers.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("numbers are JSON"));
    }
}
