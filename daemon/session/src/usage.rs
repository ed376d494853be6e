//! The total size of all contacts' devices and profiles, in memory and on disk. Each contact has its own bound; this one
//! stops a server that fills twenty thousand contacts up to it.

use std::time::{Duration, Instant};

use jid::BareJid;

use crate::people::People;
use crate::person::Person;
use crate::{Session, bounds};

/// Counting visits everybody.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// An estimate: too high rather than too low, until the next count.
pub(crate) struct Usage {
    size: Size,
    counted_at: Option<Instant>,
}

/// What people take, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Devices, summaries of profiles, and profiles that are not in the store yet.
    pub(crate) memory: usize,
    /// Profiles.
    pub(crate) disk: usize,
}

impl Size {
    fn of(jid: &BareJid, person: &Person) -> Self {
        Self {
            memory: person.online_bytes(jid) + person.profile.bytes(),
            disk: person.profile.stored_bytes(),
        }
    }

    fn of_all(people: &People) -> Self {
        people.everybody().fold(Self::default(), |sum, (jid, person)| {
            let Self { memory, disk } = Self::of(jid, person);
            Self { memory: sum.memory + memory, disk: sum.disk + disk }
        })
    }

    fn fits(self) -> bool {
        self.memory <= bounds::PEOPLE_BYTES && self.disk <= bounds::PROFILES_BYTES
    }
}

impl Usage {
    /// The size of those in the cache.
    pub(crate) fn of(people: &People) -> Self {
        Self { size: Size::of_all(people), counted_at: None }
    }
}

impl Session {
    /// A person's size before and after a change.
    pub(crate) fn usage_of(&self, jid: &BareJid) -> Size {
        self.people.person(jid).map_or(Size::default(), |person| Size::of(jid, person))
    }

    pub(crate) fn note_usage(&mut self, before: Size, after: Size) {
        let Size { memory, disk } = &mut self.usage.size;
        *memory = memory.saturating_add(after.memory).saturating_sub(before.memory);
        *disk = disk.saturating_add(after.disk).saturating_sub(before.disk);
    }

    /// Whether there is room for more devices.
    pub(crate) fn has_room_for_people(&mut self, now: Instant) -> bool {
        self.recount(now);
        self.usage.size.memory <= bounds::PEOPLE_BYTES
    }

    /// Whether there is room for more profiles.
    pub(crate) fn has_room_for_profiles(&mut self, now: Instant) -> bool {
        self.recount(now);
        self.usage.size.fits()
    }

    fn recount(&mut self, now: Instant) {
        let counted_lately = self.usage.counted_at.is_some_and(|at| now < at + COUNTED_EVERY);
        if !self.usage.size.fits() && !counted_lately {
            // Some leave without a presence to count: with their stream, or with the roster.
            self.usage = Usage { size: Size::of_all(&self.people), counted_at: Some(now) };
        }
    }
}

#[cfg(test)]
impl Usage {
    /// Pretends that memory or disk is full and has just been counted.
    pub(crate) fn full(now: Instant, memory: bool) -> Self {
        let (memory, disk) =
            if memory { (bounds::PEOPLE_BYTES + 1, 0) } else { (0, bounds::PROFILES_BYTES + 1) };
        Self { size: Size { memory, disk }, counted_at: Some(now) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.size.memory
    }
}
