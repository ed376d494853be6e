//! Everything between the socket and a trustworthy stanza.
//!
//! A [`Stream`] is one account's connection to its server, for as long as it is wanted: it connects,
//! logs in, resumes (XEP-0198), and tries again with back-off. Who owns it calls [`Stream::next`]
//! for ever and acts on each [`StreamEvent`].
//!
//! ```text
//! dns → dial → tls ─→ limiter (scanner) ─→ tokio-xmpp's parser ─→ StanzaStream ─→ Stream
//!                                                └─ sasl (scram) ─→ connector (backoff) ─┘
//! ```
//!
//! tokio-xmpp parses, binds, counts and resumes. What it leaves open is done here: limits before the
//! parser, a login that checks the server's proof, one attempt and no more where another can't help,
//! and an end that comes within seconds.

mod backoff;
mod connector;
mod dial;
mod dns;
mod limiter;
mod sasl;
mod scanner;
mod scram;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::{FutureExt, StreamExt};
use jid::{BareJid, FullJid};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::{self, ClientConfig};
use tokio_xmpp::stanzastream::{
    Event, StanzaStage, StanzaStream, StanzaToken, StreamEvent as LibraryEvent,
};
use xmpp_parsers::stanza::Stanza;
use xmpp_parsers::stream_features::StreamFeatures;

use self::connector::{Connector, Current, Report};
use self::limiter::Link;
use self::sasl::Login;
pub use self::scram::{ScramKeys, ScramMechanism};
pub use self::tls::{TlsConfigError, tls_config};

/// Filter directives that keep what libraries log of stanzas out of our log, whatever else is
/// asked for. They log stanzas down from `warn`, and raw streams, passwords included, at `trace`.
pub const LOG_CAPS: &str = "tokio_xmpp=error,xso=error,rxml=error,xmpp_parsers=error,minidom=error,\
    hickory_resolver=info,hickory_net=info,hickory_proto=info,rustls=info";

/// Stanzas that may wait in front of the library. A login with thousands of contacts asks for
/// things a few at a time; this many means that the connection has been stuck for long.
const QUEUE: usize = 4096;
/// Stanzas that the library holds and has not sent, and as many that it has read ahead. Few: what
/// it holds can't be taken back when a stream is lost for good.
const DEPTH: usize = 32;
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(5);
/// The part of it for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// Reports that may wait for a slow reader; the connector waits then.
const REPORTS: usize = 8;

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Settings {
    /// Whose account; certificates are checked for its domain, whatever host it is on.
    pub account: BareJid,
    /// What to bind; absent: the server chooses.
    pub resource: Option<String>,
    /// A host's name or an IP address, instead of what DNS says.
    pub host: Option<String>,
    /// Absent: 5222, or 5223 for direct TLS, or what DNS says.
    pub port: Option<u16>,
    /// Without a host of ours: which SRV records count.
    pub tls: crate::config::TlsMode,
    /// See [`tls_config`].
    pub tls_config: Arc<ClientConfig>,
}

/// What to log in with. No `Debug`.
pub enum Credentials {
    /// Becomes keys at the first login.
    Password(crate::credentials::Password),
    /// What an earlier login made of the password; never PLAIN.
    Keys(ScramKeys),
}

/// What happened.
pub enum StreamEvent {
    /// The server took the credentials and proved itself. Always before [`StreamEvent::Online`].
    Authenticated {
        /// To be kept instead of the password, where they are new and the server knows SCRAM.
        keys: Option<ScramKeys>,
    },
    /// A new stream is bound; nothing of an earlier one is left, and what waited to be sent is gone.
    Online {
        /// What the server bound; the account is ours for certain.
        jid: FullJid,
        /// What the server offers behind the login.
        features: Box<StreamFeatures>,
    },
    /// The stream came back with its state (XEP-0198).
    Resumed,
    /// The connection is lost; the stream may yet resume. Only after `Online` or `Resumed`.
    Suspended,
    /// The server sent this.
    Stanza(Box<Stanza>),
    /// An attempt failed.
    ConnectFailed {
        /// Why.
        error: ConnectError,
        /// When the next one comes; absent: it won't, and [`StreamEvent::Ended`] follows.
        retry_at: Option<SystemTime>,
    },
    /// Nothing will happen any more: [`Stream::next`] never returns again.
    Ended,
}

/// Why there is no connection. Each variant is one error of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The server refused the credentials. Final.
    #[error("the server refused the credentials: {text} ({condition})")]
    NotAuthorized {
        /// SASL's name for it (RFC 6120 §6.5).
        condition: String,
        /// The server's words.
        text: String,
    },
    /// The server says that the account is disabled. Final.
    #[error("the server says that the account is disabled: {text}")]
    AccountDisabled {
        /// The server's words.
        text: String,
    },
    /// DNS, TCP or a time-out. Tried again.
    #[error("the server can't be reached: {text}")]
    Unreachable {
        /// What failed.
        text: String,
    },
    /// Certificate or handshake. Tried again, slowly.
    #[error("no trustworthy TLS connection: {text}")]
    Tls {
        /// Which, and why.
        text: String,
    },
    /// The server broke XMPP or tried a downgrade. Tried again, slowly.
    #[error("the server broke the protocol: {text}")]
    Protocol {
        /// What it did.
        text: String,
    },
    /// The server bound us to somebody else's account. Final.
    #[error("the server bound us to an account that is not ours")]
    ForeignAccount,
    /// Another client took our resource. Final.
    #[error("another client took our resource")]
    Replaced,
}

impl ConnectError {
    /// Another attempt would end in the same way, or do harm.
    pub fn is_final(&self) -> bool {
        match self {
            Self::NotAuthorized { .. }
            | Self::AccountDisabled { .. }
            | Self::ForeignAccount
            | Self::Replaced => true,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Protocol { .. } => false,
        }
    }

    fn from_io(error: io::Error) -> Self {
        let text = short(&error.to_string());
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Self::Tls { text };
        }
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol { text },
            _ => Self::Unreachable { text },
        }
    }

    fn closed() -> Self {
        Self::Unreachable { text: "the server closed the stream".to_owned() }
    }
}

/// Too much waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many stanzas wait to be sent")]
pub struct Full;

/// One account's connection. Dropping it ends it, too, without waiting; [`Stream::close`] takes
/// leave of the server.
pub struct Stream {
    account: BareJid,
    /// Gone once the stream has ended.
    stanzas: Option<StanzaStream>,
    reports: mpsc::Receiver<Report>,
    closing: watch::Sender<bool>,
    current: Current,
    /// What has happened and was not told yet.
    events: VecDeque<StreamEvent>,
    /// What waits to be handed to the library.
    queue: VecDeque<Stanza>,
    /// What the library has and may not have sent, oldest first.
    handed: VecDeque<StanzaToken>,
    /// A stream is bound and its connection is up.
    online: bool,
    /// The last connection came to a bound stream, whatever became of it.
    was_online: bool,
}

impl Stream {
    /// Begins to connect, in tasks of its own. Must be called within a tokio runtime.
    pub fn connect(settings: Settings, credentials: Credentials) -> Stream {
        let (report, reports) = mpsc::channel(REPORTS);
        let (closing, close) = watch::channel(false);
        let current: Current = Arc::new(Mutex::new(Arc::new(Link::default())));
        let account = settings.account.clone();
        let mut stream = Stream {
            account,
            stanzas: None,
            reports,
            closing,
            current: current.clone(),
            events: VecDeque::new(),
            queue: VecDeque::new(),
            handed: VecDeque::new(),
            online: false,
            was_online: false,
        };
        match Login::new(&settings.account, credentials) {
            Err(error) => stream.give_up(error),
            Ok(login) => {
                let (slot, slots) = mpsc::unbounded_channel();
                tokio::spawn(Connector::new(settings, login, report, current).run(slots, close));
                let connect = move |_, empty| {
                    // Fails only when the runtime is going down and the connector with it.
                    let _ = slot.send(empty);
                };
                stream.stanzas = Some(StanzaStream::new(Box::new(connect), DEPTH));
            }
        }
        stream
    }

    /// What happens next. Must be called again and again: it also drives what [`Stream::send`]
    /// could not hand on at once. May be dropped at any time; nothing is lost.
    pub async fn next(&mut self) -> StreamEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.hand_over();
            let stuck = !self.queue.is_empty() && self.online;
            let Some(stanzas) = &mut self.stanzas else { return std::future::pending().await };
            tokio::select! {
                biased;
                event = stanzas.next() => match event {
                    Some(event) => self.on_event(event),
                    None => {
                        self.stop();
                        self.events.push_back(StreamEvent::Ended);
                    }
                },
                Some(report) = self.reports.recv() => self.on_report(report),
                () = oldest_is_sent(&mut self.handed), if stuck => {}
            }
        }
    }

    /// Queues a stanza. Never waits, never fails for being offline: what the stream can't take
    /// until it resumes is sent then, and forgotten when a new stream takes its place.
    ///
    /// # Errors
    ///
    /// 4,096 stanzas wait already.
    pub fn send(&mut self, stanza: Stanza) -> Result<(), Full> {
        if self.queue.len() >= QUEUE {
            return Err(Full);
        }
        self.queue.push_back(stanza);
        self.hand_over();
        Ok(())
    }

    /// Ends the stream at any moment, also while connecting: sends what is queued, takes leave with
    /// `</stream:stream>`, and is done within 5 s, whatever the server does.
    pub async fn close(mut self) {
        let deadline = Instant::now() + CLOSE;
        let flush = async {
            while self.online && self.stanzas.is_some() && !self.sent() {
                tokio::select! {
                    _ = self.next() => {}
                    // What was handed over is sent when the oldest of it is, and the next, and so on.
                    () = tokio::time::sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        let _ = timeout_at(deadline - (CLOSE - FLUSH), flush).await;
        if let Some(stanzas) = self.stanzas.take() {
            // In this order: the library first hears that it is to close, then the connector
            // that it may let go of a worker that waits for a connection.
            let ended = async { tokio::join!(biased; stanzas.close(), async { self.stop() }) };
            let _ = timeout_at(deadline, ended).await;
        }
        self.link().cut();
    }
}

impl Stream {
    fn sent(&mut self) -> bool {
        self.prune();
        self.queue.is_empty() && self.handed.is_empty()
    }

    /// Forgets what the library has sent.
    fn prune(&mut self) {
        while self.handed.front().is_some_and(|token| token.state() != StanzaStage::Queued) {
            self.handed.pop_front();
        }
    }

    /// Hands stanzas to the library as long as it takes them without waiting: whoever waits for it
    /// to send must not be the one who reads, or both stand still.
    fn hand_over(&mut self) {
        self.prune();
        let Some(stanzas) = self.stanzas.as_ref().filter(|_| self.online) else { return };
        while self.handed.len() < DEPTH {
            let Some(stanza) = self.queue.pop_front() else { return };
            // Its channel has room for DEPTH and holds less, so this is ready at once (the
            // runtime's own budget aside, hence `unconstrained`). It panics where its worker has,
            // which `next` will find out in its own time.
            let send = tokio::task::unconstrained(stanzas.send(Box::new(stanza)));
            match AssertUnwindSafe(send).catch_unwind().now_or_never() {
                Some(Ok(token)) => self.handed.push_back(token),
                Some(Err(_)) | None => return tracing::error!("the stream's worker is gone"),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Stanza(stanza) => self.events.push_back(StreamEvent::Stanza(Box::new(stanza))),
            Event::Stream(LibraryEvent::Resumed) => {
                self.on_reports();
                (self.online, self.was_online) = (true, true);
                self.events.push_back(StreamEvent::Resumed);
            }
            Event::Stream(LibraryEvent::Suspended) => {
                if self.online {
                    self.events.push_back(StreamEvent::Suspended);
                }
                self.online = false;
            }
            Event::Stream(LibraryEvent::Reset { bound_jid, features }) => {
                self.on_reports();
                match bound_jid.try_into_full() {
                    Ok(jid) if jid.to_bare() == self.account => {
                        self.queue.clear();
                        (self.online, self.was_online) = (true, true);
                        self.events.push_back(StreamEvent::Online { jid, features: Box::new(features) });
                    }
                    _ => self.give_up(ConnectError::ForeignAccount),
                }
            }
        }
    }

    /// The connector reports before it hands a connection over: what it said comes first.
    fn on_reports(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.on_report(report);
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Authenticated { keys } => {
                self.was_online = false;
                self.events.push_back(StreamEvent::Authenticated { keys });
            }
            Report::Failed { error, retry_at: None } => self.give_up(error),
            Report::Failed { error, retry_at } => {
                self.events.push_back(StreamEvent::ConnectFailed { error, retry_at });
            }
            // Of a bound stream's end `Suspended` has told.
            Report::Lost { .. } if self.was_online => {}
            Report::Lost { retry_at } => {
                let error = ConnectError::Unreachable {
                    text: "the server ended the connection before a session was bound".to_owned(),
                };
                self.events.push_back(StreamEvent::ConnectFailed { error, retry_at: Some(retry_at) });
            }
        }
    }

    /// No further attempt makes sense.
    fn give_up(&mut self, error: ConnectError) {
        self.link().cut();
        self.stop();
        self.events.push_back(StreamEvent::ConnectFailed { error, retry_at: None });
        self.events.push_back(StreamEvent::Ended);
    }

    /// Lets the tasks behind us end.
    fn stop(&mut self) {
        self.stanzas = None;
        self.queue.clear();
        self.online = false;
        self.closing.send_replace(true);
    }

    fn link(&self) -> Arc<Link> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until the library has sent, or lost, the oldest stanza that it was given.
async fn oldest_is_sent(handed: &mut VecDeque<StanzaToken>) {
    if let Some(token) = handed.front_mut() {
        token.wait_for(StanzaStage::Sent).await;
        handed.pop_front();
    }
}

/// A server's words, cut to what a UI can show, without control characters.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

#[cfg(test)]
mod tests;
