//! One account at work: a task that owns the stream, carries inputs into the session and effects
//! out of it, in order. What to do is the session's business; this is only the carrying.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures::FutureExt;
use jid::BareJid;
use prosed_session::{
    Call, Command, ConnectionState, Effect, Input, Notice, Now, Session, Software, Ticket, Timestamp,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::accounts::{AccountError, Login, Reply, Shell};
use crate::credentials::{Password, Secret};
use crate::registry::Connection;
use crate::stream::{self, Stream, StreamEvent};

/// What is at hand is handled together, so that changes that arrive together are told together;
/// no more than this, so that callers and timers get their turn.
const BATCH: usize = 256;
/// Messages on their way to an account. Senders wait while it is full.
pub(crate) const INBOX: usize = 256;

/// What may be asked of an account's actor.
pub(crate) enum Message {
    /// Something for the session.
    Command { command: Command, reply: oneshot::Sender<Reply> },
    /// Begin to connect, or attach to what is there. The first answer says whether it began, and
    /// carries the second.
    Login { login: Box<Login>, begun: oneshot::Sender<Result<oneshot::Receiver<Reply>, AccountError>> },
    /// Say farewell and end the stream. `Forgotten` ends the actor as well.
    Leave { why: Leaving, done: oneshot::Sender<Result<(), AccountError>> },
}

/// Why an account goes offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// A UI said `logout`: it stays out until the next `login`.
    LoggedOut,
    /// A UI said `logout` with `forget`: nothing of it stays.
    Forgotten,
    /// The daemon stops: the next start logs in again.
    Stopping,
}

pub(crate) struct Actor {
    account: BareJid,
    shell: Arc<Shell>,
    session: Session,
    stream: Option<Stream>,
    inbox: mpsc::Receiver<Message>,
    receipts: mpsc::UnboundedReceiver<(Ticket, bool)>,
    receipts_to: mpsc::UnboundedSender<(Ticket, bool)>,
    calls: BTreeMap<Call, Caller>,
    next_call: u64,
    /// Given at login, until the server has accepted it and it is kept where that was wanted.
    password: Option<Password>,
    remember: bool,
    connection: Connection,
    effects: Vec<Effect>,
    gone: bool,
}

/// Who waits for a call's answer.
struct Caller {
    reply: oneshot::Sender<Reply>,
    is_login: bool,
}

/// Something happened.
enum Event {
    Stream(StreamEvent),
    Message(Message),
    Saved(Ticket, bool),
    Tick,
    /// Nobody can reach us any more.
    Orphaned,
}

impl Actor {
    /// An actor with what the cache knows of its account.
    pub(crate) async fn new(account: BareJid, shell: Arc<Shell>, inbox: mpsc::Receiver<Message>) -> Self {
        let cached = shell.store.load(&account).await;
        let (receipts_to, receipts) = mpsc::unbounded_channel();
        let session = Session::new(account.clone(), Software::prosed(), cached, rand::random(), now());
        Self {
            account,
            shell,
            session,
            stream: None,
            inbox,
            receipts,
            receipts_to,
            calls: BTreeMap::new(),
            next_call: 0,
            password: None,
            remember: false,
            connection: Connection::default(),
            effects: Vec::new(),
            gone: false,
        }
    }

    /// Works until the account is forgotten or the daemon stops.
    pub(crate) async fn run(mut self) {
        while !self.gone {
            let event = self.next_event().await;
            self.handle(event).await;
            for _ in 0..BATCH {
                match self.event_at_hand() {
                    Some(event) => self.handle(event).await,
                    None => break,
                }
            }
            self.session.settle(now(), &mut self.effects);
            self.carry_out().await;
        }
        debug!(account = %self.account, "account ends");
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.session.next_deadline();
        tokio::select! {
            event = next(&mut self.stream) => Event::Stream(event),
            message = self.inbox.recv() => message.map_or(Event::Orphaned, Event::Message),
            Some((ticket, stored)) = self.receipts.recv() => Event::Saved(ticket, stored),
            () = sleep_until(deadline) => Event::Tick,
        }
    }

    fn event_at_hand(&mut self) -> Option<Event> {
        if let Some(event) = next(&mut self.stream).now_or_never() {
            return Some(Event::Stream(event));
        }
        let (ticket, stored) = self.receipts.try_recv().ok()?;
        Some(Event::Saved(ticket, stored))
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Stream(event) => self.handle_stream(event),
            Event::Message(Message::Command { command, reply }) => {
                self.command(command, reply, false);
            }
            Event::Message(Message::Login { login, begun }) => {
                let result = self.login(*login);
                let _ = begun.send(result);
            }
            Event::Message(Message::Leave { why, done }) => {
                let result = self.leave(why).await;
                let _ = done.send(result);
            }
            Event::Saved(ticket, stored) => self.input(Input::Saved { ticket, stored }),
            Event::Tick => self.input(Input::Tick),
            Event::Orphaned => self.gone = true,
        }
        // In order, and before the next input: what a stanza caused comes before what the next does.
        self.carry_out().await;
    }

    fn input(&mut self, input: Input) {
        self.session.handle(input, now(), &mut self.effects);
    }

    fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>, is_login: bool) {
        self.next_call += 1;
        let call = Call(self.next_call);
        self.calls.insert(call, Caller { reply, is_login });
        self.input(Input::Command { call, command });
    }

    fn login(&mut self, login: Login) -> Result<oneshot::Receiver<Reply>, AccountError> {
        if self.stream.is_none() {
            let secret = match login.password {
                Some(password) => Secret::Password(password),
                None => self.shell.secret(&self.account)?,
            };
            let credentials = match secret {
                Secret::Password(password) => {
                    self.password = Some(password.clone());
                    stream::Credentials::Password(password)
                }
                Secret::Scram(keys) => stream::Credentials::Keys(keys),
            };
            self.remember = login.remember;
            self.connection = login.connection.clone();
            let settings = self.shell.settings(&self.account, login.connection);
            self.input(Input::Connecting);
            self.stream = Some(Stream::connect(settings, credentials));
        }
        let (reply, receiver) = oneshot::channel();
        self.command(Command::Login, reply, true);
        Ok(receiver)
    }

    async fn leave(&mut self, why: Leaving) -> Result<(), AccountError> {
        info!(account = %self.account, ?why, "account leaves");
        let (reply, _) = oneshot::channel();
        self.command(Command::Logout, reply, false);
        self.carry_out().await;
        if let Some(stream) = self.stream.take() {
            stream.close().await;
        }
        self.input(Input::Offline { failure: None, retry_at: None });
        self.session.settle(now(), &mut self.effects);
        self.carry_out().await;
        match why {
            Leaving::Stopping => {
                self.gone = true;
                Ok(())
            }
            Leaving::LoggedOut => self.shell.keep_out(&self.account),
            Leaving::Forgotten => {
                self.gone = true;
                self.shell.forget(&self.account).await
            }
        }
    }

    fn handle_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Stanza(stanza) => self.input(Input::Stanza(stanza)),
            StreamEvent::Online { jid, features } => {
                let roster_versioning =
                    features.others.iter().any(|feature| feature.is("ver", "urn:xmpp:features:rosterver"));
                self.input(Input::Online { jid, roster_versioning });
            }
            StreamEvent::Resumed => self.input(Input::Resumed),
            StreamEvent::Suspended => self.input(Input::Suspended),
            StreamEvent::Waiting { retry_at } => {
                self.input(Input::Offline { failure: None, retry_at: Some(timestamp(retry_at)) });
            }
            StreamEvent::Authenticated { keys } => self.keep_secret(keys),
            StreamEvent::ConnectFailed { error, retry_at } => {
                info!(account = %self.account, %error, again = retry_at.is_some(), "no connection");
                self.input(Input::Offline { failure: Some(error.into()), retry_at: retry_at.map(timestamp) });
                if retry_at.is_none() {
                    self.end_stream();
                }
            }
            StreamEvent::Ended => {
                self.end_stream();
                self.input(Input::Offline { failure: None, retry_at: None });
            }
        }
    }

    /// Nobody waits for the farewell of a stream that has failed.
    fn end_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            tokio::spawn(stream.close());
        }
    }

    /// The server has accepted the secret: it is worth keeping, if that is wanted.
    fn keep_secret(&mut self, keys: Option<stream::ScramKeys>) {
        let secret = match (keys, self.password.take()) {
            (Some(keys), _) => Some(Secret::Scram(keys)),
            (None, Some(password)) => Some(Secret::Password(password)),
            (None, None) => None,
        };
        let kept = self.shell.welcome(&self.account, &self.connection, self.remember, secret);
        if let Err(error) = kept {
            warn!(account = %self.account, %error, "the account can't be kept: it is forgotten at the next start");
        }
    }

    /// Does what the session wants, in its order.
    async fn carry_out(&mut self) {
        let mut writes = Vec::new();
        let mut login_failed = false;
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Save { write, ticket } => writes.push((write, ticket)),
                Effect::Send(stanza) => {
                    let sent = self.stream.as_mut().is_some_and(|stream| stream.send(*stanza).is_ok());
                    if !sent {
                        debug!(account = %self.account, "no stream to send to");
                    }
                }
                Effect::Reply { call, result } => {
                    if let Some(Caller { reply, is_login }) = self.calls.remove(&call) {
                        login_failed |= is_login && result.is_err();
                        let _ = reply.send(Reply { seq: self.shell.log.last(), result });
                    }
                }
                Effect::Notify(notice) => self.publish(notice),
            }
        }
        if !writes.is_empty() {
            self.shell.store.write(&self.account, writes, &self.receipts_to).await;
        }
        if login_failed {
            self.give_up().await;
        }
    }

    /// A login has failed. Only for a remembered account we go on trying.
    async fn give_up(&mut self) {
        let known = self.shell.registry.entry(&self.account);
        if known.as_ref().is_some_and(|entry| entry.remember)
            || self.session.account().state == ConnectionState::Online
        {
            return;
        }
        self.end_stream();
        if known.is_none() {
            // It was never an account: a mistyped address leaves nothing behind.
            self.gone = true;
            self.shell.forget(&self.account).await.ok();
        }
    }

    fn publish(&self, notice: Notice) {
        let account = || (self.session.account(), self.shell.standing(&self.account));
        self.shell.translator.publish(&self.shell.log, &self.account, notice, account);
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
