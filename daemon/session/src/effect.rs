//! What can happen to a session, and what it can want. Together with `Session::handle` this is
//! the map of the program.

use jid::{BareJid, FullJid};
use xmpp_parsers::stanza::Stanza;

use crate::command::{Answer, Call, Command, SubscriptionRequest};
use crate::contact::Contact;
use crate::failure::Failure;
use crate::snapshot::{
    CapsKey, CapsRecord, ImageId, ImageType, OwnPresence, PersonRecord, ProfileRecord, RosterItem,
};
use crate::time::Timestamp;

/// Everything that can happen to a session.
#[derive(Debug)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Input {
    /// The shell has begun to connect.
    Connecting,
    /// A new stream is authenticated and bound; nothing of an earlier stream's state is left. `stanza_bytes`: how
    /// large a stanza may be, where the server says so (XEP-0478).
    Online { jid: FullJid, roster_versioning: bool, stanza_bytes: Option<u32> },
    /// The stream came back with its state (XEP-0198).
    Resumed { stanza_bytes: Option<u32> },
    /// The connection is lost; the stream may yet resume.
    Suspended,
    /// There is no stream. `retry_at`: when the shell will try again; absent: it won't.
    Offline { failure: Option<Failure>, retry_at: Option<Timestamp> },
    /// The server sent this.
    Stanza(Box<Stanza>),
    /// A UI asks for something.
    Command { call: Call, command: Command },
    /// A write that asked for a receipt is on disk, or failed to get there.
    Saved { ticket: Ticket, stored: bool },
    /// The time that `next_deadline` named has come.
    Tick,
}

/// Everything that a session can want, to be carried out in this order.
#[derive(Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Effect {
    /// Keep this. With a ticket, say [`Input::Saved`] once it is on disk.
    Save { write: Write, ticket: Option<Ticket> },
    /// Send this to the server, which takes so many bytes.
    Send { stanza: Box<Stanza>, bytes: usize },
    /// Answer this call; each call is answered exactly once.
    Reply { call: Call, result: Result<Answer, Failure> },
    /// Tell the UIs.
    Notify(Notice),
}

/// A receipt for a [`Effect::Save`], picked by the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// News for UIs. Always an effective change.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Notice {
    /// Contacts are new, changed or gone.
    ContactsChanged(ContactsChanged),
    /// Something of [`crate::Account`] is new.
    AccountChanged,
    /// Somebody wants to see our presence.
    SubscriptionRequested(SubscriptionRequest),
    /// They have their answer, from here or elsewhere, or have taken it back; or they are strangers, and
    /// newer requests have taken the place of theirs.
    SubscriptionResolved { jid: BareJid },
    /// The server's roster has been reconciled with ours; `changed` contacts differed.
    RosterLoaded { version: Option<String>, changed: usize },
}

/// Contacts who are new, changed or gone. Each list is sorted by JID; no bound on their number: the event log
/// splits them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactsChanged {
    /// The new state, whole.
    pub changed: Vec<Contact>,
    /// Those of `changed` who were unavailable before, as UIs knew them, and are not now.
    pub came_online: Vec<BareJid>,
    /// Who is a contact no more.
    pub removed: Vec<BareJid>,
    /// It is what a login has found, and not what has just happened: see [`crate::bounds::INITIAL_PRESENCES`].
    pub initial: bool,
}

/// One write to the cache; what is inside one write is stored all at once or not at all.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Write {
    /// Roster items and the roster's version. `replace`: what is not in `items` goes.
    Roster { version: Option<String>, replace: bool, items: Vec<RosterItem>, removed: Vec<BareJid> },
    /// What we know of somebody apart from their roster item; absent: forget them, and when they were last there.
    Person { jid: BareJid, person: Option<PersonRecord> },
    /// An image file, named by its id.
    Image { id: ImageId, kind: ImageType, data: Vec<u8> },
    /// When contacts who are away were last there.
    LastSeen(Vec<(BareJid, Timestamp)>),
    /// Nobody of this account has this picture any more; somebody of another may.
    ImageUnused { id: ImageId },
    /// The features behind a caps hash, verified; absent: forget it.
    Caps { key: CapsKey, record: Option<CapsRecord> },
    /// Somebody's request to see our presence; absent: it is open no more.
    SubscriptionRequest { jid: BareJid, request: Option<SubscriptionRequest> },
    /// Our own presence. No server can give it back, so it does not live in the cache.
    OwnPresence(OwnPresence),
}

impl Write {
    /// About how many bytes of texts and pictures are in it.
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
            Self::Person { person, .. } => person.as_ref().map_or(0, |person| {
                let ProfileRecord { vcard4, prose, temp } = &person.profile;
                [vcard4, prose, temp].into_iter().flatten().map(|profile| profile.bytes()).sum()
            }),
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

/// Hands out receipts, each once.
#[derive(Debug, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn issue(&mut self) -> Ticket {
        self.0 += 1;
        Ticket(self.0)
    }
}
