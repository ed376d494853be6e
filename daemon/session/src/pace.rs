//! How often something is done for one contact: UIs are told of them, the disk keeps what is known, or
//! their picture is fetched. The first changes after quiet count at once; for a contact who never rests it is done once in a while, with
//! the newest state.
//!
//! Whatever waits is done within that while, all of it together. So a flood is a few events or writes,
//! however many changes and contacts it has, and the contacts who do not take part in it notice nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jid::BareJid;

use crate::bounds;

/// Changes of one contact that count at once after quiet. What belongs together comes apart: a presence,
/// a picture, a profile, what a client supports.
const AT_ONCE: u32 = 8;
/// Nobody takes half a second of a presence for late.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// What is known of a contact takes up to 30 KiB, and the server can give again what a crash loses.
const SAVED_EVERY: Duration = Duration::from_secs(10);

/// A picture may have a megabyte, and each is asked for, comes and is written. People don't change theirs all day:
/// those who do cost 104 a day at most.
const FETCHED_EVERY: Duration = Duration::from_secs(15 * 60);

/// For how many is noted when it was done: for all contacts, and for as many domains. Who comes beyond that waits.
const NOTED: usize = 2 * bounds::ROSTER_CONTACTS;
/// A person answers them, and there may be 50 of one domain each time.
const REQUESTS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// For whom it was done lately, and who waits.
pub(crate) struct Pace {
    /// So long a change waits at most, and so long it takes to earn one that counts at once.
    every: Duration,
    /// By when it would have been done for each so often, once in `every`. Who has been quiet is forgotten.
    spent_until: BTreeMap<BareJid, Instant>,
    forget_at: Option<Instant>,
    /// For whom it is to be done, and when.
    waiting: BTreeSet<BareJid>,
    due_at: Option<Instant>,
}

impl Pace {
    /// For telling UIs.
    pub(crate) fn of_telling() -> Self {
        Self::new(TOLD_EVERY)
    }

    /// For keeping on disk.
    pub(crate) fn of_saving() -> Self {
        Self::new(SAVED_EVERY)
    }

    /// For fetching pictures.
    pub(crate) fn of_fetching() -> Self {
        Self::new(FETCHED_EVERY)
    }

    /// For telling of requests to see our presence.
    pub(crate) fn of_requests() -> Self {
        Self::new(REQUESTS_TOLD_EVERY)
    }

    fn new(every: Duration) -> Self {
        Self { every, spent_until: BTreeMap::new(), forget_at: None, waiting: BTreeSet::new(), due_at: None }
    }

    /// Whether it is done now. Else it waits, for the others that do.
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
        // Done out of turn, it owes no more than what can be owed.
        let until = before.clamp(now, now + self.every * (AT_ONCE - 1)) + self.every;
        if self.spent_until.len() < NOTED || self.spent_until.contains_key(jid) {
            self.spent_until.insert(jid.clone(), until);
        }
        self.forget_at.get_or_insert(now + self.every * AT_ONCE);
    }

    /// Whether it is to be done now for all who wait.
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

    /// Those who have waited. Nobody waits any more.
    pub(crate) fn take_waiting(&mut self) -> BTreeSet<BareJid> {
        self.due_at = None;
        std::mem::take(&mut self.waiting)
    }

    /// Somebody does not wait any more.
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

    /// Seconds at which changes are told, of a contact who changes each 10 ms.
    fn told(changes: u32) -> Vec<f64> {
        let (start, jid) = (Instant::now(), BareJid::new("noisy@example.org").unwrap());
        let (mut pace, mut told) = (Pace::of_telling(), Vec::new());
        for change in 0..changes {
            let now = start + Duration::from_millis(10) * change;
            let is_due = pace.is_due(now);
            if is_due {
                pace.done_for_all();
            }
            if is_due || pace.admits(&jid, now) {
                pace.done(&jid, now);
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
        let mut pace = Pace::of_telling();
        (0..20).for_each(|_| pace.done(&jid, start));
        let (mut now, mut deadlines) = (start, 0);
        while let Some(at) = pace.next_deadline() {
            assert!(at > now && !pace.is_due(at), "nothing waits");
            (now, deadlines) = (at, deadlines + 1);
        }
        assert!(pace.spent_until.is_empty() && deadlines <= 2 && now <= start + TOLD_EVERY * 9);
        (0..8).for_each(|_| {
            assert!(pace.admits(&jid, now));
            pace.done(&jid, now);
        });
        assert!(!pace.admits(&jid, now));
    }

    #[test]
    fn of_however_many_not_more_are_noted() {
        let (start, mut pace) = (Instant::now(), Pace::of_requests());
        for n in 0..NOTED + 1_000 {
            let jid = BareJid::new(&format!("domain{n}.example")).unwrap();
            assert_eq!(pace.admits(&jid, start), n < NOTED);
            pace.done(&jid, start);
        }
        assert_eq!((pace.spent_until.len(), pace.waiting.len()), (NOTED, 1_000));
        pace.done_for_all();
        assert!(!pace.is_due(start + pace.every * AT_ONCE));
        assert!(pace.spent_until.is_empty());
    }
}
