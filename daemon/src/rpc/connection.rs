//! What the daemon remembers of one connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jid::BareJid;
use prosed_protocol::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::limits::CALLS_IN_FLIGHT;
use super::methods::Answered;
use super::metrics::OpenWebsocket;
use super::order::Order;

/// One WebSocket, or one POST.
pub(super) struct Connection {
    pub(super) order: Order,
    /// Absent: it is a POST.
    websocket: Option<OpenWebsocket>,
    calls: Arc<Semaphore>,
    /// By id. A subscription ends when its sender is dropped.
    subscriptions: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Connection {
    pub(super) fn new(websocket: Option<OpenWebsocket>) -> Self {
        Self {
            order: Order::default(),
            websocket,
            calls: Arc::new(Semaphore::new(CALLS_IN_FLIGHT)),
            subscriptions: Mutex::default(),
        }
    }

    /// Whether events can be pushed to it.
    pub(super) fn is_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Counts a call as in flight for as long as the permit is held, where there is room for it.
    pub(super) fn try_begin_call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }

    /// Waits until every call has its answer on its way.
    pub(super) async fn all_answered(&self) {
        // The semaphore is never closed.
        let _ = self.calls.acquire_many(CALLS_IN_FLIGHT as u32).await;
    }

    /// The account that a call means which names none: settled when the call is read, with the
    /// accounts whose login was sent before it counted in.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn only_account(&self, accounts: &[BareJid]) -> Answered<BareJid> {
        let mut meant = self.order.logging_in();
        meant.extend(accounts.iter().cloned());
        match (meant.pop_first(), meant.is_empty()) {
            (Some(account), true) => Ok(account),
            (Some(_), false) => Err(ApiError::new(ErrorKind::AccountRequired).into()),
            (None, _) => Err(ApiError::new(ErrorKind::AccountUnknown).into()),
        }
    }

    /// Remembers a subscription; what is returned resolves when it shall end.
    pub(super) fn open_subscription(&self, id: u64) -> oneshot::Receiver<()> {
        let (sender, ended) = oneshot::channel();
        self.subscriptions().insert(id, sender);
        ended
    }

    /// Ends a subscription; says whether there was one.
    pub(super) fn close_subscription(&self, id: u64) -> bool {
        self.subscriptions().remove(&id).is_some()
    }

    fn subscriptions(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
