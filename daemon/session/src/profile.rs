//! One profile from three sources: queried in order of preference, until one has it. Memory has its summary; the whole
//! is read from the store when a UI asks for it.

use std::sync::Arc;
use std::time::Instant;

use jid::BareJid;

use crate::command::{Answer, Call};
use crate::effect::{Query, StoreFailed};
use crate::failure::Failure;
use crate::known_profile::{KnownProfile, KnownProfiles};
use crate::model::{Profile, ProfileRecord};
use crate::request::VcardSource;
use crate::waiting::Awaited;
use crate::{Session, Step};

impl Session {
    /// Notes what one source says about a contact.
    pub(crate) fn note_profile(
        &mut self,
        owner: &BareJid,
        slot: impl Fn(&mut KnownProfiles) -> &mut KnownProfile,
        profile: Option<Profile>,
        now: Instant,
    ) {
        // Our own follows the limits for UIs.
        let is_ours = *owner == self.account;
        if profile.is_some() && !is_ours && !self.has_room_for_profiles(now) {
            return;
        }
        let bounded = |profile: Profile| if is_ours { profile } else { profile.bounded() };
        let profile = profile.map(bounded).map(|profile| (self.people.summary(&profile, is_ours), profile));
        // A login tells mostly what is known; only what is new makes work.
        let known = self.people.profiles(owner).map(&slot);
        if known.is_none_or(|known| known.is_known_to_be(profile.as_ref().map(|(summary, _)| summary))) {
            return;
        }
        let before = self.usage_of(owner);
        let Some(person) = self.people.edit(owner) else { return };
        slot(&mut person.profile).set(profile);
        self.people.save(owner);
        self.note_usage(before, self.usage_of(owner));
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
        match person.profile.best().filter(|_| !refresh) {
            Some(KnownProfile::Lost(_)) if self.connection.is_online() => {
                self.load_from_server(call, jid, step)
            }
            // Offline, a store that failed before may be back.
            Some(KnownProfile::Stored(_) | KnownProfile::Lost(_)) => {
                if self.wait(call, Awaited::StoredProfile(jid.clone()), step) {
                    self.read(Query::Profile(jid), step);
                }
            }
            known => match known.and_then(KnownProfile::whole) {
                Some(whole) => step.reply(call, Ok(Answer::Profile(Arc::clone(whole)))),
                None if !self.connection.is_online() => step.reply(call, Err(Failure::Offline)),
                None => self.load_from_server(call, jid, step),
            },
        }
    }

    fn load_from_server(&mut self, call: Call, jid: BareJid, step: &mut Step<'_>) {
        let asked = self.is_profile_awaited(&jid);
        if self.wait(call, Awaited::Profile(jid.clone()), step) && !asked {
            self.ask_profile(jid, true, step);
        }
    }

    /// What the store has, for the callers who wait for it. If that is not what memory knows (a write was lost, or the
    /// cache was set aside), the server is queried.
    pub(crate) fn handle_stored_profile(
        &mut self,
        jid: BareJid,
        found: Result<Option<ProfileRecord>, StoreFailed>,
        step: &mut Step<'_>,
    ) {
        let awaited = Awaited::StoredProfile(jid.clone());
        let failure = if found.is_err() { Failure::StorageFailed } else { Failure::Offline };
        match self.people.whole_profile(&jid, found.ok().flatten().unwrap_or_default()) {
            Some(profile) => self.answer_waiting(&awaited, &Ok(Answer::Profile(profile)), step),
            None if !self.people.contains(&jid) => {
                self.answer_waiting(&awaited, &Err(Failure::ContactUnknown), step);
            }
            None if !self.connection.is_online() => self.answer_waiting(&awaited, &Err(failure), step),
            None if self.waiting.is_awaited(&awaited) => {
                let asked = self.is_profile_awaited(&jid);
                let from_server = Awaited::Profile(jid.clone());
                self.waiting.wait_instead(&awaited, &from_server);
                if !asked {
                    self.ask_profile(jid, true, step);
                }
            }
            None => {}
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
            VcardSource::Vcard4 if known.is_some_and(|known| !known.vcard4.is_known()) => {
                self.ask_vcard(jid, VcardSource::Prose, on_request, step);
            }
            VcardSource::Prose if on_request && known.is_some_and(|known| !known.prose.is_known()) => {
                self.ask_vcard_temp(jid, on_request, None, step);
            }
            // Lookups that a UI asked for run separately, and go further.
            _ if !on_request => {}
            _ => self.answer_profile(jid, None, step),
        }
    }

    /// Callers that wait for the profile get what there is.
    pub(crate) fn answer_profile(&mut self, jid: BareJid, failure: Option<Failure>, step: &mut Step<'_>) {
        let awaited = Awaited::Profile(jid.clone());
        let person = self.people.person(&jid);
        let best = person.and_then(|person| person.profile.best());
        let result = match (failure, best) {
            (Some(failure), _) => Err(failure),
            (None, Some(KnownProfile::Stored(_))) => {
                // The server has said nothing new.
                if self.waiting.is_awaited(&awaited) {
                    let stored = Awaited::StoredProfile(jid.clone());
                    self.waiting.wait_instead(&awaited, &stored);
                    self.read(Query::Profile(jid), step);
                }
                return;
            }
            (None, Some(known)) => match known.whole() {
                Some(whole) => Ok(Answer::Profile(Arc::clone(whole))),
                None => Err(Failure::StorageFailed),
            },
            (None, None) if person.is_none() => Err(Failure::ContactUnknown),
            (None, None) => Err(Failure::NotFound),
        };
        self.answer_waiting(&awaited, &result, step);
    }
}
