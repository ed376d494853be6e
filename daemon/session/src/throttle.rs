//! How often something is done per contact: notifying UIs, saving, fetching their picture. The first changes after a
//! quiet time are handled at once; for a contact who keeps changing, only once per interval, with the newest state.
//!
//! Everything that waits is handled within that interval, together. So a flood becomes a few events or writes,
//! whatever the number of changes and contacts, and other contacts are not affected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jid::BareJid;

use crate::bounds;

/// Changes of one contact that are handled at once after a quiet time. Related changes arrive separately: a presence,
/// a picture, a profile, a client's features.
const AT_ONCE: u32 = 8;
/// Nobody notices that a presence is half a second late.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// A contact's data takes up to 30 KiB, and the server can send again what a crash loses.
const SAVED_EVERY: Duration = Duration::from_secs(10);

/// A picture may be a megabyte to request, receive and write. People don't change theirs all day: one who does costs
/// 104 a day at most.
const FETCHED_EVERY: Duration = Duration::from_secs(15 * 60);

/// How many are tracked: all contacts, and as many domains. Any beyond that wait.
const NOTED: usize = 2 * bounds::ROSTER_CONTACTS;
/// A person answers them, and one domain may have 50 each time.
const REQUESTS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Who was handled lately, and who waits.
pub(crate) struct Throttle {
    /// The longest that a change waits, and the time it takes to earn one that is handled at once.
    every: Duration,
    /// When all that was done for each would have been due at one per `every`. Those who have been quiet are
    /// forgotten.
    spent_until: BTreeMap<BareJid, Instant>,
    forget_at: Option<Instant>,
    /// Who is waiting, and until when.
    waiting: BTreeSet<BareJid>,
    due_at: Option<Instant>,
}

impl Throttle {
    /// For notifying UIs.
    pub(crate) fn of_telling() -> Self {
        Self::new(TOLD_EVERY)
    }

    /// For saving.
    pub(crate) fn of_saving() -> Self {
        Self::new(SAVED_EVERY)
    }

    /// For fetching pictures.
    pub(crate) fn of_fetching() -> Self {
        Self::new(FETCHED_EVERY)
    }

    /// For reporting subscription requests.
    pub(crate) fn of_requests() -> Self {
        Self::new(REQUESTS_TOLD_EVERY)
    }

    fn new(every: Duration) -> Self {
        Self { every, spent_until: BTreeMap::new(), forget_at: None, waiting: BTreeSet::new(), due_at: None }
    }

    /// Whether to do it now. If not, it waits with the others.
    pub(crate) fn admits(&mut self, jid: &BareJid, now: Instant) -> bool {
        if self.waiting.contains(jid) {
            return false;
        }
        let admitted = match self.spent_until.get(jid) {
            Some(until) => *until <= now + self.every * (AT_ONCE - 1),
            None => self.spent_until.len() < NOTED,
        };
        if !admitted {
            self.waiting.insert(jid.clone());
            self.due_at.get_or_insert(now + self.every);
        }
        admitted
    }

    /// It was done.
    pub(crate) fn done(&mut self, jid: &BareJid, now: Instant) {
        let before = self.spent_until.get(jid).copied().unwrap_or(now);
        // Done out of turn, it owes no more than the maximum debt.
        let until = before.clamp(now, now + self.every * (AT_ONCE - 1)) + self.every;
        if self.spent_until.len() < NOTED || self.spent_until.contains_key(jid) {
            self.spent_until.insert(jid.clone(), until);
        }
        self.forget_at.get_or_insert(now + self.every * AT_ONCE);
    }

    /// Whether to do it now for all who wait.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if self.forget_at.take_if(|at| *at <= now).is_some() {
            self.spent_until.retain(|_, until| *until > now);
            self.forget_at = self.spent_until.values().max().copied();
        }
        self.due_at.is_some_and(|at| at <= now)
    }

    /// Nobody waits any more: it was done for all.
    pub(crate) fn done_for_all(&mut self) {
        self.take_waiting();
    }

    /// Takes all who have waited.
    pub(crate) fn take_waiting(&mut self) -> BTreeSet<BareJid> {
        self.due_at = None;
        std::mem::take(&mut self.waiting)
    }

    /// A contact no longer waits.
    pub(crate) fn forget(&mut self, jid: &BareJid) {
        self.waiting.remove(jid);
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.spent_until.len() + self.waiting.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due_at.into_iter().chain(self.forget_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which changes are reported for a contact who changes every 10 ms.
    fn told(changes: u32) -> Vec<f64> {
        let (start, jid) = (Instant::now(), BareJid::new("noisy@example.org").unwrap());
        let (mut throttle, mut told) = (Throttle::of_telling(), Vec::new());
        for change in 0..changes {
            let now = start + Duration::from_millis(10) * change;
            let is_due = throttle.is_due(now);
            if is_due {
                throttle.done_for_all();
            }
            if is_due || throttle.admits(&jid, now) {
                throttle.done(&jid, now);
                told.push((now - start).as_secs_f64());
            }
        }
        told
    }

    #[test]
    fn the_first_changes_are_told_at_once_and_then_two_a_second() {
        let told = told(1_000);
        assert_eq!(told[..8], [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]);
        let late: Vec<_> = told[7..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(late.iter().all(|late| (0.5..0.52).contains(late)), "{late:?}");
        assert!(told.len() <= 8 + 20, "{}", told.len());
    }

    #[test]
    fn who_was_quiet_is_forgotten_and_told_of_at_once_again() {
        let (start, jid) = (Instant::now(), BareJid::new("noisy@example.org").unwrap());
        let mut throttle = Throttle::of_telling();
        (0..20).for_each(|_| throttle.done(&jid, start));
        let (mut now, mut deadlines) = (start, 0);
        while let Some(at) = throttle.next_deadline() {
            assert!(at > now && !throttle.is_due(at), "nothing waits");
            (now, deadlines) = (at, deadlines + 1);
        }
        assert!(throttle.spent_until.is_empty() && deadlines <= 2 && now <= start + TOLD_EVERY * 9);
        (0..8).for_each(|_| {
            assert!(throttle.admits(&jid, now));
            throttle.done(&jid, now);
        });
        assert!(!throttle.admits(&jid, now));
    }

    #[test]
    fn of_however_many_not_more_are_noted() {
        let (start, mut throttle) = (Instant::now(), Throttle::of_requests());
        for n in 0..NOTED + 1_000 {
            let jid = BareJid::new(&format!("domain{n}.example")).unwrap();
            assert_eq!(throttle.admits(&jid, start), n < NOTED);
            throttle.done(&jid, start);
        }
        assert_eq!((throttle.spent_until.len(), throttle.waiting.len()), (NOTED, 1_000));
        throttle.done_for_all();
        assert!(!throttle.is_due(start + throttle.every * AT_ONCE));
        assert!(throttle.spent_until.is_empty());
    }
}
