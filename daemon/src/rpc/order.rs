//! The order of calls: those of one connection that concern one account take effect as they were
//! sent.
//!
//! Each account that a connection speaks of has two queues. A usual call waits in `calls` until
//! what was sent before it is issued; `login` and `logout` keep their place there until they are
//! done. `load_roster` changes nothing, so it does not stand in `calls`: it waits in `begun` for a
//! login or logout sent before it, for no longer than until the account exists and its session
//! takes commands. So it waits for the login only where the session does, which is: without a cache.
//!
//! A place is taken when a call is read, before anything is awaited: batches can't step around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use jid::BareJid;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// How a call stands in its account's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// After what was sent before, until it is issued.
    Usual,
    /// After what was sent before, until it is done. The account may be a new one.
    Login,
    /// After what was sent before, until it is done.
    Logout,
    /// After logins that were sent before have begun.
    Roster,
}

/// The order of one connection's calls.
#[derive(Default)]
pub(crate) struct Order {
    lanes: Mutex<BTreeMap<BareJid, Weak<Lane>>>,
}

/// The queues of one account; they live while somebody stands in them.
#[derive(Default)]
struct Lane {
    calls: Arc<Queue<()>>,
    begun: Arc<Queue<()>>,
    login_sent: AtomicBool,
}

/// A call's place in its account's order.
pub(crate) struct Place {
    /// Whose order it is.
    pub(crate) account: BareJid,
    calls: Option<Ticket>,
    begun: Option<Ticket>,
    lane: Arc<Lane>,
}

/// It is this call's turn, until this is dropped.
pub(crate) struct Turn {
    _calls: Option<OwnedMutexGuard<()>>,
    begun: Option<OwnedMutexGuard<()>>,
    _lane: Arc<Lane>,
}

impl Order {
    /// Takes the next place in the account's order.
    pub(crate) fn take_place(&self, account: BareJid, pace: Pace) -> Place {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get(&account).and_then(Weak::upgrade).unwrap_or_else(|| {
            lanes.retain(|_, lane| lane.strong_count() > 0);
            let lane = Arc::default();
            lanes.insert(account.clone(), Arc::downgrade(&lane));
            lane
        });
        if pace == Pace::Login {
            lane.login_sent.store(true, Ordering::Relaxed);
        }
        let calls = (pace != Pace::Roster).then(|| Ticket::draw(&lane.calls));
        let begun = (pace != Pace::Usual).then(|| Ticket::draw(&lane.begun));
        Place { account, calls, begun, lane }
    }

    /// The accounts whose login was sent and is not answered yet: they exist as far as calls that
    /// are sent behind it are concerned.
    pub(crate) fn logging_in(&self) -> BTreeSet<BareJid> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let logging_in =
            |lane: &Weak<Lane>| lane.upgrade().is_some_and(|lane| lane.login_sent.load(Ordering::Relaxed));
        lanes.iter().filter(|(_, lane)| logging_in(lane)).map(|(account, _)| account.clone()).collect()
    }
}

impl Place {
    /// Waits until it is this call's turn.
    pub(crate) async fn turn(self) -> Turn {
        let calls = wait(self.calls).await;
        let begun = wait(self.begun).await;
        Turn { _calls: calls, begun, _lane: self.lane }
    }
}

impl Turn {
    /// The account exists and its session takes commands: `load_roster` may go on.
    pub(crate) fn has_begun(&mut self) {
        self.begun = None;
    }
}

/// A place in one queue.
enum Ticket {
    Held(OwnedMutexGuard<()>),
    Waiting(BoxFuture<'static, OwnedMutexGuard<()>>),
}

impl Ticket {
    /// tokio's mutex is fair: whoever is polled first gets in first. So poll once, here and now,
    /// and without the budget that could put it off.
    fn draw(queue: &Arc<Queue<()>>) -> Self {
        let mut waiting = tokio::task::unconstrained(Arc::clone(queue).lock_owned()).boxed();
        match (&mut waiting).now_or_never() {
            Some(held) => Self::Held(held),
            None => Self::Waiting(waiting),
        }
    }
}

async fn wait(ticket: Option<Ticket>) -> Option<OwnedMutexGuard<()>> {
    match ticket? {
        Ticket::Held(held) => Some(held),
        Ticket::Waiting(waiting) => Some(waiting.await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> BareJid {
        text.parse().unwrap()
    }

    fn me() -> BareJid {
        jid("me@example.org")
    }

    fn turn(place: Place) -> Option<Turn> {
        place.turn().now_or_never()
    }

    #[tokio::test]
    async fn usual_calls_go_one_by_one_in_the_order_of_their_places() {
        let order = Order::default();
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        let places: Vec<_> = (0..100).map(|n| (n, order.take_place(me(), Pace::Usual))).collect();
        // Awaited in the opposite order of their places.
        for (n, place) in places.into_iter().rev() {
            let sender = sender.clone();
            tokio::spawn(async move {
                let _turn = place.turn().await;
                tokio::task::yield_now().await;
                sender.send(n).unwrap();
            });
        }
        for expected in 0..100 {
            assert_eq!(done.recv().await, Some(expected));
        }
    }

    #[test]
    fn a_login_holds_usual_calls_until_it_is_done() {
        let order = Order::default();
        let login = order.take_place(me(), Pace::Login);
        let mut set_presence = order.take_place(me(), Pace::Usual).turn().boxed();
        let mut login = turn(login).unwrap();
        login.has_begun();
        assert!((&mut set_presence).now_or_never().is_none());
        drop(login);
        assert!((&mut set_presence).now_or_never().is_some());
    }

    #[test]
    fn load_roster_waits_for_a_login_to_begin_and_no_longer() {
        let order = Order::default();
        let login = order.take_place(me(), Pace::Login);
        let set_presence = order.take_place(me(), Pace::Usual);
        let mut load_roster = order.take_place(me(), Pace::Roster).turn().boxed();
        let mut login = turn(login).unwrap();
        assert!((&mut load_roster).now_or_never().is_none(), "the account may not exist yet");
        login.has_begun();
        assert!((&mut load_roster).now_or_never().is_some());
        assert!(turn(set_presence).is_none());
    }

    #[test]
    fn load_roster_waits_for_a_logout_to_be_done() {
        let order = Order::default();
        let logout = turn(order.take_place(me(), Pace::Logout)).unwrap();
        let mut load_roster = order.take_place(me(), Pace::Roster).turn().boxed();
        assert!((&mut load_roster).now_or_never().is_none());
        drop(logout);
        assert!((&mut load_roster).now_or_never().is_some());
    }

    #[test]
    fn a_login_waits_for_what_was_sent_before() {
        let order = Order::default();
        let set_presence = turn(order.take_place(me(), Pace::Usual)).unwrap();
        let mut login = order.take_place(me(), Pace::Login).turn().boxed();
        assert!((&mut login).now_or_never().is_none());
        drop(set_presence);
        assert!((&mut login).now_or_never().is_some());
    }

    #[test]
    fn a_place_that_is_given_up_holds_nobody() {
        let order = Order::default();
        let first = turn(order.take_place(me(), Pace::Login)).unwrap();
        let second = order.take_place(me(), Pace::Login);
        let mut third = order.take_place(me(), Pace::Usual).turn().boxed();
        drop(second);
        assert!((&mut third).now_or_never().is_none(), "the first is still there");
        drop(first);
        assert!((&mut third).now_or_never().is_some());
    }

    #[test]
    fn accounts_do_not_wait_for_each_other() {
        let order = Order::default();
        let _login = order.take_place(me(), Pace::Login);
        assert!(turn(order.take_place(jid("you@example.org"), Pace::Usual)).is_some());
    }

    #[test]
    fn knows_whose_login_is_under_way() {
        let order = Order::default();
        assert!(order.logging_in().is_empty());
        let login = turn(order.take_place(me(), Pace::Login)).unwrap();
        let _other = order.take_place(jid("you@example.org"), Pace::Usual);
        assert_eq!(order.logging_in(), BTreeSet::from([me()]));
        drop(login);
        assert!(order.logging_in().is_empty());
    }

    #[test]
    fn idle_lanes_are_forgotten() {
        let order = Order::default();
        for n in 0..100 {
            drop(order.take_place(jid(&format!("u{n}@example.org")), Pace::Usual));
        }
        assert_eq!(order.lanes.lock().unwrap().len(), 1);
    }
}
