//! One picture from two sources: a XEP-0084 avatar, else the picture of the old vCard.

use std::time::Instant;

use jid::BareJid;

use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::lookups::Kind;
use crate::model::{AvatarRecord, Declared};
use crate::person::Person;
use crate::waiting::Awaited;
use crate::{Session, Step};

impl Session {
    pub(crate) fn handle_load_avatar(&mut self, call: Call, jid: BareJid, step: &mut Step<'_>) {
        let Some(person) = self.people.person(&jid) else {
            return step.reply(call, Err(Failure::ContactUnknown));
        };
        match (&person.avatar, person.shown) {
            (_, Some(shown)) => step.reply(call, Ok(Answer::Avatar(shown))),
            (Declared::Absent, None) => step.reply(call, Err(Failure::NotFound)),
            _ if !self.connection.is_online() => step.reply(call, Err(Failure::Offline)),
            (Declared::Present(AvatarRecord { id, legacy, .. }), None) => {
                let (id, legacy) = (*id, *legacy);
                let is_coming = match legacy {
                    true => self.is_avatar_on_its_way(&jid),
                    // It may only be waiting for the contact's turn; a UI does not wait for that.
                    false => self.is_image_coming_from(&id, &jid),
                };
                if self.wait(call, Awaited::Avatar(jid.clone()), step) && !is_coming {
                    if legacy {
                        self.want_image(id, jid.clone());
                        self.ask_vcard_temp(jid, false, None, step);
                    } else {
                        self.fetch_avatar(jid, id, None, step);
                    }
                }
            }
            (Declared::Unknown, None) => {
                let asked = self.waiting.is_awaited(&Awaited::Avatar(jid.clone()));
                if self.wait(call, Awaited::Avatar(jid.clone()), step) && !asked {
                    self.ask_avatar_metadata(jid, None, step);
                }
            }
        }
    }

    /// Whether to fetch a contact's picture now. If they keep changing it, this waits and then fetches the newest; a
    /// UI does not wait.
    pub(crate) fn may_fetch(&mut self, owner: &BareJid, step: &Step<'_>) -> bool {
        let now = step.now.monotonic;
        let may = self.is_avatar_awaited(owner) || self.fetches.admits(owner, now);
        if may {
            self.fetches.done(owner, now);
        }
        may
    }

    /// Lines up the pictures of those who have waited long enough.
    pub(crate) fn fetch_what_waited(&mut self, now: Instant) {
        if self.fetches.is_due(now) {
            for jid in self.fetches.take_waiting() {
                self.stream.lookups.put(&jid, Kind::Avatar);
                self.stream.lookups.put(&jid, Kind::Photo);
            }
        }
    }

    /// Whether a UI waits for it, so that it has been requested.
    pub(crate) fn is_avatar_awaited(&self, jid: &BareJid) -> bool {
        self.waiting.is_awaited(&Awaited::Avatar(jid.clone()))
    }

    pub(crate) fn is_avatar_on_its_way(&self, jid: &BareJid) -> bool {
        let id = self.people.person(jid).and_then(Person::avatar_id);
        id.is_some_and(|id| self.is_image_wanted(&id, jid))
    }

    /// News about a contact's avatar may be what a call waits for.
    pub(crate) fn answer_with_avatar(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        let is_clear = self.people.person(jid).is_some_and(|person| match &person.avatar {
            Declared::Present(record) => record.image.is_some(),
            Declared::Absent => true,
            Declared::Unknown => false,
        });
        if is_clear && self.waiting.is_awaited(&Awaited::Avatar(jid.clone())) {
            self.conclude_avatar(jid.clone(), None, step);
        }
    }

    /// The avatar's owner has answered. If there is none, the old picture may do; callers get what there is, unless
    /// it is in flight. `failure`: why the owner has not answered.
    pub(crate) fn conclude_avatar(&mut self, jid: BareJid, failure: Option<Failure>, step: &mut Step<'_>) {
        if self.waiting.is_awaited(&Awaited::Avatar(jid.clone())) {
            self.fall_back_to_photo(&jid, None, step);
        } else if self.people.person(&jid).is_some_and(|person| person.photo.is_some()) {
            self.stream.lookups.put(&jid, Kind::Photo);
        }
        if !self.is_avatar_on_its_way(&jid) {
            let shown = self.people.person(&jid).and_then(|person| person.shown);
            let result = shown.map(Answer::Avatar).ok_or(failure.unwrap_or(Failure::NotFound));
            self.answer_waiting(&Awaited::Avatar(jid), &result, step);
        }
    }
}
