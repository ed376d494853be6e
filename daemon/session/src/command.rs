//! What UIs can ask of a session, and what it answers.

use std::sync::Arc;

use jid::BareJid;

use crate::contact::{Account, Avatar, Contact, Profile};
use crate::snapshot::OwnPresence;

/// Names one call in flight. The shell picks it; the reply carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(pub u64);

/// What a UI asks of the session.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Command {
    /// Answered with [`Answer::Account`] once the initial presence is out.
    Login,
    /// Says farewell to contacts. Calls in flight fail with `Offline`; answered with [`Answer::Done`].
    Logout,
    /// Answered with [`Answer::Account`].
    GetAccount,
    /// Answered with [`Answer::Roster`]: from the cache at once where there is one.
    LoadRoster,
    /// Answered with [`Answer::Contact`], features of its resources included.
    GetContact { jid: BareJid },
    /// Answered with [`Answer::Avatar`] once the image is saved. Our own JID is fine.
    LoadAvatar { jid: BareJid },
    /// Answered with [`Answer::Profile`]; `refresh` asks the server anew. Our own JID is fine.
    LoadProfile { jid: BareJid, refresh: bool },
    /// Kept across restarts, and then sent. Answered with [`Answer::Done`] once it is on disk.
    SetPresence(OwnPresence),
}

/// Where a roster came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterSource {
    /// From the cache; the server's is fetched behind it.
    Cache,
    /// As the server has it.
    Server,
}

/// What the session answers to a [`Command`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Answer {
    /// It is done.
    Done,
    /// Our own state.
    Account(Box<Account>),
    /// All contacts, sorted by JID.
    Roster { source: RosterSource, version: Option<String>, contacts: Vec<Contact> },
    /// One contact, whole.
    Contact(Box<Contact>),
    /// An image that is saved; its bytes are with the image store, under its id.
    Avatar(Avatar),
    /// A profile.
    Profile(Arc<Profile>),
}
