//! Makes a store that may hang answer in time.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jid::BareJid;
use tokio::time::{Instant, timeout};

use super::{Asked, Secret, Store, StoreError, StoreName};

/// How long a store may take. A keyring on the session bus answers within milliseconds, or within a second if it must
/// be started first.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a store that did not answer is left alone. Otherwise each of a thousand accounts would wait in turn, and
/// each might raise another prompt by the keyring.
const PAUSE: Duration = Duration::from_secs(60);

/// Calls the wrapped store for at most [`PATIENCE`], and not within [`PAUSE`] after a time-out.
pub(super) struct Patient<S> {
    store: S,
    paused_until: Mutex<Option<Instant>>,
}

impl<S: Store> Patient<S> {
    pub(super) fn new(store: S) -> Self {
        Self { store, paused_until: Mutex::new(None) }
    }

    async fn ask<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let paused_until = || self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused_until().is_some_and(|end| Instant::now() < end) {
            return Err(StoreError::Paused);
        }
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                *paused_until() = Some(Instant::now() + PAUSE);
                Err(StoreError::Slow(PATIENCE))
            }
        }
    }
}

impl<S: Store> Store for Patient<S> {
    fn name(&self) -> StoreName {
        self.store.name()
    }

    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>> {
        self.ask(self.store.load(account)).boxed()
    }

    fn save<'a>(&'a self, account: &'a BareJid, secret: &'a Secret) -> Asked<'a, ()> {
        self.ask(self.store.save(account, secret)).boxed()
    }

    fn erase<'a>(&'a self, account: &'a BareJid) -> Asked<'a, bool> {
        self.ask(self.store.erase(account)).boxed()
    }
}
