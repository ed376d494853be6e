//! The order of calls: those of one connection that concern one account take effect in the order in which they were
//! sent.
//!
//! Each account that a connection refers to has two queues. In `calls`, an ordinary call waits until the calls before
//! it have been issued; `login` and `logout` keep their place there until they are done. A login gives up its place,
//! though not its answer, once a `logout` is sent after it: otherwise nothing could stop it. Calls that wait for no
//! server, reads and `reconnect`, are only in `begun`. There they wait until the calls sent before them have been
//! issued, except for those held up by a login.
//!
//! A place is taken when a call is read, before anything is awaited: batches cannot bypass it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use jid::BareJid;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard, watch};

/// How a call is ordered in its account's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// After the calls before it, until it is issued.
    Usual,
    /// After the calls before it, until it is done or a logout is sent. The account may be new.
    Login,
    /// After the calls before it, until it is done. A login does not hold it up.
    Logout,
    /// After the calls before it that no login holds up.
    AtOnce,
}

/// The order of one connection's calls.
#[derive(Default)]
pub(crate) struct Order {
    lanes: Mutex<BTreeMap<BareJid, Weak<Lane>>>,
}

/// The queues of one account; they live while calls are in them.
#[derive(Default)]
struct Lane {
    calls: Arc<Queue<()>>,
    begun: Arc<Queue<()>>,
    login_sent: AtomicBool,
    /// Places taken by logins and not given up.
    logins: AtomicUsize,
    /// How many logouts were sent.
    logouts: watch::Sender<u64>,
}

/// A call's place in its account's order.
pub(crate) struct Place {
    /// The account.
    pub(crate) account: BareJid,
    calls: Option<Ticket>,
    begun: Option<Ticket>,
    login: Option<LoginPlace>,
    lane: Arc<Lane>,
}

/// It is this call's turn until this is dropped.
pub(crate) struct Turn {
    _calls: Option<OwnedMutexGuard<()>>,
    begun: Option<OwnedMutexGuard<()>>,
    login: Option<LoginPlace>,
    _lane: Arc<Lane>,
}

/// Counts as a login of its lane.
struct LoginPlace {
    lane: Arc<Lane>,
    /// Sees the logouts that are sent after it.
    logouts: watch::Receiver<u64>,
}

impl LoginPlace {
    fn take(lane: &Arc<Lane>) -> Self {
        lane.login_sent.store(true, Ordering::Relaxed);
        lane.logins.fetch_add(1, Ordering::Relaxed);
        Self { lane: Arc::clone(lane), logouts: lane.logouts.subscribe() }
    }
}

impl Drop for LoginPlace {
    fn drop(&mut self) {
        self.lane.logins.fetch_sub(1, Ordering::Relaxed);
    }
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
        if pace == Pace::Logout {
            lane.logouts.send_modify(|logouts| *logouts += 1);
        }
        let held_up = lane.logins.load(Ordering::Relaxed) > 0 && matches!(pace, Pace::Usual | Pace::Login);
        let calls = (pace != Pace::AtOnce).then(|| Ticket::draw(&lane.calls));
        let begun = (!held_up).then(|| Ticket::draw(&lane.begun));
        let login = (pace == Pace::Login).then(|| LoginPlace::take(&lane));
        Place { account, calls, begun, login, lane }
    }

    /// The accounts whose login was sent and is not answered yet: for calls sent after it, they exist.
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
        Turn { _calls: calls, begun, login: self.login, _lane: self.lane }
    }
}

impl Turn {
    /// The account exists and its session accepts commands: calls that wait for no server may continue.
    pub(crate) fn has_begun(&mut self) {
        self.begun = None;
    }

    /// Resolves once a logout is sent after this login.
    pub(crate) async fn stopped(&mut self) {
        match &mut self.login {
            // The lane lives as long as we do, and so does the sender.
            Some(login) => drop(login.logouts.changed().await),
            None => std::future::pending().await,
        }
    }
}

/// A place in one queue.
enum Ticket {
    Held(OwnedMutexGuard<()>),
    Waiting(BoxFuture<'static, OwnedMutexGuard<()>>),
}

impl Ticket {
    /// tokio's mutex is fair: the first to be polled gets in first. So poll once, right here, and without the budget
    /// that could defer it.
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
        // Awaited in reverse order of their places.
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
    fn a_read_waits_for_a_login_to_begin_and_no_longer() {
        let order = Order::default();
        let login = order.take_place(me(), Pace::Login);
        let set_presence = order.take_place(me(), Pace::Usual);
        let other_login = order.take_place(me(), Pace::Login);
        let mut read = order.take_place(me(), Pace::AtOnce).turn().boxed();
        let mut login = turn(login).unwrap();
        assert!((&mut read).now_or_never().is_none(), "the account may not exist yet");
        login.has_begun();
        assert!((&mut read).now_or_never().is_some());
        assert!(turn(set_presence).is_none());
        assert!(turn(other_login).is_none());
    }

    #[test]
    fn a_read_sees_what_was_sent_before_it() {
        let order = Order::default();
        let first = turn(order.take_place(me(), Pace::Usual)).unwrap();
        let mut second = order.take_place(me(), Pace::Usual).turn().boxed();
        let mut read = order.take_place(me(), Pace::AtOnce).turn().boxed();
        assert!((&mut read).now_or_never().is_none());
        drop(first);
        assert!((&mut read).now_or_never().is_none(), "the second is not issued yet");
        drop((&mut second).now_or_never().unwrap());
        assert!((&mut read).now_or_never().is_some());
    }

    #[test]
    fn a_logout_stops_the_logins_before_it_and_no_others() {
        let order = Order::default();
        let mut first = turn(order.take_place(me(), Pace::Login)).unwrap();
        first.has_begun();
        assert!(first.stopped().now_or_never().is_none());
        let mut set_presence = order.take_place(me(), Pace::Usual).turn().boxed();
        let mut second = order.take_place(me(), Pace::Login).turn().boxed();
        let mut logout = order.take_place(me(), Pace::Logout).turn().boxed();
        let mut third = order.take_place(me(), Pace::Login).turn().boxed();
        assert!(first.stopped().now_or_never().is_some());
        drop(first);
        drop((&mut set_presence).now_or_never().expect("it comes before the logout"));
        let mut second = (&mut second).now_or_never().unwrap();
        assert!(second.stopped().now_or_never().is_some());
        drop(second);
        let logout = (&mut logout).now_or_never().unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(logout);
        assert!((&mut third).now_or_never().unwrap().stopped().now_or_never().is_none());
    }

    #[test]
    fn a_read_waits_for_a_logout_to_be_done() {
        let order = Order::default();
        let logout = turn(order.take_place(me(), Pace::Logout)).unwrap();
        let mut read = order.take_place(me(), Pace::AtOnce).turn().boxed();
        assert!((&mut read).now_or_never().is_none());
        drop(logout);
        assert!((&mut read).now_or_never().is_some());
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
