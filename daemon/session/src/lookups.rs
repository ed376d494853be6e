//! Queries caused by contacts: a queue that is bounded, and fair to each of them.
//!
//! It holds contacts and the kind of query. Which picture or hash to query is decided when the contact's turn comes:
//! whatever they send, they have one place per kind, and only the newest is requested. What a UI asks for is not
//! queued here, and takes nobody's place ([`Pending::ask`]).
//!
//! [`Pending::ask`]: crate::pending::Pending::ask

use std::collections::BTreeMap;

use jid::BareJid;

use crate::bounds;
use crate::line::Line;

/// What a contact may cause us to query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The picture that their avatar metadata names.
    Avatar,
    /// The meaning of a caps hash that one of their devices shows.
    Caps,
    /// What their server has not pushed: avatar metadata and profile.
    Missing,
    /// The picture of their old vCard.
    Photo,
}

impl Kind {
    /// Requests in flight, to all contacts together.
    fn limit(self) -> usize {
        match self {
            Self::Avatar => bounds::AVATARS_IN_FLIGHT,
            Self::Caps => bounds::DISCO_IN_FLIGHT,
            Self::Missing => bounds::BACKGROUND_IN_FLIGHT,
            Self::Photo => bounds::PHOTOS_IN_FLIGHT,
        }
    }

    /// The most requests that one turn makes.
    fn requests(self) -> usize {
        match self {
            Self::Missing => 2,
            Self::Avatar | Self::Caps | Self::Photo => 1,
        }
    }

    /// Whether an answer may hold a megabyte, which must then be written to disk.
    fn is_picture(self) -> bool {
        matches!(self, Self::Avatar | Self::Photo)
    }
}

/// One query to one contact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lookup {
    pub(crate) contact: BareJid,
    pub(crate) kind: Kind,
}

/// One kind of query.
#[derive(Default)]
struct Lane {
    in_flight: usize,
    waiting: Line<BareJid>,
}

#[derive(Default)]
pub(crate) struct Lookups {
    lanes: BTreeMap<Kind, Lane>,
    /// Queries in flight to each contact.
    in_flight: BTreeMap<BareJid, Vec<Kind>>,
}

impl Lookups {
    /// Queues a contact, unless they are already waiting for the same kind.
    pub(crate) fn put(&mut self, contact: &BareJid, kind: Kind) {
        self.lanes.entry(kind).or_default().waiting.put(contact);
    }

    /// The next query, if another may be sent now. `saving`: pictures being written to disk.
    pub(crate) fn next(&mut self, saving: usize) -> Option<Lookup> {
        let next = self.lanes.iter().find_map(|(&kind, lane)| {
            let busy = lane.in_flight + if kind.is_picture() { saving } else { 0 };
            if busy + kind.requests() > kind.limit() {
                return None;
            }
            // Contacts with enough in flight keep their turn. They are few: at most as many as requests in flight.
            let contact = lane.waiting.iter().find(|contact| self.has_room(contact, kind))?.clone();
            Some(Lookup { contact, kind })
        });
        if let Some(Lookup { contact, kind }) = &next
            && let Some(lane) = self.lanes.get_mut(kind)
        {
            lane.waiting.remove(contact);
        }
        next
    }

    fn has_room(&self, contact: &BareJid, kind: Kind) -> bool {
        let in_flight = self.in_flight.get(contact).map(Vec::as_slice).unwrap_or_default();
        // Each vCard answers for whichever picture was announced last.
        let again = kind == Kind::Photo && in_flight.contains(&kind);
        in_flight.len() + kind.requests() <= bounds::QUESTIONS_PER_CONTACT && !again
    }

    /// Whether a contact is waiting.
    pub(crate) fn is_waiting(&self, contact: &BareJid, kind: Kind) -> bool {
        self.lanes.get(&kind).is_some_and(|lane| lane.waiting.contains(contact))
    }

    /// Whether anybody is.
    pub(crate) fn is_anybody_waiting(&self, kind: Kind) -> bool {
        self.lanes.get(&kind).is_some_and(|lane| !lane.waiting.is_empty())
    }

    /// A request was sent.
    pub(crate) fn begin(&mut self, lookup: &Lookup) {
        self.lanes.entry(lookup.kind).or_default().in_flight += 1;
        self.in_flight.entry(lookup.contact.clone()).or_default().push(lookup.kind);
    }

    /// A request has ended.
    pub(crate) fn end(&mut self, lookup: &Lookup) {
        let Some(in_flight) = self.in_flight.get_mut(&lookup.contact) else { return };
        let Some(at) = in_flight.iter().position(|kind| *kind == lookup.kind) else { return };
        in_flight.swap_remove(at);
        if in_flight.is_empty() {
            self.in_flight.remove(&lookup.contact);
        }
        if let Some(lane) = self.lanes.get_mut(&lookup.kind) {
            lane.in_flight -= 1;
        }
    }

    /// Who waits for what, and which contacts have requests in flight.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum::<usize>() + self.in_flight.len()
    }

    /// A JID is no longer a contact.
    pub(crate) fn forget(&mut self, contact: &BareJid) {
        for lane in self.lanes.values_mut() {
            lane.waiting.remove(contact);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const ALL: [Kind; 4] = [Kind::Avatar, Kind::Caps, Kind::Missing, Kind::Photo];

    fn contact(name: &str) -> BareJid {
        BareJid::new(&format!("{name}@example.org")).unwrap()
    }

    /// Sends as many queries as allowed; returns the contacts, in order.
    fn ask(lookups: &mut Lookups) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some(lookup) = lookups.next(0) {
            lookups.begin(&lookup);
            asked.push(lookup.contact.node().unwrap().to_string());
        }
        asked
    }

    #[test]
    fn a_contact_waits_once_for_each_kind() {
        let mut lookups = Lookups::default();
        for _ in 0..1_000 {
            ALL.iter().for_each(|kind| lookups.put(&contact("mallory"), *kind));
        }
        assert_eq!(lookups.entries(), ALL.len());
    }

    #[test]
    fn no_more_is_in_flight_to_one_contact_than_two() {
        let mut lookups = Lookups::default();
        for _ in 0..10 {
            lookups.put(&contact("mallory"), Kind::Caps);
            ask(&mut lookups);
        }
        lookups.put(&contact("mallory"), Kind::Avatar);
        assert_eq!(lookups.in_flight[&contact("mallory")], [Kind::Caps, Kind::Caps]);
        assert!(lookups.next(0).is_none());
        lookups.put(&contact("anna"), Kind::Caps);
        assert_eq!(ask(&mut lookups), ["anna"], "the next in the queue is asked");
    }

    /// Many contacts who have a new query as soon as the last is answered, and among them some with one each.
    #[test]
    fn contacts_take_turns() {
        let mut lookups = Lookups::default();
        let crowd: Vec<BareJid> = (0..40).map(|n| contact(&format!("mallory{n}"))).collect();
        let friends: Vec<BareJid> = (0..20).map(|n| contact(&format!("friend{n}"))).collect();
        crowd[..20]
            .iter()
            .chain(&friends)
            .chain(&crowd[20..])
            .for_each(|contact| lookups.put(contact, Kind::Caps));
        let (mut in_flight, mut order) = (VecDeque::new(), Vec::new());
        while order.len() < 1_000 {
            while let Some(lookup) = lookups.next(0) {
                lookups.begin(&lookup);
                order.push(lookup.contact.clone());
                in_flight.push_back(lookup);
            }
            let answered: Lookup = in_flight.pop_front().unwrap();
            lookups.end(&answered);
            if crowd.contains(&answered.contact) {
                lookups.put(&answered.contact, Kind::Caps);
            }
        }
        let when = |friend: &BareJid| order.iter().position(|asked| asked == friend).unwrap();
        let last = friends.iter().map(when).max().unwrap();
        assert!(last < crowd.len() + friends.len(), "{last} were asked before the last friend");
    }

    #[test]
    fn each_kind_has_its_own_limit() {
        let mut lookups = Lookups::default();
        for n in 0..100 {
            ALL.iter().for_each(|kind| lookups.put(&contact(&format!("{kind:?}{n}")), *kind));
        }
        let asked = ask(&mut lookups);
        let of = |kind: Kind| {
            let name = format!("{kind:?}").to_lowercase();
            asked.iter().filter(|asked| asked.starts_with(&name)).count()
        };
        assert_eq!(of(Kind::Avatar), bounds::AVATARS_IN_FLIGHT);
        assert_eq!(of(Kind::Caps), bounds::DISCO_IN_FLIGHT);
        assert_eq!(of(Kind::Photo), bounds::PHOTOS_IN_FLIGHT);
    }

    /// A slow disk slows fetching down: otherwise a megabyte for each would pile up.
    #[test]
    fn pictures_on_their_way_to_the_disk_count() {
        let mut lookups = Lookups::default();
        lookups.put(&contact("anna"), Kind::Avatar);
        assert!(lookups.next(bounds::AVATARS_IN_FLIGHT).is_none());
        assert!(lookups.next(bounds::AVATARS_IN_FLIGHT - 1).is_some());
    }

    #[test]
    fn who_is_forgotten_is_not_asked() {
        let mut lookups = Lookups::default();
        for _ in 0..1_000 {
            lookups.put(&contact("anna"), Kind::Caps);
            lookups.forget(&contact("anna"));
        }
        assert!(lookups.next(0).is_none());
        assert_eq!(lookups.entries(), 0);
    }
}
