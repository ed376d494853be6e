//! What the server has not pushed by itself is asked for: avatars and profiles of which nothing
//! is known, once login has settled, a few at a time, each at most once a day.
//!
//! Prosody pushes everybody's last items (XEP-0163 §4.3.2); ejabberd those of contacts who are
//! online, at best.

use std::collections::VecDeque;
use std::time::Duration;

use jid::BareJid;

use crate::contact::Subscription;
use crate::pending::Request;
use crate::people::Person;
use crate::snapshot::AvatarRecord;
use crate::time::Timestamp;
use crate::{Session, Turn, bounds};

#[derive(Default)]
pub(crate) struct State {
    queue: VecDeque<(BareJid, Question)>,
}

enum Question {
    Avatar,
    Profile,
    Photo,
}

impl Session {
    /// Looks for who is missing something, and begins to ask.
    pub(crate) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        for (jid, person) in self.people.everybody() {
            if !publishes_to_us(person) || !is_due(person, turn.now.wall) {
                continue;
            }
            if person.avatar.is_none() {
                self.catchup.queue.push_back((jid.clone(), Question::Avatar));
            }
            if person.profile.vcard4.is_none() && person.profile.prose.is_none() {
                self.catchup.queue.push_back((jid.clone(), Question::Profile));
            }
        }
        // Named on a stream that ended before they came.
        let unsaved = self.people.everybody().filter_map(|(jid, person)| match &person.avatar {
            Some(Some(AvatarRecord { id, image: None, legacy: false })) => Some((jid.clone(), *id)),
            _ => None,
        });
        for (jid, id) in unsaved.collect::<Vec<_>>() {
            self.fetch_avatar(jid, id, turn);
        }
        let photos: Vec<BareJid> = self
            .people
            .everybody()
            .filter(|(_, person)| person.photo.is_some())
            .map(|(jid, _)| jid.clone())
            .collect();
        self.catchup.queue.extend(photos.into_iter().map(|jid| (jid, Question::Photo)));
        self.ask_on(turn);
    }

    /// Whatever waits for a place among the requests in flight takes it.
    pub(crate) fn ask_on(&mut self, turn: &mut Turn<'_>) {
        if !self.connection.is_online() {
            return;
        }
        self.fetch_avatars(turn);
        self.ask_caps(turn);
        while self.pending.count(is_ours) < bounds::CATCH_UP_IN_FLIGHT {
            match self.catchup.queue.pop_front() {
                Some((jid, Question::Avatar)) => {
                    self.note_asked(&jid, turn);
                    self.ask_avatar_metadata(jid, turn);
                }
                Some((jid, Question::Profile)) => {
                    self.note_asked(&jid, turn);
                    self.ask_profile(jid, false, turn);
                }
                Some((jid, Question::Photo)) => self.fall_back_to_photo(&jid, turn),
                None => return,
            }
        }
    }

    /// Who only stood in the queue when a stream ended is asked on the next.
    fn note_asked(&mut self, jid: &BareJid, turn: &mut Turn<'_>) {
        let Some(person) = self.people.edit(jid) else { return };
        if is_due(person, turn.now.wall) {
            person.asked_at = Some(turn.now.wall);
            self.people.save(jid, turn);
        }
    }
}

fn is_ours(request: &Request) -> bool {
    matches!(request, Request::AvatarMetadata { .. } | Request::Vcard { .. } | Request::VcardTemp { .. })
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
