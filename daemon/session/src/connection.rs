//! The state of the session, and how UIs learn of it.

use jid::{BareJid, FullJid, Jid};

use crate::command::Answer;
use crate::failure::Failure;
use crate::model::{Account, ConnectionState, OwnPresence};
use crate::people::People;
use crate::time::Timestamp;
use crate::waiting::Awaited;
use crate::{Session, Step};

pub(crate) struct Connection {
    account: BareJid,
    state: ConnectionState,
    since: Timestamp,
    heard_at: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    failure: Option<Failure>,
    /// What UIs were last told.
    told: Option<Account>,
}

/// What is bound to a stream.
#[derive(Default)]
pub(crate) struct PerStream {
    jid: Option<FullJid>,
    /// We have logged out; the server has not closed the stream yet, and may never do so.
    is_leaving: bool,
}

impl PerStream {
    /// This very session, not another of our devices.
    pub(crate) fn is_us(&self, jid: &Jid) -> bool {
        self.jid.as_ref().is_some_and(|own| own.as_str() == jid.as_str())
    }
}

impl Connection {
    pub(crate) fn new(account: BareJid, since: Timestamp) -> Self {
        let state = ConnectionState::Offline;
        Self { account, state, since, heard_at: None, retry_at: None, failure: None, told: None }
    }

    pub(crate) fn is_online(&self) -> bool {
        self.state == ConnectionState::Online
    }

    /// Online, or may come back without our doing.
    pub(crate) fn is_hopeful(&self) -> bool {
        !matches!(self.state, ConnectionState::Offline | ConnectionState::Failed)
    }

    pub(crate) fn heard(&mut self, at: Timestamp) {
        self.heard_at = Some(at);
    }

    /// Why a call that needs the server can't have it.
    pub(crate) fn why_not_online(&self) -> Failure {
        match (&self.failure, self.state) {
            (Some(failure), _) => failure.clone(),
            (None, ConnectionState::Online) => Failure::RequestTimedOut,
            (None, ConnectionState::Connecting | ConnectionState::Suspended) => {
                Failure::ServerUnreachable { text: "no connection within 30 seconds".to_owned() }
            }
            (None, _) => Failure::Offline,
        }
    }

    fn account(&self, stream: &PerStream, people: &People, presence: &OwnPresence) -> Account {
        let us = people.person(&self.account);
        Account {
            account: self.account.clone(),
            jid: stream.jid.clone(),
            state: self.state,
            since: self.since,
            last_stanza_at: self.heard_at,
            retry_at: self.retry_at,
            failure: self.failure.clone(),
            availability: presence.availability,
            status: presence.status.clone(),
            profile: us.and_then(|us| us.profile.summary().cloned()),
            avatar: us.and_then(|us| us.shown),
            resources: us.map(|us| us.resources()).unwrap_or_default(),
            roster_truncated: people.is_truncated(),
        }
    }

    /// Whether the change is due to us, and not only to our other devices or the server.
    pub(crate) fn is_of_ours(&self, news: &Account) -> bool {
        let Some(told) = &self.told else { return true };
        let Account { profile, avatar, resources, .. } = told.clone();
        Account { profile, avatar, resources, ..news.clone() } != *told
    }

    /// UIs know it now.
    pub(crate) fn told(&mut self, news: Account) {
        self.told = Some(news);
    }

    fn enter(&mut self, state: ConnectionState, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.retry_at = None;
    }
}

impl Session {
    /// Our own state.
    pub fn account(&self) -> Account {
        self.connection.account(&self.stream.connection, &self.people, self.presence.own())
    }

    /// Our own state, if anything about it is new to UIs.
    pub(crate) fn account_news(&self) -> Option<Account> {
        // Hearing from the server is not news.
        let account = Account { last_stanza_at: None, ..self.account() };
        (self.connection.told.as_ref() != Some(&account)).then_some(account)
    }

    /// There is no stream, or it is closing: prosed may exit before the next chance to save.
    pub(crate) fn must_save_now(&self) -> bool {
        !self.connection.is_online() || self.stream.connection.is_leaving
    }

    pub(crate) fn handle_connecting(&mut self, step: &mut Step<'_>) {
        if !self.connection.is_hopeful() {
            self.connection.enter(ConnectionState::Connecting, step.now.wall);
            self.connection.failure = None;
        }
        self.tell(step);
    }

    pub(crate) fn handle_online(&mut self, jid: FullJid, roster_versioning: bool, step: &mut Step<'_>) {
        self.tell_contacts(step);
        // Their stream is gone, and the new server's limit is lower: sending them again would be useless.
        for ended in self.stream.pending.take_larger_than(step.stanza_limit) {
            self.handle_outcome(ended, Err(Failure::TooLarge { limit: step.stanza_limit }), step);
        }
        self.end_stream(ConnectionState::Connecting, step);
        self.mark_presences_stale(step);
        self.connection.enter(ConnectionState::Online, step.now.wall);
        self.stream.connection.jid = Some(jid);
        self.connection.failure = None;
        self.tell(step);
        self.start_up(roster_versioning, step);
    }

    pub(crate) fn handle_resumed(&mut self, step: &mut Step<'_>) {
        if self.connection.state == ConnectionState::Suspended {
            self.tell_contacts(step);
            self.connection.enter(ConnectionState::Online, step.now.wall);
            self.connection.failure = None;
            self.stream.pending.prolong(step.now.monotonic);
            self.stream.presence.keep();
            self.last_seen.regain_sight();
            self.stream.client_state.resume();
            self.tell(step);
            self.tell_client_state(step);
            if self.stream.startup.is_announced() {
                let account = Answer::Account(Box::new(self.account()));
                self.answer_waiting(&Awaited::Login, &Ok(account), step);
            }
            self.ask_on(step);
        }
    }

    pub(crate) fn handle_suspended(&mut self, step: &mut Step<'_>) {
        if self.connection.is_online() {
            self.tell_contacts(step);
            self.connection.enter(ConnectionState::Suspended, step.now.wall);
            self.last_seen.lose_sight(step.now.wall);
            self.stream.presence.keep_until(step.now.monotonic + crate::bounds::PRESENCE_KEPT);
            self.tell(step);
        }
    }

    pub(crate) fn handle_offline(
        &mut self,
        failure: Option<Failure>,
        retry_at: Option<Timestamp>,
        step: &mut Step<'_>,
    ) {
        self.tell_contacts(step);
        if retry_at.is_none() {
            let state = if failure.is_some() { ConnectionState::Failed } else { ConnectionState::Offline };
            self.end_stream(state, step);
            self.forget_presences(step);
            self.fail_waiting(failure.as_ref().unwrap_or(&Failure::Offline), step);
        } else if !matches!(self.connection.state, ConnectionState::Suspended | ConnectionState::Connecting) {
            self.end_stream(ConnectionState::Connecting, step);
            self.forget_presences(step);
        }
        if let Some(failure) = failure.as_ref().filter(|failure| !failure.may_pass()) {
            // Retries continue, slowly. Calls should not wait for them.
            self.answer_waiting(&Awaited::Login, &Err(failure.clone()), step);
            self.answer_waiting(&Awaited::Roster, &Err(failure.clone()), step);
        }
        self.connection.failure = failure;
        self.connection.retry_at = retry_at;
        self.tell(step);
    }

    pub(crate) fn handle_logout(&mut self, call: crate::Call, step: &mut Step<'_>) {
        self.end_all_renames(&Failure::Offline, step);
        self.fail_waiting(&Failure::Offline, step);
        if self.connection.is_online() && self.stream.startup.is_announced() {
            let _ = step.send(self.presence.farewell());
        }
        self.stream.connection.is_leaving = true;
        step.reply(call, Ok(Answer::Done));
    }

    /// Nothing remains of the stream: every request on it ends here.
    fn end_stream(&mut self, state: ConnectionState, step: &mut Step<'_>) {
        self.connection.enter(state, step.now.wall);
        self.end_all_renames(&Failure::Offline, step);
        let ended = std::mem::take(&mut self.stream);
        for request in ended.pending.into_requests() {
            tracing::debug!(?request, "request ended with its stream");
        }
        self.fail_waiting_for_answers(step);
        self.handle_held(ended.client_state.into_calls(), step);
    }
}
