//! What an actor starts with: what survived the previous one, and how to begin.

use std::collections::{BTreeMap, BTreeSet};

use jid::BareJid;
use prosed_session::{Availability, Call, Contact, Failure};
use tokio::sync::mpsc;

use super::{Caller, Message};
use crate::stream::Stream;

/// What survives a crash of the actor.
pub(crate) struct Survivors {
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// The callers that wait for an answer.
    pub(crate) calls: BTreeMap<Call, Caller>,
    /// So that the stream can be closed cleanly: otherwise the server would keep the session for minutes.
    pub(crate) stream: Option<Stream>,
    /// The contacts last shown to UIs as present. No cache has them.
    present: BTreeSet<BareJid>,
}

/// How an actor starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    /// The previous actor or start crashed, and UIs must be told: see [`Failure::Internal`].
    pub(crate) failure: Option<Failure>,
    /// Log in with the remembered secret.
    pub(crate) login: bool,
    /// The cache is not to be trusted either.
    pub(crate) distrust_cache: bool,
}

impl Survivors {
    pub(crate) fn new(inbox: mpsc::Receiver<Message>) -> Self {
        Self { inbox, calls: BTreeMap::new(), stream: None, present: BTreeSet::new() }
    }

    /// UIs have been shown this.
    pub(super) fn shown(&mut self, changed: &[Contact], removed: &[BareJid]) {
        for contact in changed {
            if contact.availability == Availability::Unavailable && contact.resources.is_empty() {
                self.present.remove(&contact.jid);
            } else if !self.present.contains(&contact.jid) {
                self.present.insert(contact.jid.clone());
            }
        }
        for jid in removed {
            self.present.remove(jid);
        }
    }

    /// The contacts shown to UIs as present, and those to report again.
    pub(super) fn take_present(&mut self) -> BTreeSet<BareJid> {
        std::mem::take(&mut self.present)
    }
}
