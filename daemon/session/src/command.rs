//! What UIs can ask of a session, and what it answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::contact::{Account, Avatar, Contact, Profile, ProfilePatch};
use crate::failure::Failure;
use crate::snapshot::{ImageId, OwnPresence};
use crate::time::Timestamp;

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
    /// Answered with [`Answer::State`] at once, when UIs have been told all that is in it.
    LoadState,
    /// A UI shows these: they are asked ahead of others. Answered with [`Answer::Done`].
    ShowContacts { jids: Vec<BareJid> },
    /// Answered with [`Answer::Contact`], features of its resources included.
    GetContact { jid: BareJid },
    /// Answered with [`Answer::Avatar`] once the image is saved. Our own JID is fine.
    LoadAvatar { jid: BareJid },
    /// Answered with [`Answer::Profile`]; `refresh` asks the server anew. Our own JID is fine.
    LoadProfile { jid: BareJid, refresh: bool },
    /// Puts somebody into the roster, and then does `subscribe`, where there is one. Answered with
    /// [`Answer::Contact`] once the server has it.
    AddContact {
        jid: BareJid,
        name: Option<String>,
        groups: BTreeSet<String>,
        subscribe: Option<SubscriptionAct>,
    },
    /// Changes what is given; an empty name takes it away. Answered with [`Answer::Contact`] once
    /// the server has it.
    UpdateContact { jid: BareJid, name: Option<String>, groups: Option<BTreeSet<String>> },
    /// Puts all who are in the one group into the other instead. Answered with [`Answer::GroupRenamed`] once the
    /// server has said what became of each.
    RenameGroup { from: String, to: String },
    /// Takes somebody out of the roster, and ends both subscriptions. Answered with
    /// [`Answer::Done`] once the server has it.
    RemoveContact { jid: BareJid },
    /// Who wants to see our presence. Answered with [`Answer::SubscriptionRequests`].
    ListSubscriptionRequests,
    /// Answered with [`Answer::Done`] once it is sent.
    Subscription { jid: BareJid, act: SubscriptionAct },
    /// Publishes our picture: of these PNGs of it, the first that the server takes. None: takes it away. Answered
    /// with [`Answer::Published`] once the server has it.
    SetAvatar { images: Vec<Vec<u8>> },
    /// Changes our profile as published; what is not named, and what a profile can't hold of our vCard, stays.
    /// Answered with [`Answer::Done`] once the server has it.
    SetProfile(Box<ProfilePatch>),
    /// Kept across restarts, and then sent. Answered with [`Answer::Done`] once it is on disk.
    SetPresence(OwnPresence),
}

/// What may be done about who sees whose presence (RFC 6121 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's sentence speaks of its fields")]
pub enum SubscriptionAct {
    /// They may see ours, now or whenever they ask (§3.1.4, §3.4).
    Approve,
    /// They may not see ours, or no longer (§3.1.4, §3.2).
    Deny,
    /// We want to see theirs; `message` is a sentence for them (§3.1.1).
    Request { message: Option<String> },
    /// We want to see theirs no longer, or take the request back (§3.3).
    Cancel,
}

/// Somebody wants to see our presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionRequest {
    /// Who. They may be a stranger.
    pub jid: BareJid,
    /// What they call themselves (XEP-0172).
    pub nick: Option<String>,
    /// What they say with it (§3.1.1).
    pub message: Option<String>,
    /// When we first heard of it.
    pub received_at: Timestamp,
    /// Their JID, or what they call themselves, looks like that of somebody else whom we know, or of ourselves,
    /// and is another. Not kept: it depends on the roster.
    #[serde(skip)]
    pub look_alike: bool,
}

/// Where a roster came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterSource {
    /// From the cache; the server's is fetched behind it.
    Cache,
    /// As the server has it.
    Server,
}

/// All that UIs show of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Our own state.
    pub account: Account,
    /// Where the contacts came from; absent where no roster is known yet.
    pub source: Option<RosterSource>,
    /// The roster's version.
    pub version: Option<String>,
    /// All contacts, sorted by JID.
    pub contacts: Vec<Contact>,
    /// Who wants to see our presence, sorted by JID.
    pub requests: Vec<SubscriptionRequest>,
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
    /// All that UIs show of the account.
    State(Box<State>),
    /// One contact, whole.
    Contact(Box<Contact>),
    /// How many members were renamed, and who was not, sorted by JID.
    GroupRenamed { renamed: usize, failed: Vec<(BareJid, Failure)> },
    /// An image that is saved; its bytes are with the image store, under its id.
    Avatar(Avatar),
    /// Our picture is published under this id; absent: there is none now.
    Published(Option<ImageId>),
    /// Sorted by JID.
    SubscriptionRequests(Vec<SubscriptionRequest>),
    /// A profile.
    Profile(Arc<Profile>),
}
