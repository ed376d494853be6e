//! A reader's position in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{Entry, EventLog, Filter};

/// A position in the log, and what its reader wants from there on.
pub(crate) struct Cursor {
    log: Arc<EventLog>,
    newest: watch::Receiver<u64>,
    filter: Filter,
    /// Everything up to here that matches the filter has been read. Shared with the metrics.
    after: Arc<AtomicU64>,
}

/// The log has dropped events that this reader had not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader was too slow; it has read up to {last}")]
pub(crate) struct Lagged {
    /// The reader has received everything up to here that it wanted.
    pub(crate) last: u64,
}

impl Cursor {
    pub(super) fn new(log: Arc<EventLog>, newest: watch::Receiver<u64>, filter: Filter, after: u64) -> Self {
        Self { log, newest, filter, after: Arc::new(AtomicU64::new(after)) }
    }

    /// The reader has received everything up to here that it wanted.
    pub(crate) fn position(&self) -> u64 {
        self.after.load(Ordering::Relaxed)
    }

    /// A view of its position, while it lives.
    pub(super) fn place(&self) -> Weak<AtomicU64> {
        Arc::downgrade(&self.after)
    }

    /// Waits for the next matching event. Cancel safe.
    ///
    /// # Errors
    /// If the log has overtaken this reader. That is permanent.
    pub(crate) async fn next(&mut self) -> Result<Arc<Entry>, Lagged> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            let after = self.position();
            // The log holds the sender, and we hold the log: it cannot be gone.
            let _ = self.newest.wait_for(|newest| *newest > after).await;
        }
    }

    /// The next matching event, if there is one already.
    ///
    /// # Errors
    /// As for [`Cursor::next`].
    pub(crate) fn try_next(&mut self) -> Result<Option<Arc<Entry>>, Lagged> {
        let state = self.log.state();
        let last = self.position();
        let mut later =
            state.retained.after(last, self.filter.account.as_ref()).map_err(|_| Lagged { last })?;
        let found = later.find(|event| self.filter.wants(event)).cloned();
        self.after.store(found.as_ref().map_or(state.retained.last(), |event| event.seq), Ordering::Relaxed);
        Ok(found)
    }
}
