//! One profile from three sources: queried in order of preference, until one has it.

use std::sync::Arc;
use std::time::Instant;

use jid::BareJid;

use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::model::{Profile, ProfileRecord};
use crate::request::VcardSource;
use crate::waiting::Awaited;
use crate::{Session, Step};

impl Session {
    /// Notes what one source says about a contact.
    pub(crate) fn note_profile(
        &mut self,
        owner: &BareJid,
        slot: impl Fn(&mut ProfileRecord) -> &mut Option<Arc<Profile>>,
        profile: Option<Profile>,
        now: Instant,
    ) {
        // Our own follows the limits for UIs.
        let is_ours = *owner == self.account;
        if profile.is_some() && !is_ours && !self.has_room_for_people(now) {
            return;
        }
        let bounded = |profile: Profile| if is_ours { profile } else { profile.bounded() };
        let profile = profile.map(bounded);
        let Some(person) = self.people.person(owner) else { return };
        // A login tells mostly what is known; only what is new makes work.
        if slot(&mut person.profile.clone()).as_deref() == profile.as_ref() {
            return;
        }
        let before = self.memory_of(owner);
        let Some(person) = self.people.edit(owner) else { return };
        *slot(&mut person.profile) = profile.map(Arc::new);
        self.people.save(owner);
        self.note_memory(before, self.memory_of(owner));
    }

    pub(crate) fn handle_load_profile(
        &mut self,
        call: Call,
        jid: BareJid,
        refresh: bool,
        step: &mut Step<'_>,
    ) {
        let Some(person) = self.people.person(&jid) else {
            return step.reply(call, Err(Failure::ContactUnknown));
        };
        match person.profile.best() {
            Some(profile) if !refresh => step.reply(call, Ok(Answer::Profile(Arc::clone(profile)))),
            _ if !self.connection.is_online() => step.reply(call, Err(Failure::Offline)),
            _ => {
                let asked = self.waiting.is_awaited(&Awaited::Profile(jid.clone()));
                if self.wait(call, Awaited::Profile(jid.clone()), step) && !asked {
                    self.ask_profile(jid, true, step);
                }
            }
        }
    }

    /// Whether a UI waits for it, so that it has been requested.
    pub(crate) fn is_profile_awaited(&self, jid: &BareJid) -> bool {
        self.waiting.is_awaited(&Awaited::Profile(jid.clone()))
    }

    /// `on_request`: a UI waits for it, so the old vCard is queried too.
    pub(crate) fn ask_profile(&mut self, jid: BareJid, on_request: bool, step: &mut Step<'_>) {
        self.ask_vcard(jid, VcardSource::Vcard4, on_request, step);
    }

    /// After querying `source`: the next, if there is still nothing to show.
    pub(crate) fn ask_next_profile(
        &mut self,
        jid: BareJid,
        source: VcardSource,
        on_request: bool,
        step: &mut Step<'_>,
    ) {
        let known = self.people.person(&jid).map(|person| &person.profile);
        match source {
            VcardSource::Vcard4 if known.is_some_and(|known| known.vcard4.is_none()) => {
                self.ask_vcard(jid, VcardSource::Prose, on_request, step);
            }
            VcardSource::Prose if on_request && known.is_some_and(|known| known.prose.is_none()) => {
                self.ask_vcard_temp(jid, on_request, None, step);
            }
            // Lookups that a UI asked for run separately, and go further.
            _ if !on_request => {}
            _ => self.answer_profile(jid, None, step),
        }
    }

    /// Callers that wait for the profile get what there is.
    pub(crate) fn answer_profile(&mut self, jid: BareJid, failure: Option<Failure>, step: &mut Step<'_>) {
        let person = self.people.person(&jid);
        let best = person.and_then(|person| person.profile.best()).cloned();
        let result = match (failure, best) {
            (Some(failure), _) => Err(failure),
            (None, Some(profile)) => Ok(Answer::Profile(profile)),
            (None, None) if person.is_none() => Err(Failure::ContactUnknown),
            (None, None) => Err(Failure::NotFound),
        };
        self.answer_waiting(&Awaited::Profile(jid), &result, step);
    }
}
