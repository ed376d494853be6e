//! What each part of a session contributes: when to wake up, what to forget with a contact, which features to announce.
//!
//! Each list names all parts, so that a new part does not compile until it is decided what it has to say. An answer that
//! nobody asks for, as a list of features or the handler of a deadline, is dead code, which the build refuses.

use std::time::Instant;

use jid::BareJid;

use crate::caps::Software;
use crate::failure::Failure;
use crate::person::Person;
use crate::stream::Stream;
use crate::{Session, Step, avatar, caps, disco, pep, ping, vcard};

impl Software {
    /// prosed: what each extension here declares.
    pub fn prosed() -> Self {
        let features = [
            caps::FEATURES,
            avatar::FEATURES,
            disco::FEATURES,
            pep::FEATURES,
            ping::FEATURES,
            vcard::FEATURES,
        ];
        Self {
            node: "https://www.prose.org".to_owned(),
            category: "client".to_owned(),
            type_: "pc".to_owned(),
            name: "prosed".to_owned(),
            features: features.concat().into_iter().map(str::to_owned).collect(),
        }
    }
}

impl Session {
    /// When to send [`Input::Tick`](crate::Input::Tick), unless something else happens first.
    pub fn next_deadline(&self) -> Option<Instant> {
        let Self {
            connection,
            throttle,
            saves,
            fetches,
            waiting,
            dropped,
            last_seen,
            subscriptions,
            stream,
            // These wait for nothing but an input.
            account: _,
            stanza_limit: _,
            people: _,
            reads: _,
            background: _,
            usage: _,
            images: _,
            tickets: _,
            ids: _,
            roster: _,
            presence: _,
            client_state: _,
            subscription_acts: _,
            caps: _,
        } = self;
        let Stream {
            startup,
            client_state,
            pending,
            background,
            presence,
            // Requests have their deadline in `pending`, and calls in `waiting`.
            connection: _,
            lookups: _,
            roster: _,
            renames: _,
            caps: _,
            images: _,
            vcard_temp: _,
            vcard_edits: _,
        } = stream;
        let is_online = connection.is_online();
        [
            // A suspended stream keeps its requests: answers may still arrive.
            pending.next_deadline().filter(|_| is_online),
            startup.next_deadline().filter(|_| is_online),
            client_state.next_deadline(),
            // Those in line are queried after an answer.
            background.next_deadline().filter(|_| self.may_line_up()),
            presence.next_deadline(),
            waiting.next_deadline(),
            last_seen.next_deadline(),
            throttle.next_deadline(),
            saves.next_deadline(),
            fetches.next_deadline(),
            subscriptions.next_deadline(),
            dropped.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A deadline has come. What only reports or saves does so in [`Session::settle`].
    pub(crate) fn handle_tick(&mut self, step: &mut Step<'_>) {
        if self.connection.is_online() {
            for ended in self.stream.pending.take_overdue(step.now.monotonic) {
                self.handle_outcome(ended, Err(Failure::RequestTimedOut), step);
            }
        }
        self.handle_overdue_calls(step);
        self.handle_startup_deadlines(step);
        self.handle_presence_deadlines(step);
        self.handle_client_state_deadline(step);
        self.fetch_what_waited(step.now.monotonic);
        self.ask_on(step);
        self.dropped.tell(step.now);
    }

    /// A JID is no longer a contact: nothing of it is kept.
    pub(crate) fn forget_contact(&mut self, jid: &BareJid, person: &Person) {
        self.let_images_go(jid, person);
        let Self {
            fetches,
            background,
            last_seen,
            subscription_acts,
            stream,
            // Removed by the caller, so that UIs and the cache are told.
            people: _,
            // Removed with the person, by `let_images_go`.
            images: _,
            // What is due or on its way ends by itself.
            throttle: _,
            saves: _,
            reads: _,
            waiting: _,
            // A request may be a stranger's, too.
            subscriptions: _,
            // They know of no contacts.
            account: _,
            connection: _,
            stanza_limit: _,
            dropped: _,
            usage: _,
            tickets: _,
            ids: _,
            roster: _,
            presence: _,
            client_state: _,
            caps: _,
        } = self;
        fetches.forget(jid);
        background.forget_contact(jid);
        last_seen.forget_contact(jid);
        subscription_acts.forget_contact(jid);
        let Stream {
            lookups,
            background,
            caps,
            vcard_temp,
            // Removed with the person, by `let_images_go`.
            images: _,
            // What is on its way ends by itself.
            pending: _,
            roster: _,
            renames: _,
            // They know of no contacts.
            connection: _,
            startup: _,
            client_state: _,
            presence: _,
            vcard_edits: _,
        } = stream;
        lookups.forget(jid);
        background.forget_contact(jid);
        caps.forget_contact(jid, person);
        vcard_temp.forget_contact(jid);
    }
}
