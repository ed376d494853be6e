//! The state of one connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jid::BareJid;
use prosed_protocol::{ApiError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::limits::CALLS_IN_FLIGHT;
use super::methods::Answered;
use super::metrics::OpenWebsocket;
use super::order::Order;
use crate::activity::Viewer;

/// One WebSocket, or one POST.
pub(super) struct Connection {
    pub(super) order: Order,
    /// Absent for a POST.
    websocket: Option<OpenWebsocket>,
    calls: Arc<Semaphore>,
    viewer: Mutex<Viewer>,
    /// By id. A subscription ends when its sender is dropped.
    subscriptions: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Connection {
    pub(super) fn new(websocket: Option<OpenWebsocket>, viewer: Viewer) -> Self {
        Self {
            order: Order::default(),
            websocket,
            calls: Arc::new(Semaphore::new(CALLS_IN_FLIGHT)),
            viewer: Mutex::new(viewer),
            subscriptions: Mutex::default(),
        }
    }

    /// Whether events can be pushed to it.
    pub(super) fn is_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Counts a call as in flight while the permit is held, if there is room for it.
    pub(super) fn try_begin_call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }

    /// Waits until the answers to all calls are being sent.
    pub(super) async fn all_answered(&self) {
        // The semaphore is never closed.
        let _ = self.calls.acquire_many(CALLS_IN_FLIGHT as u32).await;
    }

    /// The account for a call that names none: determined when the call is read, including accounts whose login was
    /// sent before it.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub(super) fn only_account(&self, accounts: &[BareJid]) -> Answered<BareJid> {
        let mut meant = self.order.logging_in();
        meant.extend(accounts.iter().cloned());
        match (meant.pop_first(), meant.is_empty()) {
            (Some(account), true) => Ok(account),
            (Some(_), false) => Err(ApiError::new(ErrorKind::AccountRequired).into()),
            (None, _) => Err(ApiError::new(ErrorKind::AccountUnknown).into()),
        }
    }

    /// Registers a subscription; the returned future resolves when it must end.
    pub(super) fn open_subscription(&self, id: u64) -> oneshot::Receiver<()> {
        let (sender, ended) = oneshot::channel();
        self.subscriptions().insert(id, sender);
        self.viewer().subscribes();
        ended
    }

    /// Ends a subscription; returns whether there was one.
    pub(super) fn close_subscription(&self, id: u64) -> bool {
        let was_open = self.subscriptions().remove(&id).is_some();
        if was_open {
            self.viewer().unsubscribes();
        }
        was_open
    }

    /// Its part in whether anybody is watching.
    pub(super) fn viewer(&self) -> MutexGuard<'_, Viewer> {
        self.viewer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscriptions(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
