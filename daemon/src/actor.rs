//! The actor of one account: a task that owns the stream, and carries inputs into the session and effects out of it,
//! in order. The session decides; the actor only carries.

mod login;
mod survivors;
mod turns;

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use jid::BareJid;
use login::Unkept;
use prosed_session::{
    Call, Command, ConnectionState, ContactsChanged, Effect, Failure, Input, Mark, Notice, Now, Session,
    Snapshot, Software, Ticket, Timestamp, Unsent, Write,
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::cache::{Share, StoreAnswer};
use crate::credentials::{Password, StoreName};
use crate::registry::Connection;
use crate::shell::{AccountError, Login, Reply, Shell, StanzaKind, StateGauge};
use crate::starts::Step;
use crate::stream::{Pins, Stream, StreamEvent};

pub(crate) use survivors::{Start, Survivors};

/// Writes passed to the cache in one batch, and the bytes of pictures and texts in them.
const WRITES: usize = 64;
const WRITES_BYTES: usize = 128 * 1024;
/// A call after a silence of this length makes the actor probe the connection: the caller wants to know.
const SILENCE: Duration = Duration::from_secs(30);
/// Messages queued for an account. Senders wait while it is full.
pub(crate) const INBOX: usize = 256;

/// Messages to an account's actor.
pub(crate) enum Message {
    /// Something for the session.
    Command { command: Command, reply: oneshot::Sender<Reply> },
    /// Connect, or attach to the live session. The first answer says whether it started, and carries the second.
    Login { login: Box<Login>, begun: oneshot::Sender<Result<oneshot::Receiver<Reply>, AccountError>> },
    /// Send unavailable presence and end the stream. `Forgotten` ends the actor as well.
    Leave { why: Leaving, done: oneshot::Sender<Result<(), AccountError>> },
    /// The network has changed, or the machine has slept: probe the connection.
    Probe,
    /// The same, because a UI asks for it. The answer says whether there is anything to hurry.
    Hurry { hurried: oneshot::Sender<bool> },
    /// A sign of life for the watchdog.
    Ping { answer: oneshot::Sender<()> },
}

/// How an actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The account is forgotten, or the daemon is stopping.
    Gone,
    /// Something that belongs to it failed in a way that must not happen.
    Crashed,
}

/// Why an account goes offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// A UI called `logout`: it stays offline until the next `login`.
    LoggedOut,
    /// A UI called `logout` with `forget`: nothing about it is kept.
    Forgotten,
    /// The daemon is stopping: the next start logs in again.
    Stopping,
}

pub(crate) struct Actor<'a> {
    account: BareJid,
    shell: Arc<Shell>,
    session: Session,
    survivors: &'a mut Survivors,
    /// What the store answers. At most as many wait as its writes and reads are in flight: see [`Share`].
    answers: mpsc::UnboundedReceiver<StoreAnswer>,
    answers_to: mpsc::UnboundedSender<StoreAnswer>,
    next_call: u64,
    /// Given at login, until the server has accepted it and it is stored, if wanted.
    password: Option<Password>,
    /// Where the secret for the login was found, or is stored by now.
    secret_store: Option<StoreName>,
    remember: bool,
    unkept: Unkept,
    connection: Connection,
    /// What the server must offer.
    pins: Pins,
    /// When the stream was last heard from.
    heard: Instant,
    /// The state that UIs know.
    state: StateGauge,
    /// Whether anybody is watching.
    watched: watch::Receiver<bool>,
    /// The connection is lost, and has not come back.
    lost: bool,
    effects: Vec<Effect>,
    /// Marks of stanzas that were not even queued.
    refused: Vec<Mark>,
    /// Writes from the session that have not been passed to the cache yet.
    writes: Vec<(Write, Ticket)>,
    /// Bytes of pictures and texts in them.
    writes_bytes: usize,
    /// How much may be in flight to the cache.
    share: Share,
    ended: Option<Ended>,
}

/// The callers that wait for an answer.
pub(crate) struct Caller {
    pub(crate) reply: oneshot::Sender<Reply>,
    is_login: bool,
}

/// Something happened.
enum Event {
    Stream(StreamEvent),
    Message(Message),
    Store(StoreAnswer),
    /// Somebody watches, or nobody does any more.
    Watched,
    /// Stanzas were not even queued.
    Refused,
    Tick,
    /// Nobody can reach us any more.
    Orphaned,
}

impl<'a> Actor<'a> {
    /// An actor that starts from the account's cache.
    pub(crate) async fn new(
        account: BareJid,
        shell: Arc<Shell>,
        survivors: &'a mut Survivors,
        start: &Start,
    ) -> Self {
        let cached = if start.distrust_cache {
            let presence = shell.registry.entry(&account).unwrap_or_default().presence;
            Snapshot { presence, ..Snapshot::default() }
        } else {
            shell.starts.note(Step::Loading, &account);
            let cached = shell.store.load(&account).await;
            shell.starts.note(Step::Loaded, &account);
            cached
        };
        let (answers_to, answers) = mpsc::unbounded_channel();
        let session = Session::new(account.clone(), Software::prosed(), cached, rand::random(), now());
        let state = StateGauge::new(&shell.metrics, session.account().state);
        let watched = shell.activity.watched();
        Self {
            account,
            shell,
            session,
            survivors,
            answers,
            answers_to,
            next_call: 0,
            password: None,
            secret_store: None,
            remember: false,
            unkept: Unkept::Nothing,
            connection: Connection::default(),
            pins: Pins::default(),
            heard: Instant::now(),
            state,
            watched,
            lost: false,
            effects: Vec::new(),
            refused: Vec::new(),
            writes: Vec::new(),
            writes_bytes: 0,
            share: Share::default(),
            ended: None,
        }
    }

    /// Runs until the account is forgotten or the daemon stops.
    pub(crate) async fn run(mut self, start: &Start) -> Ended {
        self.take_up(start).await;
        turns::work(&mut self, Instant::now).await
    }

    /// Tells UIs what the crash of the previous actor has changed, and continues.
    async fn take_up(&mut self, start: &Start) {
        if let Some(failure) = &start.failure {
            self.input(Input::Offline { failure: Some(failure.clone()), retry_at: None });
            self.carry_out().await;
        }
        if start.failure.is_some() && self.shell.registry.entry(&self.account).is_none() {
            return self.drop_account().await;
        }
        let mut changes = ContactsChanged { initial: true, ..ContactsChanged::default() };
        for jid in self.survivors.take_present() {
            match self.session.contact(&jid) {
                Some(contact) => changes.changed.push(contact),
                None => changes.removed.push(jid),
            }
        }
        if !changes.changed.is_empty() || !changes.removed.is_empty() {
            self.publish(Notice::ContactsChanged(changes));
        }
        if start.login
            && let Some(entry) = self.shell.registry.entry(&self.account)
        {
            let jid = self.account.clone();
            let login = Login {
                jid,
                password: None,
                remember: true,
                connection: entry.connection,
                accept_downgrade: false,
            };
            if let Err(error) = self.login(login).await {
                warn!(account = %self.account, %error, "the account can't log in again");
                let failure = Some(Failure::Internal { again: false });
                self.input(Input::Offline { failure, retry_at: None });
            }
        }
        self.carry_out().await;
    }

    fn input(&mut self, input: Input) {
        self.session.handle(input, now(), &mut self.effects);
    }

    fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>, is_login: bool) {
        let call = self.expect_call(reply, is_login);
        self.input(Input::Command { call, command });
    }

    /// Whatever happens to the call from here on, it gets an answer.
    fn expect_call(&mut self, reply: oneshot::Sender<Reply>, is_login: bool) -> Call {
        self.next_call += 1;
        let call = Call(self.next_call);
        self.survivors.calls.insert(call, Caller { reply, is_login });
        call
    }

    async fn leave(&mut self, why: Leaving) -> Result<(), AccountError> {
        info!(account = %self.account, ?why, "account leaves");
        self.unkept = Unkept::Nothing;
        if why == Leaving::Forgotten {
            // What follows a failed login is done below, once.
            self.survivors.calls.values_mut().for_each(|caller| caller.is_login = false);
        }
        let (reply, _) = oneshot::channel();
        self.command(Command::Logout, reply, false);
        // Done before the stream is closed: a server may delay that until no time is left.
        self.session.settle(now(), &mut self.effects);
        self.carry_out().await;
        if let Some(stream) = self.survivors.stream.take() {
            for fate in stream.close().await {
                self.handle_stream(fate).await;
            }
        }
        self.tell_refused();
        self.input(Input::Offline { failure: None, retry_at: None });
        self.session.settle(now(), &mut self.effects);
        self.carry_out().await;
        match why {
            Leaving::Stopping => {
                self.ended = Some(Ended::Gone);
                Ok(())
            }
            Leaving::LoggedOut => self.shell.keep_out(&self.account).await,
            Leaving::Forgotten => {
                self.hand_over().await;
                let forgotten = self.shell.forget(&self.account).await;
                if forgotten.is_ok() || self.shell.registry.entry(&self.account).is_none() {
                    self.ended = Some(Ended::Gone);
                }
                forgotten
            }
        }
    }

    /// Pings the server; the stream handles the outcome.
    fn probe(&mut self) {
        if let Some(stream) = &mut self.survivors.stream {
            stream.probe();
        }
    }

    async fn handle_stream(&mut self, event: StreamEvent) {
        self.heard = Instant::now();
        self.tell_refused();
        match event {
            StreamEvent::Stanza(stanza) => {
                self.shell.metrics.received(&stanza);
                self.input(Input::Stanza(stanza));
            }
            StreamEvent::Online { jid, roster_versioning, stanza_bytes, client_state } => {
                self.back(false);
                self.input(Input::Online { jid, roster_versioning, stanza_bytes, client_state });
            }
            StreamEvent::Resumed { stanza_bytes } => {
                self.back(true);
                self.input(Input::Resumed { stanza_bytes });
            }
            StreamEvent::Acknowledged(marks) => self.input(Input::Acknowledged(marks)),
            StreamEvent::Unsent(unsent) => self.input(Input::Unsent(unsent)),
            StreamEvent::Suspended => {
                self.shell.metrics.lost();
                self.lost = true;
                self.input(Input::Suspended);
            }
            StreamEvent::Waiting { retry_at } => {
                self.input(Input::Offline { failure: None, retry_at: Some(timestamp(retry_at)) });
            }
            StreamEvent::Authenticated { keys, pins } => {
                self.pins = pins;
                self.keep_secret(keys).await;
            }
            StreamEvent::ConnectFailed { error, retry_at } => {
                info!(account = %self.account, %error, again = retry_at.is_some(), "no connection");
                self.shell.metrics.login_failed(&error);
                self.input(Input::Offline { failure: Some(error.into()), retry_at: retry_at.map(timestamp) });
                if retry_at.is_none() {
                    self.end_stream();
                }
            }
            // After a final `ConnectFailed` nobody receives: one of its tasks has crashed.
            StreamEvent::Ended => self.ended = Some(Ended::Crashed),
        }
    }

    /// The session hears of what was not queued: not while its effects are carried out, and before its stream ends.
    fn tell_refused(&mut self) {
        let unwritten = std::mem::take(&mut self.refused);
        if !unwritten.is_empty() {
            self.input(Input::Unsent(Unsent { doubtful: Vec::new(), unwritten }));
        }
    }

    /// There is a connection again, where one was lost.
    fn back(&mut self, resumed: bool) {
        if std::mem::take(&mut self.lost) {
            self.shell.metrics.reconnected(resumed);
        }
    }

    /// Somebody watches, or nobody does any more.
    fn note_watched(&mut self) {
        let is_watched = *self.watched.borrow_and_update();
        self.input(Input::Watched(is_watched));
    }

    /// Nobody waits for the close of a stream that has failed.
    fn end_stream(&mut self) {
        if let Some(mut stream) = self.survivors.stream.take() {
            if let Some(unsent) = stream.abandon() {
                self.input(Input::Unsent(unsent));
            }
            tokio::spawn(stream.close());
        }
    }

    /// Carries out the session's effects, in order.
    async fn carry_out(&mut self) {
        let mut login_failed = false;
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Save { write, ticket } => {
                    self.writes_bytes += write.bytes();
                    self.writes.push((write, ticket));
                }
                Effect::Read { query, ticket } => {
                    // What is read contains every write before it.
                    self.hand_over().await;
                    let Self { account, shell, answers_to, share, .. } = self;
                    shell.store.read(account, query, ticket, answers_to, share).await;
                }
                Effect::Send { stanza, bytes, mark } => {
                    let kind = StanzaKind::of(&stanza);
                    match self.survivors.stream.as_mut().map(|stream| stream.send(*stanza, bytes, mark)) {
                        Some(Ok(())) => self.shell.metrics.sent(kind),
                        refused => {
                            debug!(account = %self.account, ?refused, "not sent");
                            self.refused.extend(mark);
                        }
                    }
                }
                Effect::ClientState { active } => {
                    if let Some(stream) = &mut self.survivors.stream {
                        stream.client_state(active);
                    }
                }
                Effect::Reply { call, result } => {
                    if let Some(Caller { reply, is_login }) = self.survivors.calls.remove(&call) {
                        login_failed |= is_login && result.is_err();
                        let _ = reply.send(Reply { seq: self.shell.log.last(), result });
                    }
                }
                Effect::Notify(notice) => self.publish(notice),
            }
        }
        if self.writes.len() >= WRITES || self.writes_bytes >= WRITES_BYTES {
            self.hand_over().await;
        }
        if login_failed {
            self.give_up().await;
        }
    }

    /// Passes pending writes to the cache, many at once, since each batch wakes its thread. Waits while the disk is
    /// behind.
    async fn hand_over(&mut self) {
        self.writes_bytes = 0;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        // A single stanza may have caused many: other accounts' writes get their turn between batches.
        for (write, ticket) in std::mem::take(&mut self.writes) {
            bytes += write.bytes();
            batch.push((write, ticket));
            if batch.len() >= WRITES || bytes >= WRITES_BYTES {
                let batch = std::mem::take(&mut batch);
                self.shell.store.write(&self.account, batch, &self.answers_to, &self.share).await;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            self.shell.store.write(&self.account, batch, &self.answers_to, &self.share).await;
        }
    }

    /// A login has failed. Only a remembered account is retried.
    async fn give_up(&mut self) {
        let known = self.shell.registry.entry(&self.account);
        if known.as_ref().is_some_and(|entry| entry.remember)
            || self.session.account().state == ConnectionState::Online
        {
            return;
        }
        self.end_stream();
        let failure = self.session.account().failure;
        self.input(Input::Offline { failure, retry_at: None });
        if known.is_none() {
            Box::pin(self.carry_out()).await;
            self.drop_account().await;
        }
    }

    /// It never was an account: a mistyped address leaves nothing behind.
    async fn drop_account(&mut self) {
        self.ended = Some(Ended::Gone);
        self.hand_over().await;
        self.shell.drop_account(&self.account).await;
    }

    fn publish(&mut self, notice: Notice) {
        if let Notice::ContactsChanged(changes) = &notice {
            self.survivors.shown(&changes.changed, &changes.removed);
        }
        let mut account = || {
            let account = self.session.account();
            self.state.enter(account.state);
            (account, self.shell.standing(&self.account))
        };
        self.shell.announcer.publish(&self.shell.log, &self.account, notice, &mut account);
    }
}

impl turns::Worker for Actor<'_> {
    type Event = Event;
    type End = Ended;

    async fn next(&mut self) -> ControlFlow<Ended, Event> {
        self.hand_over().await;
        if let Some(ended) = self.ended {
            debug!(account = %self.account, ?ended, "account ends");
            return ControlFlow::Break(ended);
        }
        if !self.refused.is_empty() {
            return ControlFlow::Continue(Event::Refused);
        }
        let deadline = self.session.next_deadline();
        let Survivors { stream, inbox, .. } = &mut *self.survivors;
        ControlFlow::Continue(tokio::select! {
            event = next(stream) => Event::Stream(event),
            message = inbox.recv() => message.map_or(Event::Orphaned, Event::Message),
            Some(answer) = self.answers.recv() => Event::Store(answer),
            Ok(()) = self.watched.changed() => Event::Watched,
            () = sleep_until(deadline) => Event::Tick,
        })
    }

    /// Callers of an account that has ended must learn of it.
    fn call_at_hand(&mut self) -> Option<Event> {
        if self.ended.is_some() { None } else { self.survivors.inbox.try_recv().ok().map(Event::Message) }
    }

    fn event_at_hand(&mut self) -> Option<Event> {
        if !self.refused.is_empty() {
            return Some(Event::Refused);
        }
        if let Some(event) = next(&mut self.survivors.stream).now_or_never() {
            return Some(Event::Stream(event));
        }
        self.answers.try_recv().ok().map(Event::Store)
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Stream(event) => self.handle_stream(event).await,
            Event::Message(Message::Command { command, reply }) => {
                let call = self.expect_call(reply, false);
                #[cfg(debug_assertions)]
                crate::fault_injection::provoked(&command).await;
                if self.heard.elapsed() > SILENCE {
                    self.probe();
                }
                self.keep_what_is_owed().await;
                // The call itself may be why somebody counts as watching.
                if self.watched.has_changed().is_ok_and(|changed| changed) {
                    self.note_watched();
                }
                self.input(Input::Command { call, command });
            }
            Event::Message(Message::Login { login, begun }) => {
                let result = self.login(*login).await;
                let _ = begun.send(result);
            }
            Event::Message(Message::Leave { why, done }) => {
                let result = self.leave(why).await;
                let _ = done.send(result);
            }
            Event::Message(Message::Probe) => self.probe(),
            Event::Message(Message::Hurry { hurried }) => {
                self.probe();
                let _ = hurried.send(self.survivors.stream.is_some());
            }
            Event::Message(Message::Ping { answer }) => drop(answer.send(())),
            Event::Store(StoreAnswer::Saved(all)) => {
                for (ticket, result) in all {
                    self.input(Input::Saved { ticket, result });
                }
            }
            Event::Store(StoreAnswer::Found(ticket, result)) => self.input(Input::Found { ticket, result }),
            Event::Watched => self.note_watched(),
            Event::Refused => self.tell_refused(),
            Event::Tick => self.input(Input::Tick),
            Event::Orphaned => self.ended = Some(Ended::Gone),
        }
        // In order, and before the next input: the effects of one stanza come before those of the next.
        self.carry_out().await;
        if let Some(stream) = &self.survivors.stream {
            stream.handled();
        }
    }

    async fn settle(&mut self) {
        self.session.settle(now(), &mut self.effects);
        self.carry_out().await;
    }
}

async fn next(stream: &mut Option<Stream>) -> StreamEvent {
    match stream {
        Some(stream) => stream.next().await,
        None => pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

fn now() -> Now {
    Now { monotonic: Instant::now(), wall: timestamp(SystemTime::now()) }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
