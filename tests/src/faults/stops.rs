//! SIGTERM at random moments: when idle, during a login, while connecting to a black hole, after a cut. And a second
//! daemon on the folder of the first.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Record, Scale, spread};
use crate::proxy::{Cut, Proxy, Way};
use crate::server::{Server, Setup};
use crate::{Daemon, Ui};

/// From the signal to the end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// The exit itself, on a busy machine.
const SLACK: Duration = Duration::from_millis(300);
/// The range of moments after the call of login.
const MOMENTS: Duration = Duration::from_millis(1500);

/// The daemon's situation when it is told to stop.
#[derive(Clone, Copy, Debug)]
enum Plight {
    /// Anywhere between the login's first byte and online, or after that.
    Login,
    /// The server accepts, and sends nothing.
    Hole,
    /// The connection fell silent after some bytes.
    HalfOpen,
    /// Between two attempts.
    Waiting,
}

/// Runs the row.
pub async fn run(scale: Scale) -> Record {
    let server = Server::start(Setup::new(scale.kind).friends("me", "anna")).await;
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let mut took = Vec::new();
    let mut daemon = Daemon::start(scale.setup().trust(&server)).await;
    let account = server.jid("me");
    for time in 1..=scale.times {
        let proxy = Proxy::before(&server).await;
        let plight = [Plight::Login, Plight::Hole, Plight::HalfOpen, Plight::Waiting][time % 4];
        match plight {
            Plight::Hole => proxy.stall(),
            Plight::Waiting => {
                proxy.cut_next(Cut {
                    way: Way::Down,
                    after: dice.random_range(0..8000),
                    reset: dice.random(),
                });
            }
            Plight::Login | Plight::HalfOpen => {}
        }
        let ui = Ui::connect(&daemon).await;
        ui.send_call("login", proxy.login(&server, "me")).await;
        sleep(MOMENTS.mul_f64(dice.random())).await;
        if matches!(plight, Plight::HalfOpen) {
            proxy.stall();
            // Something that waits to be sent.
            ui.send_call("set_presence", json!({ "account": account, "availability": "away" })).await;
            sleep(MOMENTS.mul_f64(0.1)).await;
        }
        took.push(stop(&mut daemon, &mut record, format!("{time} ({plight:?})")).await);
        // The account's stored connection leads through this proxy: forgotten, before the next one.
        proxy.flow();
        daemon.restart().await;
        let ui = Ui::connect(&daemon).await;
        let _unknown = ui.call("logout", json!({ "account": account, "forget": true })).await;
    }
    record.figure(format!("{} stops, ended: {}", scale.times, spread(&mut took)));
    record
}

/// Stops a daemon that has just started and is logging in on its own.
pub async fn at_start(scale: Scale) -> Record {
    let server = Server::start(Setup::new(scale.kind).friends("me", "anna")).await;
    let mut dice = StdRng::seed_from_u64(scale.seed);
    let mut record = Record::default();
    let mut took = Vec::new();
    let mut daemon = Daemon::start(scale.setup().trust(&server)).await;
    Ui::connect(&daemon).await.call("login", server.login("me")).await.expect("logged in");
    for time in 1..=scale.times {
        // `restart` waits for the doors: from there through the login.
        daemon.restart().await;
        sleep(Duration::from_millis(dice.random_range(0..400))).await;
        took.push(stop(&mut daemon, &mut record, format!("{time} (at start)")).await);
    }
    record.figure(format!("{} stops right after the start, ended: {}", scale.times, spread(&mut took)));
    record
}

/// A second daemon on the folders of a running one.
pub async fn second(scale: Scale) -> Record {
    let mut record = Record::default();
    let mut first = Daemon::start(scale.setup()).await;
    for time in 1..=scale.times {
        let mut second = first.launch_beside();
        let status = second.wait(Duration::from_secs(10)).await;
        record.expect(status.code() == Some(3), || format!("second daemon {time}: {status}"));
        record.expect(first.is_running(), || format!("second daemon {time}: the first is gone"));
        let answer = Ui::connect(&first).await.call("get_version", json!({})).await;
        record.expect(answer.is_ok(), || format!("second daemon {time}: the first says {answer:?}"));
    }
    record.figure(format!("{} second daemons", scale.times));
    record
}

async fn stop(daemon: &mut Daemon, record: &mut Record, when: String) -> Duration {
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    let status = daemon.ended().await;
    let took = begun.elapsed();
    record.extend(when, unclean(status.code(), took));
    took
}

/// What is wrong with an end.
fn unclean(code: Option<i32>, took: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    if took > ENDS_WITHIN + SLACK {
        wrong.push(format!("it took {took:?}"));
    }
    if code != Some(0) {
        wrong.push(format!("ended with {code:?}"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_late_or_loud_is_found() {
        assert!(unclean(Some(0), ENDS_WITHIN).is_empty());
        assert_eq!(unclean(Some(0), ENDS_WITHIN * 2).len(), 1);
        assert_eq!(unclean(Some(5), Duration::ZERO).len(), 1);
        assert_eq!(unclean(None, Duration::ZERO).len(), 1, "killed by a signal");
    }
}
