//! Commands from UIs, and their answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jid::BareJid;

use crate::failure::Failure;
use crate::model::{
    Account, Avatar, Contact, ImageId, OwnPresence, Profile, ProfilePatch, SubscriptionRequest,
};

/// Names one call in flight. The shell picks it; the reply carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(pub u64);

/// A command from a UI.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Command {
    /// Answered with [`Answer::Account`] once the initial presence is out.
    Login,
    /// Sends unavailable presence. Calls in flight fail with `Offline`; answered with [`Answer::Done`].
    Logout,
    /// Answered with [`Answer::Account`].
    GetAccount,
    /// Answered with [`Answer::Roster`]: from the cache at once if there is one.
    LoadRoster,
    /// Answered with [`Answer::State`] at once, after UIs have been told everything in it.
    LoadState,
    /// A UI shows these contacts: they are queried before others. Answered with [`Answer::Done`].
    ShowContacts { jids: Vec<BareJid> },
    /// Answered with [`Answer::Contact`], features of its resources included.
    GetContact { jid: BareJid },
    /// Answered with [`Answer::Avatar`] once the image is saved. Our own JID is fine.
    LoadAvatar { jid: BareJid },
    /// Answered with [`Answer::Profile`]; `refresh` queries the server again. Our own JID is fine.
    LoadProfile { jid: BareJid, refresh: bool },
    /// Adds a contact to the roster, then does `subscribe`, if given. Answered with [`Answer::Contact`] once the
    /// server has it.
    AddContact {
        jid: BareJid,
        name: Option<String>,
        groups: BTreeSet<String>,
        subscribe: Option<SubscriptionAct>,
    },
    /// Changes what is given; an empty name removes it. Answered with [`Answer::Contact`] once the server has it.
    UpdateContact { jid: BareJid, name: Option<String>, groups: Option<BTreeSet<String>> },
    /// Moves all members of one group to the other. Answered with [`Answer::GroupRenamed`] once the server has
    /// replied for each.
    RenameGroup { from: String, to: String },
    /// Removes a contact from the roster and ends both subscriptions. Answered with [`Answer::Done`] once the server
    /// has it.
    RemoveContact { jid: BareJid },
    /// Open subscription requests. Answered with [`Answer::SubscriptionRequests`].
    ListSubscriptionRequests,
    /// Answered with [`Answer::Done`] once it is sent.
    Subscription { jid: BareJid, act: SubscriptionAct },
    /// Publishes our picture: the first of these PNGs that the server accepts. None: removes it. Answered with
    /// [`Answer::Published`] once the server has it.
    SetAvatar { images: Vec<Vec<u8>> },
    /// Changes our published profile; what is not named stays, and so does everything in our vCard that a profile
    /// cannot hold. Answered with [`Answer::Done`] once the server has it.
    SetProfile(Box<ProfilePatch>),
    /// Stored across restarts, then sent. Answered with [`Answer::Done`] once it is on disk.
    SetPresence(OwnPresence),
}

/// Changes to who sees whose presence (RFC 6121 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum SubscriptionAct {
    /// They may see ours, now or whenever they ask (§3.1.4, §3.4).
    Approve,
    /// They may not, or no longer, see ours (§3.1.4, §3.2).
    Deny,
    /// We want to see theirs; `message` is a sentence for them (§3.1.1).
    Request { message: Option<String> },
    /// We no longer want to see theirs, or withdraw the request (§3.3).
    Cancel,
}

/// Where a roster came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterSource {
    /// From the cache; the server's follows.
    Cache,
    /// From the server.
    Server,
}

/// Everything that UIs show of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Our own state.
    pub account: Account,
    /// Where the contacts came from; absent if no roster is known yet.
    pub source: Option<RosterSource>,
    /// The roster's version.
    pub version: Option<String>,
    /// All contacts, sorted by JID.
    pub contacts: Vec<Contact>,
    /// Open subscription requests, sorted by JID.
    pub requests: Vec<SubscriptionRequest>,
}

/// The session's answer to a [`Command`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum Answer {
    /// It is done.
    Done,
    /// Our own state.
    Account(Box<Account>),
    /// All contacts, sorted by JID.
    Roster { source: RosterSource, version: Option<String>, contacts: Vec<Contact> },
    /// Everything that UIs show of the account.
    State(Box<State>),
    /// One contact, in full.
    Contact(Box<Contact>),
    /// How many members were renamed, and which were not, sorted by JID.
    GroupRenamed { renamed: usize, failed: Vec<(BareJid, Failure)> },
    /// A saved image; its bytes are in the image store, under its id.
    Avatar(Avatar),
    /// Our picture is published under this id; absent: we have none now.
    Published(Option<ImageId>),
    /// Sorted by JID.
    SubscriptionRequests(Vec<SubscriptionRequest>),
    /// A profile.
    Profile(Arc<Profile>),
}
