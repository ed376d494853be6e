//! Contacts to query, newest first, within a budget for each remote domain.
//!
//! A domain is a registrable one ([`registrable`]): its owner gets no more queries for having many subdomains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jid::BareJid;

use crate::domain::registrable;
use crate::line::Line;

/// This many at once after a quiet time, then one per interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) at_once: u32,
    pub(crate) every: Duration,
}

impl Rate {
    /// When the next one may be spent, if what was spent lasts until `spent_until` at one per interval.
    fn allowed_at(self, spent_until: Option<Instant>, now: Instant) -> Instant {
        let at_once = self.every * self.at_once.saturating_sub(1);
        spent_until.filter(|until| *until > now + at_once).map_or(now, |until| until - at_once)
    }

    fn spend(self, spent_until: Option<Instant>, now: Instant) -> Instant {
        spent_until.map_or(now, |until| until.max(now)) + self.every
    }

    fn half(self) -> Self {
        Self { at_once: self.at_once / 2, ..self }
    }
}

/// How many contacts may be queried: per domain, and in all.
pub(crate) struct Budget {
    each: Rate,
    all: Rate,
    /// The domains whose contacts were queried lately. Idle ones are forgotten.
    spent: BTreeMap<Box<str>, Instant>,
    all_spent: Option<Instant>,
}

impl Budget {
    /// When a contact of this domain may be queried, now or in the past.
    fn allowed_at(&self, domain: &str, now: Instant) -> Instant {
        let each = self.each.allowed_at(self.spent.get(domain).copied(), now);
        each.max(self.all.allowed_at(self.all_spent, now))
    }

    /// The same for background queries: they leave half of the burst to urgent ones.
    pub(crate) fn spare_at(&self, contact: &BareJid, now: Instant) -> Instant {
        let spent = self.spent.get(registrable(contact.domain().as_str())).copied();
        self.each.half().allowed_at(spent, now).max(self.all.half().allowed_at(self.all_spent, now))
    }

    pub(crate) fn spend(&mut self, contact: &BareJid, now: Instant) {
        self.spent.retain(|_, until| *until > now);
        let domain = registrable(contact.domain().as_str());
        let until = self.each.spend(self.spent.get(domain).copied(), now);
        self.spent.insert(domain.into(), until);
        self.all_spent = Some(self.all.spend(self.all_spent, now));
    }
}

/// Each contact waits once.
pub(crate) struct Queue {
    pub(crate) budget: Budget,
    line: Line<BareJid>,
    /// The turns of each domain's contacts.
    domains: BTreeMap<Box<str>, BTreeSet<u64>>,
}

impl Queue {
    pub(crate) fn new(each: Rate, all: Rate) -> Self {
        let budget = Budget { each, all, spent: BTreeMap::new(), all_spent: None };
        Self { budget, line: Line::default(), domains: BTreeMap::new() }
    }

    /// Queues a contact ahead of all others.
    pub(crate) fn put(&mut self, contact: &BareJid) {
        self.remove(contact);
        let domain = registrable(contact.domain().as_str()).into();
        self.domains.entry(domain).or_default().insert(self.line.put(contact));
    }

    pub(crate) fn remove(&mut self, contact: &BareJid) {
        let Some(turn) = self.line.remove(contact) else { return };
        let domain = registrable(contact.domain().as_str());
        if let Some(turns) = self.domains.get_mut(domain) {
            turns.remove(&turn);
            if turns.is_empty() {
                self.domains.remove(domain);
            }
        }
    }

    /// Takes out the newest contact whose domain's budget allows it. The caller must [`Budget::spend`] for the query.
    pub(crate) fn next(&mut self, now: Instant) -> Option<BareJid> {
        // At most as many have to wait as were queried lately.
        let allowed = self.domains.iter().filter(|(domain, _)| self.budget.allowed_at(domain, now) <= now);
        let newest = allowed.filter_map(|(_, turns)| turns.last()).max()?;
        let contact = self.line.with_turn(*newest)?.clone();
        self.remove(&contact);
        Some(contact)
    }

    /// When the next waiting contact may be queried.
    pub(crate) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.domains.keys().map(|domain| self.budget.allowed_at(domain, now)).min()
    }

    /// Who waits, and the budget spent.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.line.len() + self.budget.spent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Rate = Rate { at_once: 4, every: Duration::from_secs(10) };
    const ALL: Rate = Rate { at_once: 6, every: Duration::from_secs(1) };

    fn contact(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn put(queue: &mut Queue, domain: &str, count: usize) {
        (0..count).for_each(|n| queue.put(&contact(&format!("c{n}@{domain}"))));
    }

    /// Queries everything allowed until `end`; returns the contacts and the second of each query.
    fn ask(queue: &mut Queue, start: Instant, end: u64) -> Vec<(u64, String)> {
        let (mut now, mut asked) = (start, Vec::new());
        while now < start + Duration::from_secs(end) {
            while let Some(contact) = queue.next(now) {
                queue.budget.spend(&contact, now);
                asked.push(((now - start).as_secs(), contact.to_string()));
            }
            let Some(next) = queue.next_at(now) else { break };
            assert!(next > now, "what is allowed was taken");
            now = next;
        }
        asked
    }

    #[test]
    fn a_domain_has_so_many_at_once_and_then_one_so_often() {
        let mut queue = Queue::new(EACH, ALL);
        put(&mut queue, "one.example", 6);
        let asked = ask(&mut queue, Instant::now(), 100);
        let seconds: Vec<_> = asked.iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 10, 20]);
        assert!(queue.line.is_empty() && queue.domains.is_empty());
    }

    #[test]
    fn names_below_a_domain_share_its_budget_and_others_have_their_own() {
        let mut queue = Queue::new(EACH, ALL);
        (0..6).for_each(|n| queue.put(&contact(&format!("c@a{n}.evil.example"))));
        queue.put(&contact("friend@home.example"));
        (6..12).for_each(|n| queue.put(&contact(&format!("c@a{n}.evil.example"))));
        let asked = ask(&mut queue, Instant::now(), 5);
        assert_eq!(asked.len(), 5, "{asked:?}");
        assert_eq!(asked[4], (0, "friend@home.example".to_owned()));
    }

    #[test]
    fn all_together_have_a_budget_too() {
        let mut queue = Queue::new(EACH, ALL);
        (0..10).for_each(|n| queue.put(&contact(&format!("c@d{n}.example"))));
        let seconds: Vec<_> = ask(&mut queue, Instant::now(), 100).iter().map(|(at, _)| *at).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_newest_comes_first_and_nobody_waits_twice() {
        let mut queue = Queue::new(EACH, ALL);
        ["a@x.example", "b@y.example", "c@z.example", "a@x.example"]
            .iter()
            .for_each(|c| queue.put(&contact(c)));
        queue.remove(&contact("b@y.example"));
        let now = Instant::now();
        assert_eq!(queue.next(now), Some(contact("a@x.example")));
        assert_eq!(queue.next(now), Some(contact("c@z.example")));
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn what_is_not_urgent_leaves_half() {
        let (mut queue, now) = (Queue::new(EACH, ALL), Instant::now());
        let contact = contact("c@one.example");
        let mut spare = 0;
        while queue.budget.spare_at(&contact, now) <= now {
            queue.budget.spend(&contact, now);
            spare += 1;
        }
        assert_eq!((spare, queue.budget.spare_at(&contact, now) - now), (2, Duration::from_secs(10)));
        queue.put(&contact);
        assert_eq!(queue.next(now), Some(contact), "what is urgent has the rest");
    }

    #[test]
    fn who_has_rested_is_forgotten() {
        let (mut queue, mut now) = (Queue::new(EACH, ALL), Instant::now());
        for n in 0..1_000 {
            queue.budget.spend(&contact(&format!("c@d{n}.example")), now);
            now += Duration::from_secs(1);
        }
        assert!(queue.entries() <= 11, "{}", queue.entries());
    }
}
