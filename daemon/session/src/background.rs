//! Queries for what the server has not pushed, at a rate that no server minds: first for contacts that a UI shows,
//! then for those who have just come online, and in time for all others.
//!
//! Prosody pushes everybody's last items (XEP-0163 §4.3.2); ejabberd at best those of contacts who are online.
//! Nothing is pushed by contacts who don't see our presence: their server does not know what interests us.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jid::BareJid;

use crate::bounds;
use crate::lookups::{Kind, Lookup};
use crate::model::{ImageId, Subscription};
use crate::person::Person;
use crate::queue::{Queue, Rate};
use crate::time::{Now, Timestamp};
use crate::{Session, Step};

/// Per domain: a screenful, and then no faster than somebody scrolls.
const SHOWN_PER_DOMAIN: Rate = Rate { at_once: 60, every: Duration::from_secs(1) };
const SHOWN: Rate = Rate { at_once: 240, every: Duration::from_millis(250) };
/// For all others, half of the burst and then a few a minute: 1,000 contacts of one domain within 17 hours, 5,700 of
/// many domains within a day.
const OTHERS_PER_DOMAIN: Rate = Rate { at_once: 10, every: Duration::from_secs(60) };
const OTHERS: Rate = Rate { at_once: 20, every: Duration::from_secs(15) };

/// The shortest time between equal queries, and the interval while nothing is known.
const AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// The interval for contacts who have answered and whom no UI shows.
const ANSWERED_AGAIN_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Who waits keeps waiting when a stream ends, and spent budget stays spent.
pub(crate) struct State {
    /// Contacts that UIs show.
    shown: Queue,
    /// Contacts who have come online and push us nothing. Those in no queue share this budget.
    come: Queue,
}

#[derive(Default)]
pub(crate) struct PerStream {
    /// The last picture fetched from each without a UI's request: once is enough, whatever the result.
    tried: BTreeMap<BareJid, ImageId>,
    /// When to pick the next of all others; absent: login has not settled yet.
    look_at: Option<Instant>,
    /// When the next query may be sent; absent: nobody waits.
    wake_at: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        let (shown, come) = (Queue::new(SHOWN_PER_DOMAIN, SHOWN), Queue::new(OTHERS_PER_DOMAIN, OTHERS));
        Self { shown, come }
    }
}

impl State {
    pub(crate) fn forget_contact(&mut self, jid: &BareJid) {
        self.shown.remove(jid);
        self.come.remove(jid);
    }

    /// Who waits, and the budget spent.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.shown.entries() + self.come.entries()
    }
}

impl PerStream {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wake_at
    }

    pub(crate) fn forget_contact(&mut self, jid: &BareJid) {
        self.tried.remove(jid);
    }

    fn wake(&mut self, now: Instant) {
        self.wake_at = Some(now);
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.tried.len()
    }
}

/// What is unknown about a contact, or may have changed without our being told.
struct Lacks {
    /// Their avatar's metadata.
    metadata: bool,
    /// The picture that it names, or that of their old vCard.
    picture: Option<(Kind, ImageId)>,
    profile: bool,
}

impl Lacks {
    fn is_anything(&self) -> bool {
        self.metadata || self.picture.is_some() || self.profile
    }
}

impl Session {
    /// Login has settled: everything that the server pushes has arrived.
    pub(crate) fn catch_up(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        // Every UI shows its own account.
        self.background.shown.put(&self.account);
        self.stream.background.look_at = Some(now);
        self.stream.background.wake(now);
        self.ask_on(step);
    }

    /// A UI shows these contacts.
    pub(crate) fn note_shown(&mut self, jid: &BareJid, now: Now) {
        if self.lacks_anything(jid, now) {
            self.background.shown.put(jid);
            self.stream.background.wake(now.monotonic);
        }
    }

    /// A UI shows this contact, and may be waiting for their data.
    pub(crate) fn show_one(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        self.note_shown(jid, step.now);
        self.ask_on(step);
    }

    /// A contact has come online and cannot push to us.
    pub(crate) fn note_come(&mut self, jid: &BareJid, now: Now) {
        let is_pushed = self.people.person(jid).is_none_or(is_pushed);
        if !is_pushed && self.stream.startup.is_settled() && self.lacks_anything(jid, now) {
            self.put_come(jid, now);
        }
    }

    pub(crate) fn put_come(&mut self, jid: &BareJid, now: Now) {
        self.background.come.put(jid);
        self.stream.background.wake(now.monotonic);
    }

    /// A contact's roster item has changed: from now on we may see them.
    pub(crate) fn note_added(&mut self, jid: &BareJid, now: Now) {
        let Some(person) = self.people.person(jid) else { return };
        if !publishes_to_us(person) || !self.stream.startup.is_settled() {
            return;
        }
        if is_pushed(person) {
            // Their server is about to push.
            self.look_for_others(now.monotonic + bounds::SETTLED_AFTER);
        } else {
            self.put_come(jid, now);
        }
    }

    /// There may be more contacts to query.
    pub(crate) fn look_for_others(&mut self, at: Instant) {
        if let Some(look_at) = &mut self.stream.background.look_at {
            *look_at = at.min(*look_at);
            self.stream.background.wake_at =
                Some(self.stream.background.wake_at.map_or(at, |wake_at| wake_at.min(at)));
        }
    }

    /// Queries the contacts whose turn it is, as many as may be in flight.
    pub(crate) fn ask_on(&mut self, step: &mut Step<'_>) {
        while self.connection.is_online() {
            self.line_up(step.now);
            let Some(lookup) = self.stream.lookups.next(self.images.saving()) else { return };
            match lookup.kind {
                Kind::Avatar => self.ask_for_avatar(lookup, step),
                Kind::Caps => self.ask_for_caps(lookup, step),
                Kind::Missing => self.ask_for_missing(lookup, step),
                Kind::Photo => self.ask_for_photo(lookup, step),
            }
        }
    }

    /// Whether a turn may be given: not while a call waits for an answer to an earlier one.
    pub(crate) fn may_line_up(&self) -> bool {
        self.connection.is_online()
            && self.stream.startup.is_settled()
            && !self.stream.lookups.is_anybody_waiting(Kind::Missing)
    }

    /// Gives a turn to the next contact whose domain's budget allows it.
    fn line_up(&mut self, now: Now) {
        if self.stream.background.wake_at.is_none_or(|at| at > now.monotonic) || !self.may_line_up() {
            return;
        }
        let next = self
            .next_in(|state| &mut state.shown, now)
            .or_else(|| self.next_in(|state| &mut state.come, now))
            .or_else(|| self.next_other(now));
        match next {
            Some(jid) => self.stream.lookups.put(&jid, Kind::Missing),
            None => {
                let State { shown, come } = &self.background;
                let look_at = self.stream.background.look_at;
                let next = [shown.next_at(now.monotonic), come.next_at(now.monotonic), look_at];
                self.stream.background.wake_at = next.into_iter().flatten().min();
            }
        }
    }

    /// The next in a queue whose domain's budget allows it and whose data is still incomplete.
    fn next_in(&mut self, queue: fn(&mut State) -> &mut Queue, now: Now) -> Option<BareJid> {
        loop {
            let jid = queue(&mut self.background).next(now.monotonic)?;
            if self.lacks_anything(&jid, now) {
                queue(&mut self.background).budget.spend(&jid, now.monotonic);
                return Some(jid);
            }
        }
    }

    /// Of all with incomplete data, the one queried longest ago: everybody gets a turn, even if prosed restarts
    /// often.
    fn next_other(&mut self, now: Now) -> Option<BareJid> {
        if self.stream.background.look_at.is_none_or(|at| at > now.monotonic) {
            return None;
        }
        let budget = &self.background.come.budget;
        let lacking = self.people.everybody().filter_map(|(jid, person)| {
            let lacks = self.lacks(jid, person, true);
            let again_after = if person.avatar.is_unknown() { AGAIN_AFTER } else { ANSWERED_AGAIN_AFTER };
            let wait = match lacks.picture {
                Some(_) => Duration::ZERO,
                None => due_in(person, again_after, now),
            };
            let at = budget.spare_at(jid, now.monotonic).max(now.monotonic + wait);
            lacks.is_anything().then_some((at, person.asked_at, jid))
        });
        let next = lacking.min().map(|(at, _, jid)| (at, jid.clone()));
        self.stream.background.look_at =
            Some(next.as_ref().map_or(now.monotonic + AGAIN_AFTER, |(at, _)| *at));
        let (_, jid) = next.filter(|(at, _)| *at <= now.monotonic)?;
        self.background.come.budget.spend(&jid, now.monotonic);
        Some(jid)
    }

    /// Skips what has arrived by now, and what a call waits for: that has been requested already.
    fn ask_for_missing(&mut self, lookup: Lookup, step: &mut Step<'_>) {
        let jid = lookup.contact.clone();
        let Some(person) = self.people.person(&jid) else { return };
        let lacks = self.lacks(&jid, person, due_in(person, AGAIN_AFTER, step.now).is_zero());
        if (lacks.metadata || lacks.profile)
            && let Some(person) = self.people.edit(&jid)
        {
            person.asked_at = Some(step.now.wall);
            self.people.save(&jid);
        }
        if lacks.metadata {
            self.ask_avatar_metadata(jid.clone(), Some(lookup), step);
        } else if let Some((kind, id)) = lacks.picture {
            self.stream.background.tried.insert(jid.clone(), id);
            if kind == Kind::Avatar {
                self.want_image(id, jid.clone());
            }
            self.stream.lookups.put(&jid, kind);
        }
        if lacks.profile {
            self.ask_profile(jid, false, step);
        }
    }

    fn lacks_anything(&self, jid: &BareJid, now: Now) -> bool {
        let is_due = |person| due_in(person, AGAIN_AFTER, now).is_zero();
        let person = self.people.person(jid);
        person.is_some_and(|person| self.lacks(jid, person, is_due(person)).is_anything())
    }

    /// `is_due`: what was requested before and may be requested again.
    fn lacks(&self, jid: &BareJid, person: &Person, is_due: bool) -> Lacks {
        let is_due = is_due && publishes_to_us(person);
        let ages = !is_pushed(person);
        let has_profile = person.profile.vcard4.is_known() || person.profile.prose.is_known();
        let picture = match (person.wanted_avatar(), Self::lacking_photo(person)) {
            (Some(id), _) if !self.is_image_coming(&id) => Some((Kind::Avatar, id)),
            (None, Some(id)) => Some((Kind::Photo, id)),
            _ => None,
        };
        Lacks {
            metadata: is_due && (person.avatar.is_unknown() || ages) && !self.is_avatar_awaited(jid),
            picture: picture.filter(|(_, id)| self.stream.background.tried.get(jid) != Some(id)),
            profile: is_due && (!has_profile || ages) && !self.is_profile_awaited(jid),
        }
    }
}

/// Contacts whose presence we may see, and ourselves.
fn publishes_to_us(person: &Person) -> bool {
    person.item.as_ref().is_none_or(|item| matches!(item.subscription, Subscription::To | Subscription::Both))
}

/// Whether our presence tells their server what interests us (XEP-0163 §4.3.1), as it tells ours.
fn is_pushed(person: &Person) -> bool {
    person.item.as_ref().is_none_or(|item| item.subscription != Subscription::To)
}

/// The time until they may be queried again.
fn due_in(person: &Person, again_after: Duration, now: Now) -> Duration {
    let since = |Timestamp(at): Timestamp| u64::try_from(now.wall.0.saturating_sub(at)).ok();
    // Recorded in the future by a wrong clock: treat it as unknown.
    let since = person.asked_at.and_then(since).map_or(Duration::MAX, Duration::from_millis);
    again_after.saturating_sub(since)
}
