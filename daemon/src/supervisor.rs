//! Keeps one account's actor running: when a bug crashes it, only this actor restarts, from the cache and with the
//! remembered secret. Other accounts never notice.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jid::BareJid;
use prosed_session::Failure;
use tokio::sync::mpsc;
use tracing::error;

use crate::actor::{Actor, Ended, Message, Start, Survivors};
use crate::shell::{Reply, Shell};

/// After this many crashes within [`CRASH_WINDOW`] the account stays offline: the server would probably send the
/// cause again.
const CRASHES_MAX: usize = 3;
/// See [`CRASHES_MAX`].
const CRASH_WINDOW: Duration = Duration::from_secs(60);
/// Crashes after that do not depend on the server. They must not keep the CPU busy.
const PAUSE: Duration = Duration::from_secs(1);

/// The times of the crashes that count.
#[derive(Default)]
struct Crashes(VecDeque<Instant>);

impl Crashes {
    /// Adds one; returns how many there are within the window.
    fn count(&mut self, now: Instant) -> usize {
        self.0.retain(|crash| now.saturating_duration_since(*crash) < CRASH_WINDOW);
        // More make no difference.
        self.0.truncate(CRASHES_MAX);
        self.0.push_back(now);
        self.0.len()
    }
}

/// Runs the account's actor until it has ended.
pub(crate) async fn supervise(
    account: BareJid,
    shell: Arc<Shell>,
    inbox: mpsc::Receiver<Message>,
    mut start: Start,
) {
    let mut survivors = Survivors::new(inbox);
    let mut crashes = Crashes::default();
    loop {
        let actor = async {
            let actor = Actor::new(account.clone(), Arc::clone(&shell), &mut survivors, &start).await;
            actor.run(&start).await
        };
        // What survives a crash is put in order below, whatever state it was in.
        match AssertUnwindSafe(actor).catch_unwind().await {
            Ok(Ended::Gone) => return,
            Ok(Ended::Crashed) | Err(_) => {}
        }
        shell.metrics.crashed();
        let crashes = crashes.count(Instant::now());
        let stream = survivors.stream.take();
        let connected = stream.is_some();
        if let Some(stream) = stream {
            // What became of its stanzas concerns a session that is gone.
            tokio::spawn(stream.close());
        }
        let entry = shell.registry.entry(&account);
        let is_first_login = entry.is_none();
        let login = connected
            && crashes < CRASHES_MAX
            && entry.is_some_and(|entry| entry.remember && !entry.logged_out);
        error!(%account, crashes, login, is_first_login, "the account has crashed and is restarted");
        fail_calls(&shell, &mut survivors, login);
        // If it was never an account, the next actor says so and ends.
        let told = connected || crashes >= CRASHES_MAX || is_first_login;
        start = Start {
            failure: told.then_some(Failure::Internal { again: login }),
            login,
            distrust_cache: crashes > CRASHES_MAX,
        };
        if crashes > CRASHES_MAX {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn fail_calls(shell: &Shell, survivors: &mut Survivors, again: bool) {
    for (_, caller) in std::mem::take(&mut survivors.calls) {
        let _ = caller.reply.send(Reply { seq: shell.log.last(), result: Err(Failure::Internal { again }) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_count_for_a_minute() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut crashes = Crashes::default();
        assert_eq!(crashes.count(start), 1);
        assert_eq!(crashes.count(start + 30 * second), 2);
        assert_eq!(crashes.count(start + 59 * second), 3);
        assert_eq!(crashes.count(start + 61 * second), 3);
        assert_eq!(crashes.count(start + 62 * second), 4);
        assert_eq!(crashes.count(start + 200 * second), 1);
    }

    #[test]
    fn a_thousand_crashes_take_no_room() {
        let mut crashes = Crashes::default();
        let now = Instant::now();
        for _ in 0..1000 {
            assert!(crashes.count(now) <= CRASHES_MAX + 1);
        }
        assert!(crashes.0.len() <= CRASHES_MAX + 1);
    }
}
