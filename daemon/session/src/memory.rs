//! The total size of all contacts' devices and profiles. Each contact has its own bound; this one stops a server that
//! fills twenty thousand contacts up to it.

use std::time::{Duration, Instant};

use jid::BareJid;

use crate::people::{People, Person};
use crate::{Session, bounds};

/// Counting visits everybody.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// An estimate: too high rather than too low, until the next count.
pub(crate) struct MemoryUse {
    bytes: usize,
    counted_at: Option<Instant>,
}

fn of(jid: &BareJid, person: &Person) -> usize {
    person.online_bytes(jid) + person.profile.bytes()
}

impl MemoryUse {
    /// The size of those in the cache.
    pub(crate) fn of(people: &People) -> Self {
        Self { bytes: count(people), counted_at: None }
    }
}

fn count(people: &People) -> usize {
    people.everybody().map(|(jid, person)| of(jid, person)).sum()
}

impl Session {
    /// A person's size before and after a change.
    pub(crate) fn memory_of(&self, jid: &BareJid) -> usize {
        self.people.person(jid).map_or(0, |person| of(jid, person))
    }

    pub(crate) fn note_memory(&mut self, before: usize, after: usize) {
        self.memory.bytes = self.memory.bytes.saturating_add(after).saturating_sub(before);
    }

    /// Whether there is room for more devices and profiles.
    pub(crate) fn has_room_for_people(&mut self, now: Instant) -> bool {
        let counted_lately = self.memory.counted_at.is_some_and(|at| now < at + COUNTED_EVERY);
        if self.memory.bytes > bounds::PEOPLE_BYTES && !counted_lately {
            // Some leave without a presence to count: with their stream, or with the roster.
            self.memory.bytes = count(&self.people);
            self.memory.counted_at = Some(now);
        }
        self.memory.bytes <= bounds::PEOPLE_BYTES
    }
}

#[cfg(test)]
impl MemoryUse {
    /// Pretends that everything is full and has just been counted.
    pub(crate) fn full(now: Instant) -> Self {
        Self { bytes: bounds::PEOPLE_BYTES + 1, counted_at: Some(now) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
