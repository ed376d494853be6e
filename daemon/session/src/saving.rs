//! What is known of people goes to the cache at the end of a turn, each once, however often it has changed;
//! of a contact who never rests, once in a while ([`Pace`]). A crash loses some seconds of what the server
//! can give again.
//!
//! [`Pace`]: crate::pace::Pace

use crate::effect::Write;
use crate::{Session, Turn};

impl Session {
    pub(crate) fn save_people(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        let everybody = self.saves.is_due(now) || self.connection.must_save_now();
        let saves = &mut self.saves;
        let may_be_saved = |jid: &_| {
            let now_is_their_turn = everybody || saves.admits(jid, now);
            if now_is_their_turn {
                saves.done(jid, now);
            }
            now_is_their_turn
        };
        let all_are_saved = self.people.save_those(may_be_saved, turn);
        if everybody {
            self.saves.done_for_all();
        }
        if all_are_saved {
            self.images.take_unused().into_iter().for_each(|id| turn.save(Write::ImageUnused { id }));
        }
    }
}
