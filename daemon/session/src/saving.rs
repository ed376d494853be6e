//! What is known about people goes to the cache at the end of a step, each person once, however often they changed; a
//! contact who keeps changing is saved once per interval ([`Throttle`]). A crash loses some seconds of data that the
//! server can send again. A profile stays in memory until the store has it.
//!
//! [`Throttle`]: crate::throttle::Throttle

use crate::effect::{StoreFailed, Ticket, Write};
use crate::{Session, Step};

impl Session {
    pub(crate) fn save_people(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let everybody = self.saves.is_due(now) || self.must_save_now();
        let saves = &mut self.saves;
        let may_be_saved = |jid: &_| {
            let now_is_their_turn = everybody || saves.admits(jid, now);
            if now_is_their_turn {
                saves.done(jid, now);
            }
            now_is_their_turn
        };
        let all_are_saved = self.people.save_those(may_be_saved, step);
        if everybody {
            self.saves.done_for_all();
        }
        if all_are_saved {
            for id in self.images.take_unused() {
                step.save(Write::ImageUnused { id });
            }
        }
    }

    pub(crate) fn handle_person_saved(&mut self, ticket: Ticket, result: Result<(), StoreFailed>) {
        let Some(jid) = self.people.take_saved(ticket) else { return };
        let before = self.usage_of(&jid);
        self.people.were_saved(&jid, ticket, result.is_ok());
        self.note_usage(before, self.usage_of(&jid));
    }
}
