//! Everybody we know: our contacts and ourselves, and which of them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jid::BareJid;

use crate::Step;
use crate::bounds;
use crate::effect::{ContactsChanged, Ticket, Write};
use crate::known_profile::KnownProfiles;
use crate::lookalike::{LookAlikes, Looks};
use crate::model::{
    Availability, Contact, PersonRecord, Profile, ProfileRecord, ProfileSummary, ProfileUpdate, RosterItem,
    share_groups,
};
use crate::person::Person;
use crate::time::Timestamp;

fn summary(profile: &Profile, is_ours: bool, seed: u64) -> ProfileSummary {
    let summary = ProfileSummary::of(profile, seed);
    if is_ours { summary } else { summary.bounded() }
}

/// The result for a roster item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// Unchanged.
    Same,
    /// New or changed.
    Changed,
    /// There are too many, or they are too large.
    NoRoom,
}

/// An item's size in memory, for [`bounds::ROSTER_BYTES`]: counted as if it shared its groups with no other.
fn item_bytes(item: &RosterItem) -> usize {
    /// A group's place in the set.
    const EACH: usize = 32;
    let groups: usize = item.groups.iter().map(|group| EACH + group.len()).sum();
    let some = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    item.jid.as_str().len() + some(&item.resource) + some(&item.name) + groups
}

/// Contacts and ourselves only: nothing from strangers is stored here.
pub(crate) struct People {
    /// Boxed: a map's nodes reserve room for insertions, and a person is large.
    known: BTreeMap<BareJid, Box<Person>>,
    /// Those touched since UIs were last notified, as UIs know them.
    before: BTreeMap<BareJid, Before>,
    /// Those with data that is not yet being written to the cache.
    unsaved: BTreeSet<BareJid>,
    /// Those with a profile on its way to the cache. The store answers each write, and takes only so many at a time.
    saving: BTreeMap<Ticket, BareJid>,
    /// Of hashes: peers don't know it.
    seed: u64,
    look_alikes: LookAlikes,
    /// Those with a roster item, and the size of their items.
    contacts: usize,
    bytes: usize,
    /// The roster exceeds our limit.
    is_truncated: bool,
}

/// A person before they were touched.
struct Before {
    /// As UIs know them.
    contact: Option<Contact>,
    /// The looks at the last comparison: UIs may be notified later than that.
    looks: Option<Looks>,
    /// At least some of the changes since came with a login.
    initial: bool,
}

impl Before {
    fn of(person: &Person) -> Self {
        Self { contact: person.contact(), looks: person.looks, initial: false }
    }
}

impl People {
    pub(crate) fn new(
        account: BareJid,
        mut items: Vec<RosterItem>,
        records: Vec<(BareJid, PersonRecord)>,
        seed: u64,
    ) -> Self {
        let (mut count, mut bytes) = (0, 0);
        let offered = items.len();
        items.retain(|item| {
            let fits = count < bounds::ROSTER_CONTACTS && bytes + item_bytes(item) <= bounds::ROSTER_BYTES;
            if fits {
                (count, bytes) = (count + 1, bytes + item_bytes(item));
            }
            fits
        });
        let is_truncated = items.len() < offered;
        share_groups(&mut items);
        let contacts = items.into_iter().map(|item| {
            let jid = item.jid.clone();
            (jid, Box::new(Person { item: Some(item), ..Person::default() }))
        });
        // All at once: a map is built faster from sorted input.
        let mut known: BTreeMap<BareJid, Box<Person>> = contacts.collect();
        known.entry(account).or_default();
        let mut profiles = 0;
        for (jid, record) in records {
            if let Some(person) = known.get_mut(&jid) {
                let item = person.item.take();
                let is_ours = item.is_none();
                let record = Person::from_record(record, |profile| summary(profile, is_ours, seed));
                **person = Person { item, ..record };
                // Our own follows the limits for UIs.
                if !is_ours {
                    profiles += person.profile.bytes().max(person.profile.stored_bytes());
                    if profiles > bounds::PEOPLE_BYTES.min(bounds::PROFILES_BYTES) {
                        person.profile = KnownProfiles::default();
                    }
                }
            }
        }
        let mut look_alikes = LookAlikes::new(seed);
        let mut shifted = BTreeSet::new();
        for (jid, person) in &mut known {
            person.looks = Some(look_alikes.looks(jid, person.name().as_deref()));
            look_alikes.replace(None, person.looks, &mut shifted);
        }
        if !shifted.is_empty() {
            for person in known.values_mut() {
                person.look_alike = person.looks.is_some_and(|looks| look_alikes.is_doubtful(looks));
            }
        }
        Self {
            known,
            before: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            saving: BTreeMap::new(),
            seed,
            look_alikes,
            contacts: count,
            bytes,
            is_truncated,
        }
    }

    /// The most that one of its maps holds for a person, beyond who is known: each person has two looks.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let maps = [self.before.len(), self.unsaved.len(), self.saving.len()];
        maps.into_iter().fold(self.look_alikes.entries().div_ceil(2), usize::max)
    }

    /// The cached last-seen times.
    pub(crate) fn were_seen(&mut self, times: Vec<(BareJid, Timestamp)>) {
        for (jid, at) in times {
            if let Some(person) = self.known.get_mut(&jid).filter(|person| person.item.is_some()) {
                person.last_seen = Some(at);
            }
        }
    }

    pub(crate) fn contains(&self, jid: &BareJid) -> bool {
        self.known.contains_key(jid)
    }

    pub(crate) fn person(&self, jid: &BareJid) -> Option<&Person> {
        self.known.get(jid).map(Box::as_ref)
    }

    pub(crate) fn contact(&self, jid: &BareJid) -> Option<Contact> {
        self.known.get(jid)?.contact()
    }

    /// Whether a JID and a name look like somebody else's: for strangers, and for contacts' nicknames.
    pub(crate) fn looks_like_another(&self, jid: &BareJid, name: Option<&str>) -> bool {
        let own = self.person(jid).and_then(|person| person.looks);
        self.look_alikes.is_like_another(self.look_alikes.looks(jid, name), own)
    }

    /// Sorted by JID.
    pub(crate) fn contacts(&self) -> Vec<Contact> {
        self.known.values().filter_map(|person| person.contact()).collect()
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = (&BareJid, &Person)> {
        self.known.iter().map(|(jid, person)| (jid, person.as_ref()))
    }

    /// A person to change. Whether that is news is found by comparing, when UIs are notified.
    pub(crate) fn edit(&mut self, jid: &BareJid) -> Option<&mut Person> {
        let person = self.known.get_mut(jid)?;
        if !self.before.contains_key(jid) {
            self.before.insert(jid.clone(), Before::of(person));
        }
        Some(person)
    }

    /// The last edit of this person came with a login.
    pub(crate) fn note_initial(&mut self, jid: &BareJid) {
        if let Some(before) = self.before.get_mut(jid) {
            before.initial = true;
        }
    }

    /// We become available: nobody is known to have left since.
    pub(crate) fn forget_who_left(&mut self) {
        self.known.values_mut().for_each(|person| person.has_left = false);
    }

    /// Whether there is no room for another contact.
    pub(crate) fn is_full(&self) -> bool {
        self.contacts >= bounds::ROSTER_CONTACTS || self.bytes >= bounds::ROSTER_BYTES
    }

    /// Whether the roster exceeds our limit.
    pub(crate) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The server sends the whole roster, or has said that ours is complete.
    pub(crate) fn begin_whole(&mut self) {
        self.is_truncated = false;
    }

    /// Inserts a roster item, if there is room; returns whether it differs from the previous one.
    pub(crate) fn put_item(&mut self, item: &RosterItem) -> Put {
        let before = self.known.get(&item.jid).and_then(|person| person.item.as_ref());
        if before == Some(item) {
            return Put::Same;
        }
        let (contacts, bytes) = before.map_or((0, 0), |before| (1, item_bytes(before)));
        let (contacts, bytes) = (self.contacts - contacts + 1, self.bytes - bytes + item_bytes(item));
        if contacts > bounds::ROSTER_CONTACTS || bytes > bounds::ROSTER_BYTES {
            self.is_truncated = true;
            return Put::NoRoom;
        }
        (self.contacts, self.bytes) = (contacts, bytes);
        if !self.known.contains_key(&item.jid) {
            self.known.insert(item.jid.clone(), Box::default());
        }
        if let Some(person) = self.edit(&item.jid) {
            person.item = Some(item.clone());
        }
        Put::Changed
    }

    /// Removes a contact, if this JID is one.
    pub(crate) fn remove_contact(&mut self, jid: &BareJid) -> Option<Box<Person>> {
        // Touched first, so that UIs are notified.
        let bytes = item_bytes(self.edit(jid)?.item.as_ref()?);
        (self.contacts, self.bytes) = (self.contacts - 1, self.bytes - bytes);
        self.known.remove(jid)
    }

    /// The contacts in a group.
    pub(crate) fn members(&self, group: &str) -> BTreeSet<BareJid> {
        let is_member =
            |person: &Person| person.item.as_ref().is_some_and(|item| item.groups.contains(group));
        self.known.iter().filter(|(_, person)| is_member(person)).map(|(jid, _)| jid.clone()).collect()
    }

    /// Those with a roster item whose JID is not in `keep`.
    pub(crate) fn contacts_beside(&self, keep: &BTreeSet<&BareJid>) -> Vec<BareJid> {
        self.known
            .iter()
            .filter(|(jid, person)| person.item.is_some() && !keep.contains(jid))
            .map(|(jid, _)| jid.clone())
            .collect()
    }

    /// Saves what we know about a contact, once it is their turn.
    pub(crate) fn save(&mut self, jid: &BareJid) {
        self.unsaved.insert(jid.clone());
    }

    /// Saves what we know about those whose turn it is; returns whether nobody is left.
    pub(crate) fn save_those(
        &mut self,
        mut may_be_saved: impl FnMut(&BareJid) -> bool,
        step: &mut Step<'_>,
    ) -> bool {
        let Self { known, saving, .. } = self;
        self.unsaved.retain(|jid| {
            let mut person = known.get_mut(jid);
            // Nothing is kept of a contact who is gone.
            if person.is_some() && !may_be_saved(jid) {
                return true;
            }
            let update = person.as_ref().map(|person| person.update());
            let has_profile =
                update.as_ref().is_some_and(|update| update.profile != ProfileUpdate::default());
            let ticket = step.save(Write::Person { jid: jid.clone(), person: update });
            if let Some(person) = person.as_mut().filter(|_| has_profile) {
                person.profile.are_being_saved(ticket);
                saving.insert(ticket, jid.clone());
            }
            false
        });
        self.unsaved.is_empty()
    }

    /// Whose profile was written with this ticket.
    pub(crate) fn take_saved(&mut self, ticket: Ticket) -> Option<BareJid> {
        self.saving.remove(&ticket)
    }

    pub(crate) fn were_saved(&mut self, jid: &BareJid, ticket: Ticket, stored: bool) {
        if let Some(person) = self.known.get_mut(jid) {
            person.profile.were_saved(ticket, stored);
        }
    }

    /// A person's profile, in full. `found`: what the store has.
    pub(crate) fn whole_profile(&mut self, jid: &BareJid, found: ProfileRecord) -> Option<Arc<Profile>> {
        let person = self.known.get_mut(jid)?;
        let whole = person.profile.whole(found, self.seed)?;
        // It may have been stored with other bounds. Our own follows the limits for UIs.
        let is_ours = person.item.is_none();
        Some(if is_ours { whole } else { Arc::new(Arc::unwrap_or_clone(whole).bounded()) })
    }

    /// A person's profiles, to look at: [`Self::edit`] notes a change.
    pub(crate) fn profiles(&mut self, jid: &BareJid) -> Option<&mut KnownProfiles> {
        self.known.get_mut(jid).map(|person| &mut person.profile)
    }

    /// What memory keeps of a profile. Our own follows the limits for UIs.
    pub(crate) fn summary(&self, profile: &Profile, is_ours: bool) -> ProfileSummary {
        summary(profile, is_ours, self.seed)
    }

    /// Of those whose turn it is, who effectively changed since the last report, and who is no longer a contact:
    /// first what came with a login, then the rest.
    pub(crate) fn take_changes(
        &mut self,
        mut may_be_told: impl FnMut(&BareJid) -> bool,
    ) -> [ContactsChanged; 2] {
        self.compare_looks();
        let mut initial = ContactsChanged { initial: true, ..ContactsChanged::default() };
        let mut others = ContactsChanged::default();
        let touched = std::mem::take(&mut self.before).into_iter();
        let (told, waiting): (Vec<_>, Vec<_>) = touched.partition(|(jid, _)| may_be_told(jid));
        self.before.extend(waiting);
        for (jid, before) in told {
            let changes = if before.initial { &mut initial } else { &mut others };
            match (before.contact, self.contact(&jid)) {
                (before, Some(after)) if before.as_ref() != Some(&after) => {
                    let is_online = |contact: &Contact| contact.availability != Availability::Unavailable;
                    if is_online(&after) && !before.as_ref().is_some_and(is_online) {
                        changes.came_online.push(jid);
                    }
                    changes.changed.push(after);
                }
                (Some(_), None) => changes.removed.push(jid),
                _ => {}
            }
        }
        [initial, others]
    }

    /// Finds out who has begun or ceased to look like somebody else: those touched, and those who look like them.
    /// Looks belong to a contact, but whether they are ambiguous depends on the roster.
    fn compare_looks(&mut self) {
        let mut shifted = BTreeSet::new();
        for (jid, before) in &mut self.before {
            let mut person = self.known.get_mut(jid);
            let after = person.as_ref().map(|person| self.look_alikes.looks(jid, person.name().as_deref()));
            if before.looks != after {
                self.look_alikes.replace(before.looks, after, &mut shifted);
                before.looks = after;
            }
            if let Some(person) = &mut person {
                person.looks = after;
            }
        }
        for jid in self.before.keys() {
            if let Some(person) = self.known.get_mut(jid) {
                person.look_alike = person.looks.is_some_and(|looks| self.look_alikes.is_doubtful(looks));
            }
        }
        if shifted.is_empty() {
            return;
        }
        for (jid, person) in &mut self.known {
            let Some(looks) = person.looks.filter(|looks| looks.has_any(&shifted)) else { continue };
            let look_alike = self.look_alikes.is_doubtful(looks);
            if person.look_alike != look_alike {
                // Anybody touched is in there already, and differs in any case.
                self.before.entry(jid.clone()).or_insert_with(|| Before::of(person));
                person.look_alike = look_alike;
            }
        }
    }
}
