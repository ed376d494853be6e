//! What the devices and profiles of all contacts take together. Each contact has a bound of their own; a
//! server that fills twenty thousand contacts to it is stopped by this one.

use std::time::{Duration, Instant};

use jid::BareJid;

use crate::people::{People, Person};
use crate::{Session, bounds};

/// A count looks at everybody.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// As far as it is known: too much rather than too little, until it is counted again.
pub(crate) struct Weight {
    bytes: usize,
    counted_at: Option<Instant>,
}

fn of(jid: &BareJid, person: &Person) -> usize {
    person.online_bytes(jid) + person.profile.bytes()
}

impl Weight {
    /// What those take whom the cache knows.
    pub(crate) fn of(people: &People) -> Self {
        Self { bytes: count(people), counted_at: None }
    }
}

fn count(people: &People) -> usize {
    people.everybody().map(|(jid, person)| of(jid, person)).sum()
}

impl Session {
    /// What somebody takes, before and after they change.
    pub(crate) fn weigh(&self, jid: &BareJid) -> usize {
        self.people.person(jid).map_or(0, |person| of(jid, person))
    }

    pub(crate) fn note_weight(&mut self, before: usize, after: usize) {
        self.weight.bytes = self.weight.bytes.saturating_add(after).saturating_sub(before);
    }

    /// Whether there is room for more of anybody's devices and profiles.
    pub(crate) fn has_room_for_people(&mut self, now: Instant) -> bool {
        let counted_lately = self.weight.counted_at.is_some_and(|at| now < at + COUNTED_EVERY);
        if self.weight.bytes > bounds::PEOPLE_BYTES && !counted_lately {
            // Some leave without a presence that would be weighed: with their stream, or with the roster.
            self.weight.bytes = count(&self.people);
            self.weight.counted_at = Some(now);
        }
        self.weight.bytes <= bounds::PEOPLE_BYTES
    }
}

#[cfg(test)]
impl Weight {
    /// As if all had taken what there is, and it had been counted just now.
    pub(crate) fn full(now: Instant) -> Self {
        Self { bytes: bounds::PEOPLE_BYTES + 1, counted_at: Some(now) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
