//! What the server has not pushed by itself is asked for: avatars and profiles of which nothing
//! is known, once login has settled, a few at a time, each at most once a day.
//!
//! Prosody pushes everybody's last items (XEP-0163 §4.3.2); ejabberd those of contacts who are
//! online, at best.

use std::time::Duration;

use jid::BareJid;

use crate::contact::Subscription;
use crate::people::Person;
use crate::questions::{Kind, Question};
use crate::time::Timestamp;
use crate::{Session, Turn, bounds};

impl Session {
    /// Looks for who is missing something, and begins to ask.
    pub(crate) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        for (jid, person) in self.people.everybody() {
            if publishes_to_us(person) && is_due(person, turn.now.wall) && lacks(person) != (false, false) {
                self.questions.put(jid, Kind::Missing);
            }
            // Named on a stream that ended before it came.
            if let Some(id) = person.wanted_avatar() {
                self.images.want(id, jid.clone());
                self.questions.put(jid, Kind::Avatar);
            }
            if person.photo.is_some() {
                self.questions.put(jid, Kind::Photo);
            }
        }
        self.ask_on(turn);
    }

    /// Asks whoever's turn it is, as many as may be in flight.
    pub(crate) fn ask_on(&mut self, turn: &mut Turn<'_>) {
        while self.connection.is_online() {
            let Some(question) = self.questions.next(self.images.saving()) else { return };
            match question.kind {
                Kind::Avatar => self.ask_for_avatar(question, turn),
                Kind::Caps => self.ask_for_caps(question, turn),
                Kind::Missing => self.ask_for_missing(question, turn),
                Kind::Photo => self.ask_for_photo(question, turn),
            }
        }
    }

    /// What has come by now is not asked for.
    fn ask_for_missing(&mut self, question: Question, turn: &mut Turn<'_>) {
        let jid = question.contact.clone();
        let Some((avatar, profile)) = self.people.person(&jid).map(lacks) else { return };
        if avatar || profile {
            self.note_asked(&jid, turn);
        }
        match avatar {
            true => self.ask_avatar_metadata(jid.clone(), Some(question), turn),
            false => self.questions.put(&jid, Kind::Photo),
        }
        if profile {
            self.ask_profile(jid, false, turn);
        }
    }

    /// Who only stood in the queue when a stream ended is asked on the next.
    fn note_asked(&mut self, jid: &BareJid, turn: &mut Turn<'_>) {
        let Some(person) = self.people.edit(jid) else { return };
        if is_due(person, turn.now.wall) {
            person.asked_at = Some(turn.now.wall);
            self.people.save(jid);
        }
    }
}

/// Whether their avatar, and whether their profile is unknown.
fn lacks(person: &Person) -> (bool, bool) {
    (person.avatar.is_none(), person.profile.vcard4.is_none() && person.profile.prose.is_none())
}

/// Contacts whose presence we may see, and ourselves.
fn publishes_to_us(person: &Person) -> bool {
    person.item.as_ref().is_none_or(|item| matches!(item.subscription, Subscription::To | Subscription::Both))
}

fn is_due(person: &Person, now: Timestamp) -> bool {
    person.asked_at.is_none_or(|at| {
        let since = Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(u64::MAX));
        since >= bounds::CATCH_UP_EVERY
    })
}
