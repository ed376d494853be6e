//! Connections at a door, from accept until they close or become a WebSocket.
//!
//! Every program and web page can reach a port. Connections that have not shown the token are strangers: there is
//! room for a few, for a moment, and one too many closes the oldest. So strangers block neither each other nor the
//! user's own programs, which have separate seats.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::limits::Shares;

/// The visitors of one door.
#[derive(Debug)]
pub(super) struct Visitors {
    strangers: Mutex<Strangers>,
    most_strangers: usize,
    seats: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Strangers {
    came: u64,
    /// In order of arrival: the signal that tells each to leave.
    here: BTreeMap<u64, Arc<Notify>>,
}

/// One of them; it leaves when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Visitor(Arc<Visit>);

#[derive(Debug)]
struct Visit {
    number: u64,
    leave: Arc<Notify>,
    door: Arc<Visitors>,
    /// One with a seat is no stranger.
    seat: OnceLock<OwnedSemaphorePermit>,
}

impl Visitors {
    pub(super) fn new(shares: Shares) -> Arc<Self> {
        Arc::new(Self {
            strangers: Mutex::default(),
            most_strangers: shares.strangers,
            seats: Arc::new(Semaphore::new(shares.seats)),
        })
    }

    /// Admits a stranger.
    pub(super) fn stranger(self: &Arc<Self>) -> Visitor {
        let mut strangers = self.strangers();
        if strangers.here.len() >= self.most_strangers
            && let Some((_, oldest)) = strangers.here.pop_first()
        {
            oldest.notify_one();
        }
        strangers.came += 1;
        let (number, leave) = (strangers.came, Arc::new(Notify::new()));
        strangers.here.insert(number, Arc::clone(&leave));
        Visitor(Arc::new(Visit { number, leave, door: Arc::clone(self), seat: OnceLock::new() }))
    }

    /// Admits a known visitor, as soon as there is a seat.
    pub(super) async fn known(self: &Arc<Self>) -> Visitor {
        let seat = OnceLock::new();
        // The semaphore is never closed.
        if let Ok(free) = Arc::clone(&self.seats).acquire_owned().await {
            seat.get_or_init(|| free);
        }
        Visitor(Arc::new(Visit { number: 0, leave: Arc::default(), door: Arc::clone(self), seat }))
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// This one has proved not to be a stranger. False: there is no seat left.
    pub(super) fn recognize(&self) -> bool {
        if self.0.seat.get().is_none() {
            let Ok(seat) = Arc::clone(&self.0.door.seats).try_acquire_owned() else { return false };
            self.0.seat.get_or_init(|| seat);
            self.0.door.strangers().here.remove(&self.0.number);
        }
        true
    }

    /// Resolves when a stranger must leave: at once for a newer one, or after `patience`.
    pub(super) async fn dismissed(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0.leave.notified()).await;
        if self.0.seat.get().is_some() {
            pending().await
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.door.strangers().here.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn door() -> Arc<Visitors> {
        Visitors::new(Shares { strangers: 2, seats: 1, websockets: 1 })
    }

    fn has_to_leave(visitor: &Visitor) -> bool {
        visitor.dismissed(LONG).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_leaves_for_a_new_one() {
        let door = door();
        let [first, second, third] = [(); 3].map(|()| door.stranger());
        assert_eq!([&first, &second, &third].map(has_to_leave), [true, false, false]);
        drop(third);
        let fourth = door.stranger();
        assert_eq!([&second, &fourth].map(has_to_leave), [false, false], "who has left made room");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_recognized_stays() {
        let door = door();
        let owner = door.stranger();
        assert!(owner.recognize() && owner.recognize());
        let strangers = [(); 10].map(|()| door.stranger());
        assert!(!has_to_leave(&owner));
        assert_eq!(strangers.iter().filter(|stranger| !has_to_leave(stranger)).count(), 2);
        assert!(!strangers[9].recognize(), "there is one seat");
        drop(owner);
        assert!(strangers[9].recognize());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_recognized_makes_room_for_a_stranger() {
        let door = door();
        let [stranger, owner] = [(); 2].map(|()| door.stranger());
        assert!(owner.recognize());
        let another = door.stranger();
        assert_eq!([&stranger, &another].map(has_to_leave), [false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_visitor_waits_for_a_seat() {
        let door = door();
        let first = door.known().await;
        let mut second = std::pin::pin!(door.known());
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_stays_for_a_moment() {
        let door = door();
        let (stranger, owner) = (door.stranger(), door.stranger());
        assert!(owner.recognize());
        stranger.dismissed(LONG).await;
        assert!(tokio::time::timeout(2 * LONG, owner.dismissed(LONG)).await.is_err());
    }
}
