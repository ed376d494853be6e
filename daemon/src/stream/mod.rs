//! Everything between the socket and a trustworthy stanza.
//!
//! A [`Stream`] is one account's connection to its server, for as long as it is wanted: it connects,
//! logs in, resumes (XEP-0198), and tries again with back-off, in a task of its own. Its owner calls
//! [`Stream::next`] again and again and acts on each [`StreamEvent`].
//!
//! ```text
//! reach/   dns → dial → quickack → tls (gate: before TLS)     a TLS connection to the right host
//! login/   dialogue: offer → sasl (scram, fast) → bind        a session on it
//! read/    reader: scanner → tree                             bytes in, stanzas out
//! connector                                                   one attempt: all of the above, in time
//! task     manage, outbox, line, backoff                      keeps the session, through all attempts
//! marks                                                       answers for what was sent
//! ```
//!
//! tokio-xmpp negotiates STARTTLS, and xmpp-parsers has the types of stanzas. The rest is ours: limits before
//! anything is parsed, a login that checks the server's proof, stanzas acknowledged only once they are dealt with,
//! no second attempt where it can't help, and an end within seconds.

mod backoff;
mod check;
mod connector;
mod error;
mod event;
mod line;
mod login;
mod manage;
mod marks;
mod outbox;
mod reach;
mod read;
mod task;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jid::BareJid;
use prosed_session::{Mark, Unsent};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xmpp_parsers::stanza::Stanza;

pub(crate) use self::check::{Reached, reach};
use self::connector::Connector;
pub(crate) use self::error::ConnectError;
use self::error::short;
pub(crate) use self::event::{Credentials, Settings, StreamEvent};
use self::login::sasl::Login;
use self::marks::Marks;
pub(crate) use self::outbox::Full;
use self::outbox::{MARKS, Outbox};
use self::task::Task;

pub(crate) use self::login::pins::Pins;
pub(crate) use self::login::scram::ScramKeys;
#[cfg(test)]
pub(crate) use self::login::scram::ScramMechanism;
pub(crate) use self::reach::network::network_changes;
pub(crate) use self::reach::tls::{TlsConfig, tls_config};

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(5);
/// The part of it for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// Events that may wait for a slow reader. Then the server waits, too.
const EVENTS: usize = 64;

/// What the task and its stream share.
struct Shared {
    account: BareJid,
    state: Mutex<State>,
    /// The last stanza up to which everything is dealt with, and whether the task waits for more.
    handled: AtomicU64,
    counts: AtomicBool,
    /// A session has a connection.
    online: AtomicBool,
    /// There is something to send, or to look at.
    changed: Notify,
    /// Makes the task try at once.
    wake: Notify,
    closing: watch::Sender<bool>,
}

/// See [`Shared`].
struct State {
    outbox: Outbox,
    /// The session that waiting stanzas are meant for; the first is number 1.
    session: u64,
    /// Marks of what was never written, of sessions that are over.
    unwritten: Vec<Mark>,
    /// The connection is to be probed.
    probes: bool,
    /// The client state that the server is to be told.
    client_state: Option<bool>,
}

impl State {
    /// A session begins: what waits was meant for another one.
    fn begin_session(&mut self) -> u64 {
        self.forget_waiting();
        self.client_state = None;
        self.session += 1;
        self.session
    }

    /// It will never be sent.
    fn forget_waiting(&mut self) {
        self.unwritten.extend(self.outbox.clear());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the stream is to be closed.
    async fn closes(&self) {
        // It can't fail: the sender is here.
        let _ = self.closing.subscribe().wait_for(|&closing| closing).await;
    }
}

/// What the task reports.
struct Told {
    event: StreamEvent,
    /// Of a stanza: its number, counted over all sessions.
    position: u64,
    /// Of a session that begins: its number.
    session: Option<u64>,
}

impl From<StreamEvent> for Told {
    fn from(event: StreamEvent) -> Self {
        Self { event, position: 0, session: None }
    }
}

/// One account's connection. Dropping it ends it, too, without waiting; [`Stream::close`] waits.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    events: mpsc::Receiver<Told>,
    /// Absent: it never began.
    task: Option<JoinHandle<()>>,
    /// Somebody accepts what the server offers, whatever is pinned.
    accepts: Arc<AtomicBool>,
    /// Why it never began.
    refused: Option<ConnectError>,
    /// The session that we know of.
    session: u64,
    /// The last stanza that was given.
    given: u64,
    /// What we have not told of what was sent.
    marks: Marks,
    /// To be told next.
    held: Option<StreamEvent>,
    ended: bool,
}

impl Stream {
    /// Begins to connect, in a task of its own. Must be called within a tokio runtime.
    pub(crate) fn connect(settings: Settings, credentials: Credentials) -> Stream {
        let (tell, events) = mpsc::channel(EVENTS);
        let accepts = Arc::new(AtomicBool::new(settings.accept_downgrade));
        let outbox = Outbox::new();
        let largest = outbox.largest();
        let shared = Arc::new(Shared {
            account: settings.account.clone(),
            state: Mutex::new(State {
                outbox,
                session: 0,
                unwritten: Vec::new(),
                probes: false,
                client_state: None,
            }),
            handled: AtomicU64::new(0),
            counts: AtomicBool::new(false),
            online: AtomicBool::new(false),
            changed: Notify::new(),
            wake: Notify::new(),
            closing: watch::Sender::new(false),
        });
        let (mut task, mut refused) = (None, None);
        match Login::new(&settings.account, credentials, settings.pins, accepts.clone()) {
            Err(error) => refused = Some(error),
            Ok(login) => {
                let connector = Connector::new(settings, login, tell.clone(), largest);
                task = Some(tokio::spawn(Task::new(shared.clone(), tell, connector).run()));
            }
        }
        Stream {
            shared,
            events,
            task,
            accepts,
            refused,
            session: 0,
            given: 0,
            marks: Marks::default(),
            held: None,
            ended: false,
        }
    }

    /// What happens next. May be dropped at any time; nothing is lost.
    pub(crate) async fn next(&mut self) -> StreamEvent {
        if let Some(event) = self.held.take() {
            return event;
        }
        if let Some(error) = self.refused.take() {
            return self.tell(StreamEvent::ConnectFailed { error, retry_at: None }.into());
        }
        if self.ended {
            return std::future::pending().await;
        }
        let told = self.events.recv().await.unwrap_or_else(|| StreamEvent::Ended.into());
        self.ended = matches!(told.event, StreamEvent::Ended);
        if told.position > 0 {
            self.given = told.position;
        }
        if let Some(session) = told.session {
            self.session = session;
        }
        self.tell(told)
    }

    /// The event, or first what became of the stanzas of a session that it ends.
    fn tell(&mut self, told: Told) -> StreamEvent {
        let is_last =
            matches!(told.event, StreamEvent::Ended | StreamEvent::ConnectFailed { retry_at: None, .. });
        match told.event {
            StreamEvent::Acknowledged(marks) => StreamEvent::Acknowledged(self.marks.answer(marks)),
            StreamEvent::Unsent(Unsent { doubtful, unwritten }) => StreamEvent::Unsent(Unsent {
                doubtful: self.marks.answer(doubtful),
                unwritten: self.marks.answer(unwritten),
            }),
            event if is_last || told.session.is_some() => match self.end_session(is_last) {
                Some(unsent) => {
                    self.held = Some(event);
                    StreamEvent::Unsent(unsent)
                }
                None => event,
            },
            event => event,
        }
    }

    /// What nobody has answered for. `is_last`: no other session follows.
    fn end_session(&mut self, is_last: bool) -> Option<Unsent> {
        let mut state = self.shared.lock();
        if is_last {
            state.forget_waiting();
        }
        self.marks.end(std::mem::take(&mut state.unwritten))
    }

    /// Says that all stanzas so far are dealt with: the server is told only then that we have them, and sends
    /// the others again when the session is resumed.
    pub(crate) fn handled(&self) {
        self.shared.handled.store(self.given, Ordering::Release);
        if self.shared.counts.load(Ordering::Acquire) {
            self.shared.changed.notify_one();
        }
    }

    /// Queues a stanza of this size in bytes. Never waits, and does not fail when offline: what the stream can't take
    /// until it resumes is sent then, and forgotten when a new stream takes its place. What becomes of a stanza with a
    /// mark is told once: [`StreamEvent::Acknowledged`] or [`StreamEvent::Unsent`], at the latest by
    /// [`Stream::close`]; not if this fails.
    ///
    /// # Errors
    ///
    /// Too much waits already: 4,096 requests or 16 MiB of them, 1,024 answers or 2 MiB of them, or 16
    /// answers to the same peer.
    pub(crate) fn send(&mut self, stanza: Stanza, bytes: usize, mark: Option<Mark>) -> Result<(), Full> {
        if mark.is_some() && self.marks.len() >= MARKS {
            return Err(Full);
        }
        let mut state = self.shared.lock();
        // Else meant for a session that is gone, as we are about to hear.
        let is_in_time = state.session == self.session;
        if is_in_time {
            state.outbox.push(stanza, bytes, mark)?;
            self.shared.changed.notify_one();
        }
        match mark {
            Some(mark) if is_in_time => self.marks.open(mark),
            Some(mark) => self.marks.too_late(mark),
            None => {}
        }
        Ok(())
    }

    /// Tells the server whether anybody is watching (XEP-0352), before any stanza that is sent from here on. Forgotten
    /// if the connection is lost first.
    pub(crate) fn client_state(&mut self, active: bool) {
        let mut state = self.shared.lock();
        if state.session == self.session && self.shared.online.load(Ordering::Relaxed) {
            state.client_state = Some(active);
            self.shared.changed.notify_one();
        }
    }

    /// Finds out whether the connection still lives: asks the server now, and gives the connection up
    /// where nothing at all comes within 14 s. While there is none, tries at once instead of waiting
    /// (at most once a second and 8 times a minute). For when the network has changed, the machine
    /// has slept, or somebody calls after a long silence. Costs nothing while a probe is out.
    pub(crate) fn probe(&mut self) {
        if !self.shared.online.load(Ordering::Relaxed) {
            return self.shared.wake.notify_one();
        }
        self.shared.lock().probes = true;
        self.shared.changed.notify_one();
    }

    /// The next login may be weaker than those before it. Comes to it at once, where there is no stream.
    pub(crate) fn accept_downgrade(&self) {
        self.accepts.store(true, Ordering::Relaxed);
        if !self.shared.online.load(Ordering::Relaxed) {
            self.shared.wake.notify_one();
        }
    }

    /// Ends the stream at any moment, also while connecting: sends what is queued, says goodbye with
    /// `</stream:stream>`, and is done within 5 s, whatever the server does. Returns what became of the stanzas with
    /// marks, as events.
    pub(crate) async fn close(mut self) -> Vec<StreamEvent> {
        self.shared.closing.send_replace(true);
        let mut fates = Vec::new();
        let end = async {
            while !self.ended {
                let event = self.next().await;
                fates.extend(event.is_fate().then_some(event));
            }
        };
        if timeout(CLOSE + Duration::from_millis(100), end).await.is_err() {
            self.task.iter().for_each(JoinHandle::abort);
        }
        fates.extend(self.end_session(true).map(StreamEvent::Unsent));
        fates
    }

    /// What becomes of the stanzas with marks that nobody has answered for yet; nothing more is sent of what waits. For
    /// an owner who does not wait for [`Stream::close`].
    pub(crate) fn abandon(&mut self) -> Option<Unsent> {
        self.end_session(true)
    }

    fn stop(&mut self) {
        // In this order: a task that finds nobody listening is to know why.
        self.shared.closing.send_replace(true);
        self.events.close();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
