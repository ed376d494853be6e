//! Received items, in order, for tests that wait for one among many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// A shared list of everything received. Waiting takes the first matching item that has not been taken yet and leaves
/// the others, so the order of two waits need not be the order of arrival.
#[derive(Debug)]
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    print: fn(&T) -> String,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// Each with whether it has been taken.
    items: Vec<(T, bool)>,
    closed: bool,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), print: self.print }
    }
}

impl<T: Clone> Inbox<T> {
    /// An empty one. `print` formats an item when a test has waited in vain.
    pub fn new(print: fn(&T) -> String) -> Self {
        let state = Mutex::new(State { items: Vec::new(), closed: false });
        Self { shared: Arc::new(Shared { state, arrived: Notify::new() }), print }
    }

    /// Adds an item.
    pub fn push(&self, item: T) {
        self.state().items.push((item, false));
        self.shared.arrived.notify_waiters();
    }

    /// Says that nothing more will arrive.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.arrived.notify_waiters();
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Waits until nothing more can arrive.
    ///
    /// # Panics
    /// After `patience`.
    pub async fn closed(&self, patience: Duration) {
        let wait = async {
            loop {
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if self.is_closed() {
                    return;
                }
                arrived.await;
            }
        };
        timeout(patience, wait).await.unwrap_or_else(|_| panic!("not closed within {patience:?}"));
    }

    /// Everything received, taken or not.
    pub fn all(&self) -> Vec<T> {
        self.state().items.iter().map(|(item, _)| item.clone()).collect()
    }

    /// Takes a matching item that is already there, without waiting.
    pub fn take(&self, mut fits: impl FnMut(&T) -> bool) -> Option<T> {
        let mut state = self.state();
        let (item, taken) = state.items.iter_mut().find(|(item, taken)| !taken && fits(item))?;
        *taken = true;
        Some(item.clone())
    }

    /// Drops everything so far: later waits see only newer items.
    pub fn clear(&self) {
        self.state().items.clear();
    }

    /// Waits for the first untaken item that matches, and takes it; none after `patience`, or when nothing more can
    /// arrive.
    pub async fn wait(&self, patience: Duration, mut fits: impl FnMut(&T) -> bool) -> Option<T> {
        let wait = async {
            loop {
                // Registered before checking, so that nothing slips in between.
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let closed = self.is_closed();
                if let Some(item) = self.take(&mut fits) {
                    return Some(item);
                }
                if closed {
                    return None;
                }
                arrived.await;
            }
        };
        timeout(patience, wait).await.unwrap_or(None)
    }

    /// Like [`Inbox::wait`].
    ///
    /// # Panics
    /// If nothing matches in time, with `what` was expected and everything received instead.
    pub async fn expect(&self, patience: Duration, what: &str, fits: impl FnMut(&T) -> bool) -> T {
        match self.wait(patience, fits).await {
            Some(item) => item,
            None => {
                let closed = if self.is_closed() { " (closed)" } else { "" };
                let came: Vec<_> = self.all().iter().map(self.print).collect();
                panic!("waited {patience:?} in vain for {what}{closed}. What came:\n{}", came.join("\n"));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
