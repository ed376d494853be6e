//! When unavailable contacts were last known to be available.
//!
//! That is when their last device left, by our clock or the server's timestamp (XEP-0203 §4), or when we lost sight
//! of them, if that was earlier. It never goes back. Writes are deferred to a few times an hour: a contact who keeps
//! coming and going causes no more of them than others. After a crash the time may be too old, never too new.

use std::collections::BTreeSet;
use std::time::Instant;

use jid::BareJid;

use crate::effect::Write;
use crate::time::Timestamp;
use crate::{Session, Step, bounds};

/// Jabber was announced on 4 January 1999: nobody was online before.
const EARLIEST: Timestamp = Timestamp(915_408_000_000);

#[derive(Default)]
pub(crate) struct State {
    /// Contacts whose time is not yet being written, and when it must be.
    unsaved: BTreeSet<BareJid>,
    save_at: Option<Instant>,
    /// When we lost sight of everybody.
    lost_at: Option<Timestamp>,
}

impl State {
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.unsaved.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.save_at
    }

    /// The stream is lost: from here on we don't see what contacts do.
    pub(crate) fn lose_sight(&mut self, now: Timestamp) {
        self.lost_at.get_or_insert(now);
    }

    /// We see them again, and have missed nothing or dealt with what was missed.
    pub(crate) fn regain_sight(&mut self) {
        self.lost_at = None;
    }

    /// Until when contacts were available that we have not seen leave.
    pub(crate) fn in_sight_until(&self, now: Timestamp) -> Timestamp {
        self.lost_at.unwrap_or(now)
    }

    /// A JID is no longer a contact.
    pub(crate) fn forget_contact(&mut self, jid: &BareJid) {
        self.unsaved.remove(jid);
    }
}

impl Session {
    /// They were available at that time. The latest time wins.
    pub(crate) fn note_last_seen(&mut self, jid: &BareJid, at: Timestamp, now: Instant) {
        let Some(person) = self.people.edit(jid).filter(|person| person.item.is_some()) else { return };
        if at >= EARLIEST && person.last_seen.is_none_or(|known| known < at) {
            person.last_seen = Some(at);
            self.last_seen.unsaved.insert(jid.clone());
            self.last_seen.save_at.get_or_insert(now + bounds::LAST_SEEN_SAVED_EVERY);
        }
    }

    pub(crate) fn save_last_seen(&mut self, step: &mut Step<'_>) {
        let is_due = self.last_seen.save_at.is_some_and(|at| at <= step.now.monotonic);
        if is_due || self.must_save_now() {
            self.last_seen.save_at = None;
            let unsaved = std::mem::take(&mut self.last_seen.unsaved).into_iter();
            let people = &self.people;
            let times: Vec<_> =
                unsaved.filter_map(|jid| Some((people.person(&jid)?.last_seen?, jid))).collect();
            if !times.is_empty() {
                step.save(Write::LastSeen(times.into_iter().map(|(at, jid)| (jid, at)).collect()));
            }
        }
    }
}
