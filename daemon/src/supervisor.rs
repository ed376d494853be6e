//! Keeps one account's actor going: when a bug brings it down, it alone begins anew, from the cache
//! and with the remembered secret. The other accounts never notice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jid::BareJid;
use prosed_session::{Availability, Call, Contact, Failure};
use tokio::sync::mpsc;
use tracing::error;

use crate::accounts::{Reply, Shell};
use crate::actor::{Actor, Caller, Ended, Message};
use crate::stream::Stream;

/// So many crashes within [`CRASH_WINDOW`], and the account stays offline: whatever it is that
/// brings it down, the server would send it again.
const CRASHES_MAX: usize = 3;
/// See [`CRASHES_MAX`].
const CRASH_WINDOW: Duration = Duration::from_secs(60);
/// Beyond that, something brings it down that needs no server. It must not keep a processor busy.
const PAUSE: Duration = Duration::from_secs(1);

/// What outlives a crash of the actor.
pub(crate) struct Lasting {
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// Who waits for an answer.
    pub(crate) calls: BTreeMap<Call, Caller>,
    /// So that leave can be taken of the server: it would keep a session that is only cut for minutes.
    pub(crate) stream: Option<Stream>,
    /// Whom UIs were last shown as present. No cache knows that.
    present: BTreeSet<BareJid>,
}

/// How an actor begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning {
    /// The one before it, or a start before this one, crashed, and UIs are to know: see [`Failure::Internal`].
    pub(crate) failure: Option<Failure>,
    /// Log in with the remembered secret.
    pub(crate) login: bool,
    /// Not even the cache is to be trusted.
    pub(crate) distrust_cache: bool,
}

impl Lasting {
    fn new(inbox: mpsc::Receiver<Message>) -> Self {
        Self { inbox, calls: BTreeMap::new(), stream: None, present: BTreeSet::new() }
    }

    /// UIs have been shown this.
    pub(crate) fn shown(&mut self, changed: &[Contact], removed: &[BareJid]) {
        for contact in changed {
            if contact.availability == Availability::Unavailable && contact.resources.is_empty() {
                self.present.remove(&contact.jid);
            } else if !self.present.contains(&contact.jid) {
                self.present.insert(contact.jid.clone());
            }
        }
        for jid in removed {
            self.present.remove(jid);
        }
    }

    /// Whom UIs have been shown as present, and who has to be shown anew.
    pub(crate) fn take_present(&mut self) -> BTreeSet<BareJid> {
        std::mem::take(&mut self.present)
    }
}

/// Moments of crashes that count.
#[derive(Default)]
struct Crashes(VecDeque<Instant>);

impl Crashes {
    /// One more; how many there are within the window.
    fn count(&mut self, now: Instant) -> usize {
        self.0.retain(|crash| now.saturating_duration_since(*crash) < CRASH_WINDOW);
        // More of them make no difference.
        self.0.truncate(CRASHES_MAX);
        self.0.push_back(now);
        self.0.len()
    }
}

/// Runs the account's actor until it has come to its end.
pub(crate) async fn supervise(
    account: BareJid,
    shell: Arc<Shell>,
    inbox: mpsc::Receiver<Message>,
    mut beginning: Beginning,
) {
    let mut lasting = Lasting::new(inbox);
    let mut crashes = Crashes::default();
    loop {
        let actor = async {
            let actor = Actor::new(account.clone(), Arc::clone(&shell), &mut lasting, &beginning).await;
            actor.run(&beginning).await
        };
        // What outlives a crash is put in order below, whatever it was in the middle of.
        match AssertUnwindSafe(actor).catch_unwind().await {
            Ok(Ended::Gone) => return,
            Ok(Ended::Crashed) | Err(_) => {}
        }
        shell.metrics.crashed();
        let crashes = crashes.count(Instant::now());
        let stream = lasting.stream.take();
        let connected = stream.is_some();
        if let Some(stream) = stream {
            tokio::spawn(stream.close());
        }
        let entry = shell.registry.entry(&account);
        let is_first_login = entry.is_none();
        let login = connected
            && crashes < CRASHES_MAX
            && entry.is_some_and(|entry| entry.remember && !entry.logged_out);
        error!(%account, crashes, login, is_first_login, "the account has crashed and is restarted");
        fail_calls(&shell, &mut lasting, login);
        // The next actor of one that was never an account says so and ends.
        let told = connected || crashes >= CRASHES_MAX || is_first_login;
        beginning = Beginning {
            failure: told.then_some(Failure::Internal { again: login }),
            login,
            distrust_cache: crashes > CRASHES_MAX,
        };
        if crashes > CRASHES_MAX {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn fail_calls(shell: &Shell, lasting: &mut Lasting, again: bool) {
    for (_, caller) in std::mem::take(&mut lasting.calls) {
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
