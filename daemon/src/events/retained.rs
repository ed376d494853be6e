//! The newest events, bounded by number and by bytes: in all, per account, and per contact.
//!
//! When there are too many, the account with the most loses its oldest, so an account that floods loses only its own
//! history. Only the newest states of each contact are kept, since each is complete: older ones go, and a reader who
//! was away misses nothing by getting only the newer ones.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jid::BareJid;

use super::{CursorExpired, Entry};

/// States per contact: enough for hours of a busy one. Of 10,000 events, one contact has so few that it takes more
/// than 150 of them to push out anything else in their account.
const STATES_OF_ONE_CONTACT: usize = 64;

/// Events by number; `last` is the newest.
pub(super) struct Retained {
    events: BTreeMap<u64, Kept>,
    accounts: BTreeMap<BareJid, Share>,
    bytes: usize,
    last: u64,
    /// Before the first.
    start: u64,
    most_events: usize,
    most_bytes: usize,
}

struct Kept {
    entry: Arc<Entry>,
    /// The contacts that it shows.
    contacts: Vec<Arc<str>>,
    /// How many of them it shows in one of their newest states.
    current: usize,
}

/// The events of one account.
#[derive(Default)]
struct Share {
    /// Their numbers.
    events: BTreeSet<u64>,
    bytes: usize,
    /// The newest event that is no longer available to readers of this account.
    gone: u64,
    /// The events with the newest states of each contact, oldest first.
    contacts: HashMap<Arc<str>, VecDeque<u64>>,
}

impl Retained {
    pub(super) fn new(start: u64, most_events: usize, most_bytes: usize) -> Self {
        let (events, accounts) = Default::default();
        Self { events, accounts, bytes: 0, last: start, start, most_events, most_bytes }
    }

    /// Adds the event that follows `last` and shows these contacts, and drops what no longer fits. The newest always
    /// stays, so that a reader who keeps up never misses it because of its size.
    pub(super) fn push(&mut self, entry: Arc<Entry>, contacts: Vec<String>) {
        debug_assert_eq!(entry.seq, self.last + 1);
        self.last = entry.seq;
        let bytes = entry.json.get().len();
        self.bytes += bytes;
        let share = self.accounts.entry(entry.account.clone()).or_default();
        share.bytes += bytes;
        share.events.insert(entry.seq);
        let (contacts, superseded) = share.note_states(contacts, entry.seq);
        let current = contacts.len();
        self.events.insert(entry.seq, Kept { entry, contacts, current });
        for seq in superseded {
            self.supersede(seq);
        }
        while self.events.len() > 1 && (self.events.len() > self.most_events || self.bytes > self.most_bytes)
        {
            if !self.let_go() {
                break;
            }
        }
    }

    /// A contact has enough newer states. If the event shows nobody else, it is dropped without loss.
    fn supersede(&mut self, seq: u64) {
        let Some(kept) = self.events.get_mut(&seq) else { return };
        kept.current -= 1;
        if kept.current == 0 {
            self.remove(seq);
        }
    }

    /// Drops the oldest event of the account with the most; returns whether there was one.
    fn let_go(&mut self) -> bool {
        let too_large = self.bytes > self.most_bytes;
        // Never the newest of all.
        let shares = self.accounts.values_mut().filter(|share| share.events.first() != Some(&self.last));
        let size = |share: &&mut Share| if too_large { share.bytes } else { share.events.len() };
        let Some(share) = shares.max_by_key(size) else { return false };
        let Some(oldest) = share.events.first().copied() else { return false };
        share.gone = oldest;
        self.remove(oldest);
        true
    }

    fn remove(&mut self, seq: u64) {
        let Some(Kept { entry, contacts, .. }) = self.events.remove(&seq) else { return };
        let bytes = entry.json.get().len();
        self.bytes -= bytes;
        let Some(share) = self.accounts.get_mut(&entry.account) else { return };
        share.bytes -= bytes;
        share.events.remove(&seq);
        share.forget_states(&contacts, seq);
    }

    /// How many are retained.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Their size in bytes of JSON.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many states of contacts are tracked.
    #[cfg(test)]
    pub(super) fn states(&self) -> usize {
        self.accounts.values().flat_map(|share| share.contacts.values()).map(VecDeque::len).sum()
    }

    /// The newest number given out.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number from which on everything for the account, or for all accounts, is available.
    pub(super) fn oldest(&self, account: Option<&BareJid>) -> u64 {
        let gone = match account {
            Some(account) => self.accounts.get(account).map(|share| share.gone),
            None => self.accounts.values().map(|share| share.gone).max(),
        };
        self.start.max(gone.unwrap_or_default()) + 1
    }

    /// Whether everything after `since` is available, for the account or for all.
    pub(super) fn check(&self, since: u64, account: Option<&BareJid>) -> Result<(), CursorExpired> {
        let oldest = self.oldest(account);
        if since <= self.last && since + 1 >= oldest { Ok(()) } else { Err(CursorExpired { oldest }) }
    }

    /// The events after `since`, oldest first, if [`Retained::check`] succeeds.
    pub(super) fn after(
        &self,
        since: u64,
        account: Option<&BareJid>,
    ) -> Result<impl Iterator<Item = &Arc<Entry>>, CursorExpired> {
        self.check(since, account)?;
        Ok(self.events.range(since + 1..).map(|(_, kept)| &kept.entry))
    }
}

impl Share {
    /// Notes the contacts that an event shows; returns the events that it supersedes, once for each contact.
    fn note_states(&mut self, contacts: Vec<String>, seq: u64) -> (Vec<Arc<str>>, Vec<u64>) {
        let mut superseded = Vec::new();
        let note = |contact: String| {
            let known = self.contacts.get_key_value(contact.as_str()).map(|(contact, _)| Arc::clone(contact));
            let contact = known.unwrap_or_else(|| contact.into());
            let states = self.contacts.entry(Arc::clone(&contact)).or_default();
            states.push_back(seq);
            if states.len() > STATES_OF_ONE_CONTACT {
                superseded.extend(states.pop_front());
            }
            contact
        };
        (contacts.into_iter().map(note).collect(), superseded)
    }

    /// The event is gone. It is the oldest of those it was among.
    fn forget_states(&mut self, contacts: &[Arc<str>], seq: u64) {
        for contact in contacts {
            let Some(states) = self.contacts.get_mut(contact) else { continue };
            if states.front() == Some(&seq) {
                states.pop_front();
            }
            if states.is_empty() {
                self.contacts.remove(contact);
            }
        }
    }
}
