//! RFC 6121 §4: presence, contacts' and our own. XEP-0319 (idle since), XEP-0203 (delay).
//!
//! Kept for the session only: yesterday's presence means nothing. When contacts left is in `last_seen.rs`. Left out:
//! sending directed presence (§4.6).

use std::time::Instant;

use jid::{BareJid, Jid};
use minidom::Element;
use xmpp_parsers::date::DateTime;
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Show, Type};

use crate::command::{Answer, Call};
use crate::dropped::What;
use crate::effect::{StoreFailed, Ticket, Write};
use crate::failure::Failure;
use crate::model::{Availability, OwnPresence};
use crate::person::{self, Online, Person};
use crate::time::{Now, Timestamp};
use crate::xml::{fitting, some_text};
use crate::{Session, Step, bounds};

/// Until prosed stores messages, the server must: it delivers them, and then deletes them, only to resources with a
/// non-negative priority (RFC 6121 §8.5.2).
const PRIORITY: i8 = -1;

pub(crate) struct State {
    own: OwnPresence,
    /// From set_presence, and not on disk yet.
    saving: Vec<(Ticket, Call, OwnPresence)>,
}

#[derive(Default)]
pub(crate) struct PerStream {
    /// When contacts' presences are forgotten: the connection has been lost for too long.
    kept_until: Option<Instant>,
    /// Our initial presence (§4.2), while we are available.
    initial: Option<Initial>,
}

/// The server's answers to our initial presence are the existing state, not news.
struct Initial {
    sent_at: Timestamp,
    /// See [`bounds::INITIAL_PRESENCES`].
    answered_until: Instant,
}

impl State {
    pub(crate) fn new(own: OwnPresence) -> Self {
        Self { own, saving: Vec::new() }
    }

    pub(crate) fn own(&self) -> &OwnPresence {
        &self.own
    }

    /// §4.5.
    pub(crate) fn farewell(&self) -> Presence {
        let mut presence = Presence::unavailable();
        presence.priority.0 = PRIORITY;
        presence
    }

    pub(crate) fn take_saved(&mut self, ticket: Ticket) -> Option<(Call, OwnPresence)> {
        let at = self.saving.iter().position(|(saving, ..)| *saving == ticket)?;
        let (_, call, presence) = self.saving.remove(at);
        Some((call, presence))
    }
}

impl PerStream {
    /// We are no longer available.
    pub(crate) fn end_initial(&mut self) {
        self.initial = None;
    }

    /// Whether the first presence of a device, given its age, answers our initial presence. A device that comes
    /// online within that time looks the same.
    fn is_initial(&self, since: Timestamp, now: Now) -> bool {
        self.initial
            .as_ref()
            .is_some_and(|initial| since < initial.sent_at || now.monotonic < initial.answered_until)
    }

    pub(crate) fn keep_until(&mut self, at: Instant) {
        self.kept_until = Some(at);
    }

    pub(crate) fn keep(&mut self) {
        self.kept_until = None;
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.kept_until
    }
}

/// §4.2.1, as set by `set_presence`.
pub(crate) fn available(own: &OwnPresence) -> Presence {
    let mut presence = Presence::available();
    presence.show = match own.availability {
        Availability::Chat => Some(Show::Chat),
        Availability::Away => Some(Show::Away),
        Availability::Xa => Some(Show::Xa),
        Availability::Dnd => Some(Show::Dnd),
        Availability::Available | Availability::Unavailable => None,
    };
    if let Some(status) = &own.status {
        presence.set_status("", status.clone());
    }
    presence.priority.0 = own.priority.unwrap_or(PRIORITY).min(PRIORITY);
    presence
}

fn read(presence: &Presence, now: Timestamp) -> Online {
    let status = presence.statuses.get("").or_else(|| presence.statuses.values().next());
    Online {
        availability: match presence.show {
            None => Availability::Available,
            Some(Show::Away) => Availability::Away,
            Some(Show::Chat) => Availability::Chat,
            Some(Show::Dnd) => Availability::Dnd,
            Some(Show::Xa) => Availability::Xa,
        },
        status: status.and_then(|status| some_text(status, bounds::TEXT_CHARS)),
        priority: presence.priority.0,
        since: stamp(presence, "delay", ns::DELAY, "stamp", now).unwrap_or(now),
        idle_since: stamp(presence, "idle", ns::IDLE, "since", now),
        caps: None,
        caps_bytes: 0,
        is_clueless: false,
        client: None,
        stale: false,
    }
}

/// A time claimed by a peer or server; never in the future.
fn stamp(presence: &Presence, name: &str, ns: &str, attribute: &str, now: Timestamp) -> Option<Timestamp> {
    let element: &Element = presence.payloads.iter().find(|payload| payload.is(name, ns))?;
    let time: DateTime = element.attr(attribute)?.parse().ok()?;
    Some(Timestamp(time.0.timestamp_millis()).min(now))
}

impl Session {
    /// Presence from a contact, or from another device of ours.
    pub(crate) fn note_presence(&mut self, from: &Jid, presence: &Presence, step: &mut Step<'_>) {
        self.stream.startup.prolong(step.now.monotonic);
        let bare = from.to_bare();
        let is_bare = from.is_bare();
        let resource = person::resource(from);
        match presence.type_ {
            // Our own account only has devices.
            Type::None if is_bare && bare == self.account => {}
            Type::None => {
                let Some(person) = self.people.edit(&bare) else { return };
                let mut online = read(presence, step.now.wall);
                let mut before = person.online.remove(resource);
                let is_first = !person.has_left && before.as_ref().is_none_or(|before| before.stale);
                let is_initial = is_first && self.stream.presence.is_initial(online.since, step.now);
                if let Some(before) = &mut before {
                    (online.caps, online.client) = (before.caps.take(), before.client.take());
                    (online.caps_bytes, online.is_clueless) = (before.caps_bytes, before.is_clueless);
                }
                let status = online.status.take();
                let taken = person.online_bytes(&bare) + online.bytes(&bare, resource);
                let is_too_much =
                    taken > bounds::ONLINE_BYTES || person.online.len() >= bounds::RESOURCES_PER_JID;
                if before.is_none() && is_too_much {
                    return self.dropped.note(What::Devices, step.now);
                }
                let room = bounds::ONLINE_BYTES.saturating_sub(taken);
                online.status =
                    status.and_then(|status| some_text(fitting(&status, room), bounds::TEXT_CHARS));
                // An unchanged presence keeps its age.
                if let Some(before) = before.filter(|before| online.says_the_same_as(before)) {
                    online.since = before.since;
                }
                person.online.insert(resource.to_owned(), online);
                if is_initial {
                    self.people.note_initial(&bare);
                }
            }
            // From the bare JID: for all their resources (§4.5.4).
            Type::Unavailable if is_bare => {
                let Some(person) = self.people.edit(&bare) else { return };
                person.has_left = true;
                let gone = std::mem::take(&mut person.online);
                if gone.values().any(|online| online.stale) {
                    self.people.note_initial(&bare);
                }
                for (resource, online) in &gone {
                    self.stream.caps.forget_device(&bare, resource, online);
                }
                self.note_left(&bare, presence, gone.values(), step);
            }
            // An error is about something that was sent to this address. From a bare JID it says nothing about
            // devices, only about a gateway that uses that JID and cannot log in (XEP-0100 §4.4.2).
            Type::Error if !is_bare => {}
            Type::Unavailable | Type::Error => {
                let Some(person) = self.people.edit(&bare) else { return };
                person.has_left = true;
                let gone = person.online.remove(resource);
                if let Some(online) = &gone {
                    if online.stale {
                        self.people.note_initial(&bare);
                    }
                    self.stream.caps.forget_device(&bare, resource, online);
                }
                self.note_left(&bare, presence, gone.iter(), step);
            }
            _ => {}
        }
    }

    /// A contact whose last device left was available until now, or until the server's timestamp (§4.3.2, XEP-0203).
    /// One who was not available gets only the timestamp.
    fn note_left<'a>(
        &mut self,
        jid: &BareJid,
        presence: &Presence,
        gone: impl Iterator<Item = &'a Online>,
        step: &Step<'_>,
    ) {
        if self.people.person(jid).is_none_or(|person| !person.online.is_empty()) {
            return;
        }
        let now = step.now.wall;
        let stamp = stamp(presence, "delay", ns::DELAY, "stamp", now);
        // They were available when they last said so, whatever is reported later.
        let seen = gone.map(|online| match online.stale {
            true => (online.since, self.last_seen.in_sight_until(now)),
            false => (online.since, now),
        });
        let at = match seen.max() {
            Some((since, until)) => Some(stamp.unwrap_or(until).max(since)),
            None => stamp,
        };
        if let Some(at) = at {
            self.note_last_seen(jid, at, step.now.monotonic);
        }
    }

    pub(crate) fn handle_set_presence(&mut self, call: Call, presence: OwnPresence, step: &mut Step<'_>) {
        // What could never be sent is not stored.
        if let Err(failure) = step.measure(&self.full_presence(&presence).into()) {
            return step.reply(call, Err(failure));
        }
        let ticket = step.save(Write::OwnPresence(presence.clone()));
        self.presence.saving.push((ticket, call, presence));
    }

    /// It applies once it is on disk: what could not be stored is never sent.
    pub(crate) fn handle_presence_saved(
        &mut self,
        (call, presence): (Call, OwnPresence),
        saved: Result<(), StoreFailed>,
        step: &mut Step<'_>,
    ) {
        if saved.is_err() {
            step.reply(call, Err(Failure::StorageFailed));
            return;
        }
        self.presence.own = presence;
        // Before the initial presence there is nothing to replace, and that will say the same.
        if self.connection.is_hopeful() && self.stream.startup.is_announced() {
            self.send_presence(step);
        }
        step.reply(call, Ok(Answer::Done));
    }

    pub(crate) fn handle_presence_deadlines(&mut self, step: &mut Step<'_>) {
        if self.stream.presence.kept_until.is_some_and(|at| at <= step.now.monotonic) {
            self.forget_presences(step);
        }
    }

    /// The session is lost, and with it our knowledge of who is available.
    pub(crate) fn forget_presences(&mut self, step: &Step<'_>) {
        self.stream.presence.kept_until = None;
        self.forget_unknown_caps();
        self.edit_online(|person| person.online.clear(), step);
        self.last_seen.regain_sight();
    }

    /// A new stream brings everybody's presence again; until then the old one is shown.
    pub(crate) fn mark_presences_stale(&mut self, step: &Step<'_>) {
        self.last_seen.lose_sight(step.now.wall);
        self.edit_online(|person| person.online.values_mut().for_each(|online| online.stale = true), step);
    }

    /// Contacts who have not come back on the new stream left while we were away.
    pub(crate) fn forget_stale_presences(&mut self, step: &Step<'_>) {
        let stale = self.find(|person| person.online.values().any(|online| online.stale));
        self.edit_online(|person| person.online.retain(|_, online| !online.stale), step);
        stale.iter().for_each(|jid| self.people.note_initial(jid));
        self.last_seen.regain_sight();
    }

    /// We become available: the server answers with everybody's presence.
    pub(crate) fn begin_initial(&mut self, now: Now) {
        if self.stream.presence.initial.is_none() {
            let answered_until = now.monotonic + bounds::INITIAL_PRESENCES;
            self.stream.presence.initial = Some(Initial { sent_at: now.wall, answered_until });
            self.people.forget_who_left();
        }
    }

    /// Those who are no longer available were so as long as we could see.
    fn edit_online(&mut self, change: impl Fn(&mut Person), step: &Step<'_>) {
        let until = self.last_seen.in_sight_until(step.now.wall);
        for jid in self.find(|person| !person.online.is_empty()) {
            let Some(person) = self.people.edit(&jid) else { continue };
            change(person);
            if person.online.is_empty() {
                self.note_last_seen(&jid, until, step.now.monotonic);
            }
        }
    }

    fn find(&self, fits: impl Fn(&Person) -> bool) -> Vec<BareJid> {
        let found = self.people.everybody().filter(|(_, person)| fits(person));
        found.map(|(jid, _)| jid.clone()).collect()
    }
}
