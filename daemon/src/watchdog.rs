//! Feeds systemd's watchdog while every part answers: the actors, the store thread, the doors. A process with a
//! stuck part is worse than one that restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::error;

use crate::accounts::Accounts;
use crate::cache::Store;
use crate::service;

/// Shows whether a runtime with a single thread is alive.
pub(crate) struct Pulse(Handle);

impl Pulse {
    /// Of the runtime behind this handle.
    pub(crate) fn of(runtime: Handle) -> Self {
        Self(runtime)
    }

    /// Waits until the runtime's thread has answered.
    pub(crate) async fn answer(&self) {
        // On an error the thread has ended: what owns it reports that.
        let _ = self.0.spawn(async {}).await;
    }
}

/// Asks at half of systemd's timeout and waits a quarter of it for the answers: a slow part that is not stuck has
/// been fed for in time.
pub(crate) async fn feed(patience: Duration, accounts: Arc<Accounts>, store: Store, doors: Pulse) {
    let mut rounds = interval(patience / 2);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let within = patience / 4;
        let (accounts, store, doors) = tokio::join!(
            accounts.stuck(within),
            timeout(within, store.answer()),
            timeout(within, doors.answer())
        );
        if accounts.is_empty() && store.is_ok() && doors.is_ok() {
            service::alive();
            continue;
        }
        error!(
            ?accounts,
            store = store.is_err(),
            doors = doors.is_err(),
            "stuck: if this does not pass, systemd restarts prosed"
        );
    }
}
