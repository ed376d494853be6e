//! prosed as a process: its doors, its crashes, its end, and what systemd sees of it.

mod careful_starts;
mod checks;
mod crashes;
mod doors;
mod idling;
mod leftovers;
mod starting;
mod stopping;
mod systemd;

use std::path::Path;
use std::time::{Duration, Instant};

use prosed_tests::Daemon;
use prosed_tests::daemon::Setup;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the whole daemon may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// One whose accounts break when `set_presence` says so: see `daemon/src/fault_injection.rs`.
fn provocable() -> Setup {
    Daemon::setup().environment("PROSED_PROVOKE", "1")
}

/// Parameters of a `set_presence` that breaks the account.
fn break_it(account: &str, how: &str) -> Value {
    json!({ "account": account, "availability": "available", "status": how })
}

/// A server that takes connections and never says a word.
struct BlackHole(TcpListener);

impl BlackHole {
    async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    fn login(&self, name: &str) -> Value {
        let port = self.0.local_addr().expect("it is bound").port();
        json!({ "jid": format!("{name}@prosed.test"), "password": "x", "host": "127.0.0.1", "port": port })
    }

    /// Waits until `count` connections have come in, and keeps them.
    async fn swallow(&self, count: usize) -> Vec<tokio::net::TcpStream> {
        let mut swallowed = Vec::new();
        while swallowed.len() < count {
            swallowed.push(self.0.accept().await.expect("a connection").0);
        }
        swallowed
    }
}

/// How long the daemon takes to stop, and that it says it went well.
async fn time_to_stop(daemon: &mut Daemon) -> Duration {
    let asked = Instant::now();
    assert!(daemon.sigterm().await.success());
    asked.elapsed()
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
