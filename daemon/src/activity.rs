//! Whether anybody is watching: see XEP-0352. While nobody is, servers may hold back what is not urgent.
//!
//! A connection watches while it has a subscription, unless it says otherwise. Scripts that poll have none: after a
//! call, somebody counts as watching for [`LINGER`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// For this long after a call or a subscription, there may be another: scripts poll every few minutes, and UIs
/// reconnect.
const LINGER: Duration = Duration::from_secs(10 * 60);
/// The same after a UI has said that nobody is looking: people switch windows, and servers should not hear of each time.
const GLANCE: Duration = Duration::from_secs(3);

pub(crate) struct Activity {
    watched: watch::Sender<bool>,
    watchers: Mutex<Watchers>,
    /// There may be a deadline to wait for.
    changed: Notify,
    /// How many watch.
    watching: Gauge,
}

struct Watchers {
    count: usize,
    /// Until then, somebody counts as watching anyway.
    lingers_until: Instant,
}

impl Activity {
    /// At first, somebody counts as watching.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            watched: watch::Sender::new(true),
            watchers: Mutex::new(Watchers { count: 0, lingers_until: Instant::now() + LINGER }),
            changed: Notify::new(),
            watching: Gauge::default(),
        })
    }

    /// Adds its metric.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("watching_connections", "Connections that are watching", self.watching.clone());
    }

    #[cfg(test)]
    pub(crate) fn lingers_until(&self) -> Instant {
        self.lock().lingers_until
    }

    /// How many connections watch.
    #[cfg(test)]
    pub(crate) fn watching(&self) -> i64 {
        self.watching.get()
    }

    /// Whether anybody is watching, and each change of that.
    pub(crate) fn watched(&self) -> watch::Receiver<bool> {
        let mut watched = self.watched.subscribe();
        watched.mark_changed();
        watched
    }

    /// A connection, which does not watch yet.
    pub(crate) fn viewer(self: &Arc<Self>) -> Viewer {
        Viewer { activity: Arc::clone(self), said: None, subscriptions: 0, lingers: false, watches: false }
    }

    /// Notices when nobody has been watching for long enough. Never ends.
    pub(crate) async fn run(&self) {
        loop {
            let deadline = self.update();
            tokio::select! {
                () = self.changed.notified() => {}
                () = wait(deadline) => {}
            }
        }
    }

    /// Reports what is true now. Returns when to look again.
    fn update(&self) -> Option<Instant> {
        let watchers = self.lock();
        let lingers = watchers.lingers_until > Instant::now();
        let is_watched = watchers.count > 0 || lingers;
        self.watched.send_if_modified(|watched| std::mem::replace(watched, is_watched) != is_watched);
        (watchers.count == 0 && lingers).then_some(watchers.lingers_until)
    }

    fn change(&self, change: impl FnOnce(&mut Watchers)) {
        change(&mut self.lock());
        self.update();
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// One connection's part.
pub(crate) struct Viewer {
    activity: Arc<Activity>,
    /// By `set_activity`.
    said: Option<bool>,
    subscriptions: usize,
    /// It has made calls, after which somebody counts as watching for a while.
    lingers: bool,
    /// It is counted among the watchers.
    watches: bool,
}

impl Viewer {
    /// It has made a call. From a connection that has said whether it watches, that means nothing.
    pub(crate) fn calls(&mut self) {
        if self.said.is_none() {
            self.lingers = true;
            self.activity.change(|watchers| watchers.lingers_until = Instant::now() + LINGER);
        }
    }

    pub(crate) fn subscribes(&mut self) {
        self.subscriptions += 1;
        self.update();
    }

    pub(crate) fn unsubscribes(&mut self) {
        self.subscriptions = self.subscriptions.saturating_sub(1);
        self.update();
    }

    /// Whether it watches, whatever it does. If it was the last that did, nobody does after [`GLANCE`].
    pub(crate) fn says(&mut self, active: bool) {
        self.said = Some(active);
        // Of one that never watched, it is no news.
        let did_watch = self.watches || std::mem::take(&mut self.lingers);
        self.update();
        if !active && did_watch {
            let soon = Instant::now() + GLANCE;
            self.activity.change(|watchers| watchers.lingers_until = watchers.lingers_until.min(soon));
        }
    }

    fn update(&mut self) {
        let watches = self.said.unwrap_or(self.subscriptions > 0);
        self.count(watches);
    }

    fn count(&mut self, watches: bool) {
        if std::mem::replace(&mut self.watches, watches) == watches {
            return;
        }
        self.activity.change(|watchers| {
            if watches {
                watchers.count += 1;
                self.activity.watching.inc();
            } else {
                watchers.count -= 1;
                self.activity.watching.dec();
                watchers.lingers_until = Instant::now() + LINGER;
            }
        });
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.count(false);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn running() -> Arc<Activity> {
        let activity = Activity::new();
        let run = Arc::clone(&activity);
        tokio::spawn(async move { run.run().await });
        activity
    }

    async fn is_watched_after(activity: &Activity, time: Duration) -> bool {
        // For the task to see what has changed, and again to see the time.
        tokio::task::yield_now().await;
        advance(time).await;
        tokio::task::yield_now().await;
        *activity.watched.borrow()
    }

    const SOON: Duration = Duration::from_secs(1);
    const LATER: Duration = Duration::from_secs(11 * 60);

    #[tokio::test(start_paused = true)]
    async fn without_calls_nobody_watches() {
        let activity = running();
        assert!(is_watched_after(&activity, SOON).await);
        assert!(!is_watched_after(&activity, LATER).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_counts_for_a_while_and_again_after_a_silence() {
        let activity = running();
        for _ in 0..3 {
            activity.viewer().calls();
            assert!(is_watched_after(&activity, SOON).await);
            assert!(!is_watched_after(&activity, LATER).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_watches_until_the_last_has_ended_for_a_while() {
        let activity = running();
        let mut viewer = activity.viewer();
        viewer.subscribes();
        viewer.subscribes();
        viewer.unsubscribes();
        assert!(is_watched_after(&activity, LATER).await);
        viewer.unsubscribes();
        assert!(is_watched_after(&activity, SOON).await);
        assert!(!is_watched_after(&activity, LATER).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_closes_stops_watching() {
        let activity = running();
        let mut viewer = activity.viewer();
        viewer.subscribes();
        drop(viewer);
        assert!(!is_watched_after(&activity, LATER).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_connection_says_counts() {
        let activity = running();
        let (mut one, mut two) = (activity.viewer(), activity.viewer());
        one.subscribes();
        two.subscribes();
        one.says(false);
        assert!(is_watched_after(&activity, SOON).await, "the other watches");
        two.says(false);
        assert!(is_watched_after(&activity, SOON).await, "it may be for a moment");
        assert!(!is_watched_after(&activity, GLANCE).await);
        one.calls();
        assert!(!is_watched_after(&activity, SOON).await, "its calls no longer count");
        one.says(true);
        assert!(is_watched_after(&activity, LATER).await);
        drop(one);
        assert!(!is_watched_after(&activity, LATER).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_watched_changes_nothing() {
        let activity = running();
        assert!(!is_watched_after(&activity, LATER).await);
        activity.viewer().says(false);
        assert!(!is_watched_after(&activity, SOON).await);
        // A script polls.
        activity.viewer().calls();
        activity.viewer().says(false);
        assert!(is_watched_after(&activity, GLANCE + SOON).await);
    }

    #[tokio::test(start_paused = true)]
    async fn switching_windows_changes_nothing() {
        let activity = running();
        let mut viewer = activity.viewer();
        let mut watched = activity.watched();
        watched.borrow_and_update();
        for _ in 0..100 {
            viewer.says(false);
            assert!(is_watched_after(&activity, SOON).await);
            viewer.says(true);
        }
        assert!(!watched.has_changed().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn it_need_not_subscribe_to_watch() {
        let activity = running();
        let mut viewer = activity.viewer();
        viewer.says(true);
        assert!(is_watched_after(&activity, LATER).await);
    }
}
