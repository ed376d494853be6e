//! The pure session of prosed: one XMPP account as a state machine.
//!
//! It takes inputs ([`Input`]) and returns what should happen next ([`Effect`]). It has no socket, no clock, no disk
//! and no JSON, so a play can script a whole login without mocks or sleeps. The shell around it carries inputs in and
//! effects out, in order.
//!
//! One file per extension, named for what it does. This file composes them: an extension's state is private to its
//! file. What several need is plain data below them, in `model` and `request`, and no modules import each other in a
//! circle.

mod avatar;
mod background;
pub mod bounds;
#[cfg(test)]
mod bounds_tests;
mod caps;
mod carbons;
mod client_state;
mod command;
mod connection;
mod disco;
mod domain;
mod dropped;
mod effect;
mod extensions;
mod failure;
mod image;
mod known_profile;
mod last_seen;
mod line;
mod lookalike;
mod lookups;
mod model;
mod pending;
mod people;
mod pep;
mod person;
mod picture;
mod ping;
mod presence;
mod profile;
mod queue;
mod read;
mod reads;
mod rename;
mod request;
mod roster;
mod saving;
mod size;
mod snapshot;
mod stanzas;
mod startup;
mod step;
mod stream;
mod subscription;
mod subscription_acts;
mod throttle;
mod time;
mod usage;
mod vcard;
mod vcard_edit;
mod vcard_temp;
mod waiting;
mod xml;

use jid::BareJid;
use tracing::debug;
use xmpp_parsers::stanza::Stanza;

pub use caps::Software;
pub use command::{Answer, Call, Command, RosterSource, State, SubscriptionAct};
pub use domain::registrable;
pub use effect::{
    ContactsChanged, Effect, Input, Mark, Notice, Query, Record, StoreFailed, Ticket, Unsent, Write,
};
pub use failure::Failure;
pub use model::{
    Account, Address, AddressPatch, Availability, Avatar, AvatarRecord, CapsKey, CapsRecord, Change,
    ConnectionState, Contact, Declared, ImageId, ImageInfo, ImageType, NotAnImageId, OwnPresence,
    PersonRecord, PersonUpdate, Profile, ProfilePatch, ProfileRecord, ProfileSummary, ProfileUpdate,
    Resource, RosterItem, RosterRecord, Subscription, SubscriptionRequest,
};
pub use read::{read_show, read_stanza};
pub use size::{picture_bytes, stanza_bytes, stanza_limit};
pub use snapshot::Snapshot;
pub use time::{Now, Timestamp};

use pending::Ended;
use people::People;
use request::{Outcome, Request};
use step::Step;
use stream::Stream;
use throttle::Throttle;
use waiting::Waiting;

/// One account's session.
pub struct Session {
    account: BareJid,
    connection: connection::Connection,
    /// The largest stanza that the server accepts, in bytes.
    stanza_limit: usize,
    people: People,
    /// How often UIs are notified of a contact.
    throttle: Throttle,
    /// How often what is known about a contact is saved.
    saves: Throttle,
    /// How often a contact's picture is fetched.
    fetches: Throttle,
    reads: reads::State,
    background: background::State,
    waiting: Waiting,
    dropped: dropped::Dropped,
    usage: usage::Usage,
    images: image::Images,
    tickets: effect::Tickets,
    ids: pending::Ids,
    roster: roster::State,
    client_state: client_state::State,
    presence: presence::State,
    last_seen: last_seen::State,
    subscriptions: subscription::State,
    subscription_acts: subscription_acts::Acts,
    caps: caps::State,
    stream: Stream,
}

impl Session {
    /// A session that starts from the cache. `seed` feeds the ids of requests; it must be unpredictable to peers.
    pub fn new(account: BareJid, software: Software, cached: Snapshot, seed: u64, now: Now) -> Self {
        let Snapshot { roster, mut people, last_seen, caps, requests, images, presence } = cached;
        image::forget_lost(&mut people, &images);
        let (roster, items) = roster::State::cached(roster);
        let images = image::Images::known(&people);
        let mut people = People::new(account.clone(), items, people, seed);
        people.were_seen(last_seen);
        let mut session = Self {
            connection: connection::Connection::new(account.clone(), now.wall),
            stanza_limit: size::stanza_limit(None),
            usage: usage::Usage::of(&people),
            images,
            people,
            throttle: Throttle::of_telling(),
            saves: Throttle::of_saving(),
            fetches: Throttle::of_fetching(),
            reads: reads::State::default(),
            background: background::State::default(),
            waiting: Waiting::default(),
            dropped: dropped::Dropped::default(),
            tickets: effect::Tickets::default(),
            ids: pending::Ids::new(seed),
            roster,
            client_state: client_state::State::default(),
            presence: presence::State::new(presence),
            last_seen: last_seen::State::default(),
            subscriptions: subscription::State::new(requests),
            subscription_acts: subscription_acts::Acts::default(),
            caps: caps::State::new(software, caps),
            stream: Stream::default(),
            account,
        };
        // The initial state is not news.
        if let Some(news) = session.account_news() {
            session.connection.told(news);
        }
        session
    }

    /// Processes an input. It cannot fail: nonsense is logged and ignored. Effects are appended to `effects`, to be
    /// carried out in that order.
    pub fn handle(&mut self, input: Input, now: Now, effects: &mut Vec<Effect>) {
        if let Input::Online { stanza_bytes, .. } | Input::Resumed { stanza_bytes } = &input {
            self.stanza_limit = size::stanza_limit(*stanza_bytes);
        }
        let step = &mut self.step(now, effects);
        match input {
            Input::Connecting => self.handle_connecting(step),
            Input::Online { jid, roster_versioning, client_state, .. } => {
                self.handle_online(jid, roster_versioning, step);
                self.stream.client_state.begin(client_state);
            }
            Input::Resumed { .. } => self.handle_resumed(step),
            Input::Suspended => self.handle_suspended(step),
            Input::Offline { failure, retry_at } => self.handle_offline(failure, retry_at, step),
            Input::Stanza(stanza) => {
                self.connection.heard(now.wall);
                match *stanza {
                    Stanza::Iq(iq) => self.handle_iq(iq, step),
                    Stanza::Message(message) => self.handle_message(message, step),
                    Stanza::Presence(presence) => self.handle_presence(presence, step),
                }
            }
            Input::Command { call, command } => {
                if let Some((call, command)) = self.stream.client_state.hold(call, command) {
                    self.handle_command(call, command, step);
                }
            }
            Input::Watched(is_watched) => self.handle_watched(is_watched, step),
            Input::Saved { ticket, result } => self.handle_saved(ticket, result, step),
            Input::Found { ticket, result } => self.handle_found(ticket, result, step),
            Input::Acknowledged(marks) => self.subscription_acts.acknowledged(&marks),
            Input::Unsent(unsent) => self.subscription_acts.unsent(&unsent),
            Input::Tick => self.handle_tick(step),
        }
        while let Some((ended, failure)) = self.stream.pending.take_refused() {
            self.handle_outcome(ended, Err(failure), step);
        }
        self.tickets = step.tickets;
    }

    fn step<'a>(&self, now: Now, effects: &'a mut Vec<Effect>) -> Step<'a> {
        Step { now, stanza_limit: self.stanza_limit, tickets: self.tickets, effects }
    }

    /// Turns the changes since the last call into events. Call it when no more input is at hand: changes that arrive
    /// together are reported together, and the first after a quiet time are not delayed. A contact who keeps changing
    /// is reported twice a second. What is known about people is saved in the same way.
    pub fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let step = &mut self.step(now, effects);
        self.save_people(step);
        self.save_last_seen(step);
        self.tell_requests(step);
        self.tickets = step.tickets;
        if self.throttle.is_due(now.monotonic) {
            return self.tell(step);
        }
        let (people, throttle) = (&mut self.people, &mut self.throttle);
        let changes = people.take_changes(|jid| throttle.admits(jid, now.monotonic));
        self.tell_changes(changes, step);
        if let Some(news) = self.account_news()
            && (self.connection.is_of_ours(&news) || self.throttle.admits(&self.account, now.monotonic))
        {
            self.tell_account(news, step);
        }
    }

    /// One contact, if this JID is one.
    pub fn contact(&self, jid: &BareJid) -> Option<Contact> {
        self.people.contact(jid)
    }

    /// All contacts, sorted by JID.
    pub fn contacts(&self) -> Vec<Contact> {
        self.people.contacts()
    }

    /// Whether there is a roster to show, from the cache or the server.
    pub fn has_roster(&self) -> bool {
        self.roster.is_known()
    }

    fn handle_command(&mut self, call: Call, command: Command, step: &mut Step<'_>) {
        match command {
            Command::Login => self.handle_login(call, step),
            Command::Logout => self.handle_logout(call, step),
            Command::GetAccount => step.reply(call, Ok(Answer::Account(Box::new(self.account())))),
            Command::LoadRoster => self.handle_load_roster(call, step),
            Command::LoadState => self.handle_load_state(call, step),
            Command::ShowContacts { jids } => {
                jids.iter().rev().for_each(|jid| self.note_shown(jid, step.now));
                self.ask_on(step);
                step.reply(call, Ok(Answer::Done));
            }
            Command::GetContact { jid } => {
                let contact = self.people.contact(&jid).map(|contact| Answer::Contact(Box::new(contact)));
                step.reply(call, contact.ok_or(Failure::ContactUnknown));
                self.show_one(&jid, step);
            }
            Command::LoadAvatar { jid } => {
                self.handle_load_avatar(call, jid.clone(), step);
                self.show_one(&jid, step);
            }
            Command::LoadProfile { jid, refresh } => {
                self.handle_load_profile(call, jid.clone(), refresh, step);
                self.show_one(&jid, step);
            }
            Command::AddContact { jid, name, groups, subscribe } => {
                self.handle_add_contact(call, jid, name, groups, subscribe, step);
            }
            Command::UpdateContact { jid, name, groups } => {
                self.handle_update_contact(call, jid, name, groups, step);
            }
            Command::RenameGroup { from, to } => self.handle_rename_group(call, from, to, step),
            Command::RemoveContact { jid } => self.handle_remove_contact(call, jid, step),
            Command::ListSubscriptionRequests => {
                step.reply(call, Ok(Answer::SubscriptionRequests(self.subscription_requests())));
            }
            Command::Subscription { jid, act } => self.handle_subscription_act(call, jid, act, step),
            Command::SetAvatar { images } => self.handle_set_avatar(call, images, step),
            Command::SetProfile(patch) => self.handle_set_profile(call, *patch, step),
            Command::SetPresence(presence) => self.handle_set_presence(call, presence, step),
        }
    }

    /// A request has ended: with its answer, an error, its deadline, or the end of its stream.
    pub(crate) fn handle_outcome(&mut self, ended: Ended, outcome: Outcome, step: &mut Step<'_>) {
        let Ended { request, lookup } = ended;
        lookup.iter().for_each(|lookup| self.stream.lookups.end(lookup));
        if let Err(failure) = &outcome {
            debug!(?request, %failure, "request ended");
        }
        match request {
            Request::Roster => {
                self.handle_roster_result(outcome, step);
                // Answered on another device while we were away.
                for jid in self.subscriptions.from() {
                    self.note_roster_change(&jid);
                }
                self.look_for_others(step.now.monotonic);
            }
            Request::RosterChange { call } => self.handle_roster_change_result(call, outcome, step),
            Request::Rename { jid } => self.handle_rename_result(&jid, outcome, step),
            Request::PublishAvatar { call, id, part } => {
                self.handle_avatar_published(call, id, part, outcome, step)
            }
            Request::OwnVcard { from } => self.handle_own_vcard(from, outcome, step),
            Request::PublishVcard { vcard, source } => {
                self.handle_vcard_published(*vcard, source, outcome, step);
            }
            Request::EnableCarbons => carbons::note_result(&outcome),
            // Any answer will do, also an error.
            Request::Refresh => self.end_refresh(step),
            Request::Disco { asked } => self.handle_disco_result(asked, outcome, step),
            Request::AvatarMetadata { jid, known } => {
                let failure = self.handle_avatar_metadata_result(&jid, known, outcome, step);
                self.conclude_avatar(jid, failure, step);
            }
            Request::AvatarData(query) => self.handle_avatar_data_result(query, outcome, step),
            Request::Vcard { jid, source, on_request } => {
                match self.handle_vcard_result(&jid, source, outcome, step) {
                    None => self.ask_next_profile(jid, source, on_request, step),
                    failure if on_request => self.answer_profile(jid, failure, step),
                    _ => {}
                }
            }
            Request::VcardTemp { jid, on_request } => {
                let failure = self.handle_vcard_temp_result(&jid, outcome, step);
                if on_request {
                    self.answer_profile(jid, failure, step);
                }
            }
        }
        self.ask_on(step);
    }

    /// What fails and concerns no feature is lost, and the server can send it again. The store has logged it.
    fn handle_saved(&mut self, ticket: Ticket, result: Result<(), StoreFailed>, step: &mut Step<'_>) {
        if let Some(image) = self.images.take_saved(ticket) {
            self.handle_image_saved(image, result, step);
            self.ask_on(step);
        } else if let Some(saved) = self.presence.take_saved(ticket) {
            self.handle_presence_saved(saved, result, step);
        } else {
            self.handle_person_saved(ticket, result);
        }
    }

    /// Reports every effective change to UIs, including those that would otherwise wait.
    fn tell(&mut self, step: &mut Step<'_>) {
        self.tell_contacts(step);
        if let Some(news) = self.account_news() {
            self.tell_account(news, step);
        }
        self.throttle.done_for_all();
    }

    /// What has changed about contacts so far, before the next change. Our own state is reported once per input,
    /// since its notice carries nothing: it is read when it is reported.
    fn tell_contacts(&mut self, step: &mut Step<'_>) {
        let changes = self.people.take_changes(|_| true);
        self.tell_changes(changes, step);
    }

    fn tell_changes(&mut self, changes: [ContactsChanged; 2], step: &mut Step<'_>) {
        for changes in changes {
            for jid in changes.changed.iter().map(|contact| &contact.jid).chain(&changes.removed) {
                self.throttle.done(jid, step.now.monotonic);
            }
            if !changes.changed.is_empty() || !changes.removed.is_empty() {
                step.notify(Notice::ContactsChanged(changes));
            }
        }
    }

    fn tell_account(&mut self, news: Account, step: &mut Step<'_>) {
        if !self.connection.is_of_ours(&news) {
            self.throttle.done(&self.account, step.now.monotonic);
        }
        self.connection.told(news);
        step.notify(Notice::AccountChanged);
    }
}
