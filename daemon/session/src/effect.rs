//! What can happen to a session, and what it can request. Together with `Session::handle` this is the map of the
//! program.

use jid::{BareJid, FullJid};
use xmpp_parsers::stanza::Stanza;

use crate::command::{Answer, Call, Command};
use crate::failure::Failure;
use crate::model::{
    CapsKey, CapsRecord, Contact, ImageId, ImageType, OwnPresence, PersonUpdate, ProfileRecord, RosterItem,
    SubscriptionRequest,
};
use crate::time::Timestamp;

/// Everything that can happen to a session.
#[derive(Debug)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Input {
    /// The shell has begun to connect.
    Connecting,
    /// A new stream is authenticated and bound; no state of an earlier stream is left. `stanza_bytes`: how large a
    /// stanza may be, if the server says so (XEP-0478). `client_state`: the server supports XEP-0352.
    Online { jid: FullJid, roster_versioning: bool, stanza_bytes: Option<u32>, client_state: bool },
    /// The stream has resumed with its state (XEP-0198).
    Resumed { stanza_bytes: Option<u32> },
    /// The connection is lost; the stream may still resume.
    Suspended,
    /// There is no stream. `retry_at`: when the shell will try again; absent: it won't.
    Offline { failure: Option<Failure>, retry_at: Option<Timestamp> },
    /// The server sent this.
    Stanza(Box<Stanza>),
    /// A UI calls.
    Command { call: Call, command: Command },
    /// What became of an [`Effect::Save`]: later reads find it, and it is on disk soon (our own presence, which no server
    /// can return: by now), or it is not stored.
    Saved { ticket: Ticket, result: Result<(), StoreFailed> },
    /// The answer to an [`Effect::Read`]: `None` if there is no such record, or a damaged one.
    Found { ticket: Ticket, result: Result<Option<Record>, StoreFailed> },
    /// Whether a UI is watching. Until this is first reported, one is.
    Watched(bool),
    /// The server has received these stanzas (XEP-0198).
    Acknowledged(Vec<Mark>),
    /// Nobody will acknowledge these stanzas any more.
    Unsent(Unsent),
    /// The time named by `next_deadline` has come.
    Tick,
}

/// Everything that a session can request, to be carried out in this order.
#[derive(Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Effect {
    /// Write this, and report [`Input::Saved`].
    Save { write: Write, ticket: Ticket },
    /// Read this, after all writes before it, and report [`Input::Found`].
    Read { query: Query, ticket: Ticket },
    /// Send this to the server; it takes this many bytes. With a mark, report what became of it, exactly once:
    /// [`Input::Acknowledged`] or [`Input::Unsent`].
    Send { stanza: Box<Stanza>, bytes: usize, mark: Option<Mark> },
    /// Tell the server whether anybody is watching (XEP-0352), before it is sent anything else.
    ClientState { active: bool },
    /// Answer this call; each call is answered exactly once.
    Reply { call: Call, result: Result<Answer, Failure> },
    /// Notify the UIs.
    Notify(Notice),
}

/// Names an [`Effect::Save`] or [`Effect::Read`] in its answer. The session chooses it. The answers arrive in the order of
/// the effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names an [`Effect::Send`] in its answer. The session chooses it; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Stanzas that the server has not acknowledged, and will not. Each list is in the order in which they were sent.
///
/// A session hears of them when their stream has ended for good, before [`Input::Online`] of the next one, or before the
/// [`Input::Offline`] after which there is none. It hears at once of what could not even be queued, and, on a server
/// without stream management, of what has just been written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsent {
    /// They were written, so the server may or may not have them.
    pub doubtful: Vec<Mark>,
    /// They never were: the server does not have them.
    pub unwritten: Vec<Mark>,
}

/// What a session can read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// What is stored of this JID's profiles. Answered with [`Record::Profile`].
    Profile(BareJid),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The profiles, by source, in full.
    Profile(Box<ProfileRecord>),
}

/// The store can't do it: the disk is full, broken or not ours. It has logged the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store failed")]
pub struct StoreFailed;

/// News for UIs: always an effective change.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Notice {
    /// Contacts were added, changed or removed.
    ContactsChanged(ContactsChanged),
    /// Part of [`crate::Account`] has changed.
    AccountChanged,
    /// A new request to see our presence.
    SubscriptionRequested(SubscriptionRequest),
    /// Requests answered, here or elsewhere, or withdrawn; or requests of strangers that gave way to newer ones.
    SubscriptionResolved { jid: BareJid },
    /// The server's roster has been reconciled with ours; `changed` contacts differed.
    RosterLoaded { version: Option<String>, changed: usize },
}

/// Contacts that were added, changed or removed. Each list is sorted by JID; their number is unbounded: the event log
/// splits them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactsChanged {
    /// The new state, in full.
    pub changed: Vec<Contact>,
    /// Those in `changed` who were unavailable, as UIs knew them, and no longer are.
    pub came_online: Vec<BareJid>,
    /// JIDs that are no longer contacts.
    pub removed: Vec<BareJid>,
    /// A login found this; it has not just happened: see [`crate::bounds::INITIAL_PRESENCES`].
    pub initial: bool,
}

/// One write to the cache: stored as a whole or not at all.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Write {
    /// Roster items and the roster's version. `replace`: remove what is not in `items`.
    Roster { version: Option<String>, replace: bool, items: Vec<RosterItem>, removed: Vec<BareJid> },
    /// What has changed about a JID apart from its roster item; absent: forget it, including last seen.
    Person { jid: BareJid, person: Option<PersonUpdate> },
    /// An image file, named by its id.
    Image { id: ImageId, kind: ImageType, data: Vec<u8> },
    /// When unavailable contacts were last seen.
    LastSeen(Vec<(BareJid, Timestamp)>),
    /// This account no longer uses this picture; another account may.
    ImageUnused { id: ImageId },
    /// The features behind a caps hash, verified; absent: forget it.
    Caps { key: CapsKey, record: Option<CapsRecord> },
    /// A request to see our presence; absent: it is no longer open.
    SubscriptionRequest { jid: BareJid, request: Option<SubscriptionRequest> },
    /// Our own presence. No server can return it, so it is not in the cache.
    OwnPresence(OwnPresence),
}

impl Write {
    /// The approximate number of bytes of its texts and pictures.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Roster { items, .. } => items
                .iter()
                .map(|item| {
                    item.jid.as_str().len()
                        + length(&item.resource)
                        + length(&item.name)
                        + total(item.groups.iter())
                })
                .sum(),
            Self::Person { person, .. } => person.as_ref().map_or(0, |person| person.profile.bytes()),
            Self::LastSeen(times) => times.iter().map(|(jid, _)| jid.as_str().len()).sum(),
            Self::Image { data, .. } => data.len(),
            Self::Caps { record, .. } => record.as_ref().map_or(0, |record| total(record.features.iter())),
            Self::SubscriptionRequest { request, .. } => {
                request.as_ref().map_or(0, |request| length(&request.nick) + length(&request.message))
            }
            Self::OwnPresence(presence) => length(&presence.status),
            Self::ImageUnused { .. } => 0,
        }
    }
}

fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

fn total(texts: impl Iterator<Item = impl AsRef<str>>) -> usize {
    texts.map(|text| text.as_ref().len()).sum()
}

/// Issues tickets and marks, each once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn issue(&mut self) -> Ticket {
        self.0 += 1;
        Ticket(self.0)
    }

    pub(crate) fn mark(&mut self) -> Mark {
        self.0 += 1;
        Mark(self.0)
    }
}
