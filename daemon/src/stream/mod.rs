//! Everything between the socket and a trustworthy stanza.
//!
//! A [`Stream`] is one account's connection to its server, for as long as it is wanted: it connects,
//! logs in, resumes (XEP-0198), and tries again with back-off. Who owns it calls [`Stream::next`]
//! for ever and acts on each [`StreamEvent`].
//!
//! ```text
//!                              ┌→ aside (parser) ────────────────────────────────┐
//! dns → dial → prompt → tls ─→ limiter (scanner) ─→ tokio-xmpp's parser ─→ StanzaStream ─→ Stream
//!                                offer → sasl (scram, token) → exchange ─→ connector (backoff) ─┘
//!                                           └─ binding                                outbox ─┘
//! ```
//!
//! tokio-xmpp binds, counts and resumes, and parses what we don't. What it leaves open is done here:
//! limits before the parser, a login that checks the server's proof, one attempt and no more where
//! another can't help, and an end that comes within seconds.

mod aside;
mod backoff;
mod binding;
mod check;
mod connector;
mod dial;
mod dns;
mod error;
mod event;
mod exchange;
mod limiter;
mod limits;
mod namespaces;
mod network;
mod offer;
mod outbox;
mod parser;
mod pieces;
mod pins;
mod prompt;
mod sasl;
mod scanner;
mod scram;
mod stage;
mod tls;
mod token;
mod trust;
mod unit;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jid::BareJid;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent as LibraryEvent};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza::Stanza;

use self::aside::Aside;
pub(crate) use self::check::{Reached, reach};
use self::connector::{Connector, Current, News, Report, TIMEOUTS};
pub(crate) use self::error::ConnectError;
use self::error::short;
pub(crate) use self::event::{Credentials, Settings, StreamEvent};
use self::limiter::Link;
pub(crate) use self::outbox::Full;
use self::outbox::{DEPTH, Due, Outbox};
use self::sasl::Login;

/// Whom we trust, and how: see [`tls_config`].
pub(crate) type TlsConfig = tokio_rustls::rustls::ClientConfig;
pub(crate) use self::network::network_changes;
pub(crate) use self::pins::Pins;
pub(crate) use self::scram::ScramKeys;
#[cfg(test)]
pub(crate) use self::scram::ScramMechanism;
pub(crate) use self::tls::tls_config;

/// Those that read stanzas quote them in warnings, too: what they may log, whatever is asked for.
pub(crate) const LOG_CAPS: &str = "tokio_xmpp=error,xso=error,rxml=error,xmpp_parsers=error,minidom=error";

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(5);
/// The part of it for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// From a login to a stream that is bound or resumed, whatever comes in between.
const BIND: Duration = Duration::from_secs(30);
/// Reports that may wait for a slow reader; the connector waits then.
const REPORTS: usize = 8;

/// Whether the connection still lives is being found out.
struct Probe {
    deadline: Instant,
    /// What had been heard before.
    heard: u64,
}

/// One account's connection. Dropping it ends it, too, without waiting; [`Stream::close`] takes
/// leave of the server.
pub(crate) struct Stream {
    account: BareJid,
    /// Gone once the stream has ended.
    stanzas: Option<StanzaStream>,
    reports: mpsc::Receiver<Report>,
    /// What the connector has said of a connection that the library has not told us of yet.
    early: VecDeque<Report>,
    /// Which connection the library is at, the first being number 1.
    connection: u64,
    closing: watch::Sender<bool>,
    /// Somebody accepts what the server offers, whatever is pinned.
    accepts: Arc<AtomicBool>,
    current: Current,
    aside: Arc<Aside>,
    /// Makes the connector try at once.
    wake: Arc<Notify>,
    /// The probe that is out.
    probe: Option<Probe>,
    /// The last probe's id: its answer is nobody else's business, however late it comes.
    probe_id: String,
    /// By when the stream that has just been logged in is to be bound or resumed.
    bind_by: Option<Instant>,
    /// What has happened and was not told yet.
    events: VecDeque<StreamEvent>,
    outbox: Outbox,
    /// What the server says that it takes (XEP-0478).
    stanza_bytes: Option<u32>,
    /// Why we have cut the connection, where that is worth telling.
    cut_for: Option<ConnectError>,
    /// A stream is bound and its connection is up.
    online: bool,
    /// The last connection came to a bound stream, whatever became of it.
    was_online: bool,
}

impl Stream {
    /// Begins to connect, in tasks of its own. Must be called within a tokio runtime.
    pub(crate) fn connect(settings: Settings, credentials: Credentials) -> Stream {
        let (report, reports) = mpsc::channel(REPORTS);
        let (closing, close) = watch::channel(false);
        let current: Current = Arc::new(Mutex::new(Arc::new(Link::default())));
        let aside: Arc<Aside> = Arc::default();
        let account = settings.account.clone();
        let accepts = Arc::new(AtomicBool::new(settings.accept_downgrade));
        let outbox = Outbox::new();
        let largest = outbox.largest();
        let mut stream = Stream {
            account,
            stanzas: None,
            reports,
            early: VecDeque::new(),
            connection: 1,
            closing,
            accepts: accepts.clone(),
            current: current.clone(),
            aside: aside.clone(),
            wake: Arc::default(),
            probe: None,
            probe_id: String::new(),
            bind_by: None,
            events: VecDeque::new(),
            outbox,
            stanza_bytes: None,
            cut_for: None,
            online: false,
            was_online: false,
        };
        match Login::new(&settings.account, credentials, settings.pins, accepts) {
            Err(error) => stream.give_up(error),
            Ok(login) => {
                let wake = stream.wake.clone();
                let (slot, slots) = mpsc::unbounded_channel();
                tokio::spawn(
                    Connector::new(settings, login, report, current, aside, largest, wake).run(slots, close),
                );
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
    pub(crate) async fn next(&mut self) -> StreamEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.hand_over();
            self.step(self.outbox.is_waiting()).await;
        }
    }

    /// Queues a stanza of so many bytes. Never waits, never fails for being offline: what the stream can't take
    /// until it resumes is sent then, and forgotten when a new stream takes its place.
    ///
    /// # Errors
    ///
    /// Too much waits already: 4,096 requests or 16 MiB of them, 1,024 answers or 2 MiB of them, or 16
    /// answers to the same peer.
    pub(crate) fn send(&mut self, stanza: Stanza, bytes: usize) -> Result<(), Full> {
        self.outbox.push(stanza, bytes)?;
        self.hand_over();
        Ok(())
    }

    /// Finds out whether the connection still lives: asks the server now, and gives the connection up
    /// where nothing at all comes within 14 s. While there is none, tries at once instead of waiting
    /// (at most once a second and 8 times a minute). For when the network has changed, the machine
    /// has slept, or somebody calls after a long silence. Costs nothing while a probe is out.
    pub(crate) fn probe(&mut self) {
        if !self.online {
            return self.wake.notify_one();
        }
        if self.probe.is_some() {
            return;
        }
        self.probe =
            Some(Probe { deadline: Instant::now() + TIMEOUTS.response_timeout, heard: self.link().heard() });
        self.probe_id = format!("{:032x}", rand::random::<u128>());
        let ping = Iq::from_get(self.probe_id.clone(), xmpp_parsers::ping::Ping).into();
        let bytes = prosed_session::stanza_bytes(&ping);
        // A queue that is full will show soon enough whether anybody takes from it.
        let _ = self.send(ping, bytes);
    }

    /// The next login may be weaker than those before it. Comes to it at once, where there is no stream.
    pub(crate) fn accept_downgrade(&self) {
        self.accepts.store(true, Ordering::Relaxed);
        if !self.online {
            self.wake.notify_one();
        }
    }

    /// Ends the stream at any moment, also while connecting: sends what is queued, takes leave with
    /// `</stream:stream>`, and is done within 5 s, whatever the server does.
    pub(crate) async fn close(mut self) {
        let deadline = Instant::now() + CLOSE;
        let flush = async {
            while self.online && !self.outbox.is_sent() {
                self.hand_over();
                self.step(true).await;
                self.events.clear();
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
    /// Waits for one thing to happen; with `sending`, for the library to have sent something, too.
    async fn step(&mut self, sending: bool) {
        let sending = sending && self.online;
        let Some(stanzas) = &mut self.stanzas else { return std::future::pending().await };
        tokio::select! {
            // What the library says has its place before what the connector makes of it, whichever is
            // heard first: see `on_report`.
            biased;
            event = stanzas.next() => match event {
                Some(event) => self.on_event(event),
                None => {
                    self.stop();
                    self.events.push_back(StreamEvent::Ended);
                }
            },
            Some(report) = self.reports.recv(), if self.early.is_empty() => self.on_report(report),
            () = self.outbox.moves(), if sending => {}
            () = deadline(self.probe.as_ref().map(|probe| probe.deadline)), if self.online => self.on_probed(),
            () = deadline(self.outbox.stalled_at()), if self.online => self.on_stalled(),
            () = deadline(self.bind_by) => self.on_unbound(),
        }
    }

    /// Hands stanzas to the library as long as it takes them without waiting: whoever waits for it
    /// to send must not be the one who reads, or both stand still.
    fn hand_over(&mut self) {
        self.outbox.prune();
        let Some(stanzas) = self.stanzas.as_ref().filter(|_| self.online) else { return };
        while let Some(Due { stanza, bytes, is_answer }) = self.outbox.next() {
            // Its channel has room for DEPTH and holds less, so this is ready at once (the
            // runtime's own budget aside, hence `unconstrained`). It panics where its worker has,
            // which `next` will find out in its own time.
            let send = tokio::task::unconstrained(stanzas.send(Box::new(stanza)));
            match AssertUnwindSafe(send).catch_unwind().now_or_never() {
                Some(Ok(token)) => self.outbox.handed(token, bytes, is_answer),
                Some(Err(_)) | None => return tracing::error!("the stream's worker is gone"),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Stanza(stanza) => {
                let stanza = self.aside.take(stanza);
                if !self.answers_probe(&stanza) {
                    self.events.push_back(StreamEvent::Stanza(Box::new(stanza)));
                }
            }
            Event::Stream(LibraryEvent::Resumed) => {
                self.on_reports();
                self.bind_by = None;
                self.begin();
                self.events.push_back(StreamEvent::Resumed { stanza_bytes: self.stanza_bytes });
            }
            Event::Stream(LibraryEvent::Suspended) => {
                if self.online {
                    self.events.push_back(StreamEvent::Suspended);
                }
                self.online = false;
                self.probe = None;
                self.bind_by = None;
                self.connection += 1;
                self.catch_up_reports();
            }
            Event::Stream(LibraryEvent::Reset { bound_jid, features }) => {
                self.on_reports();
                self.bind_by = None;
                match bound_jid.try_into_full() {
                    Ok(jid) if jid.to_bare() == self.account => {
                        self.outbox.clear();
                        self.begin();
                        let (features, stanza_bytes) = (Box::new(features), self.stanza_bytes);
                        self.events.push_back(StreamEvent::Online { jid, features, stanza_bytes });
                    }
                    _ => self.give_up(ConnectError::Protocol {
                        text: "the server bound us to an account that is not ours".to_owned(),
                    }),
                }
            }
        }
    }

    /// A bound stream has a connection.
    fn begin(&mut self) {
        (self.online, self.was_online) = (true, true);
        self.cut_for = None;
        self.outbox.begin();
    }

    /// The server takes, or acknowledges, nothing of what we send, while it keeps on sending. What waits
    /// for it must not grow.
    fn on_stalled(&mut self) {
        let seconds = outbox::STALLED.as_secs();
        let text = format!("the server has acknowledged nothing for {seconds} s of what was sent to it");
        tracing::warn!(account = %self.account, "{text}");
        self.cut_for = Some(ConnectError::Protocol { text });
        self.link().cut();
        self.outbox.begin();
    }

    /// The time for an answer is over.
    fn on_probed(&mut self) {
        let link = self.link();
        if self.probe.take().is_some_and(|probe| probe.heard == link.heard()) {
            tracing::debug!(account = %self.account, "the connection is dead");
            link.cut();
            // Its loss was found out, not suffered: there is nothing to wait for.
            self.wake.notify_one();
        }
    }

    /// What came instead of an answer is no progress. The library waits for as long as anything comes.
    fn on_unbound(&mut self) {
        self.bind_by = None;
        let text = "the server did not bind a session in time".to_owned();
        self.cut_for = Some(ConnectError::Unreachable { text });
        self.link().cut();
    }

    fn answers_probe(&self, stanza: &Stanza) -> bool {
        matches!(stanza, Stanza::Iq(Iq::Result { id, .. } | Iq::Error { id, .. }) if *id == self.probe_id)
    }

    /// The connector reports before it hands a connection over: what it said comes first.
    fn on_reports(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.early.push_back(report);
        }
        self.catch_up_reports();
    }

    /// The two tell of the same in channels of their own. A connection's end comes from the library
    /// before it asks for another one, so what is reported of that one can wait: told in the wrong
    /// order, a stream that was resumed would pass for lost, for good.
    fn on_report(&mut self, report: Report) {
        self.early.push_back(report);
        self.catch_up_reports();
    }

    fn catch_up_reports(&mut self) {
        while self.early.front().is_some_and(|report| report.connection <= self.connection) {
            let Some(Report { news, .. }) = self.early.pop_front() else { return };
            self.on_news(news);
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Authenticated { keys, pins, stanza_bytes } => {
                self.was_online = false;
                self.stanza_bytes = stanza_bytes;
                self.bind_by = Some(Instant::now() + BIND);
                self.events.push_back(StreamEvent::Authenticated { keys, pins });
            }
            News::Failed { error, retry_at: None } => self.give_up(error),
            News::Failed { error, retry_at } => {
                self.events.push_back(StreamEvent::ConnectFailed { error, retry_at });
            }
            // Of a bound stream's end `Suspended` has told.
            News::Lost { retry_at } if self.was_online => {
                self.events.push_back(match self.cut_for.take() {
                    Some(error) => StreamEvent::ConnectFailed { error, retry_at: Some(retry_at) },
                    None => StreamEvent::Waiting { retry_at },
                });
            }
            News::Lost { retry_at } => {
                let error = self.cut_for.take().unwrap_or_else(|| ConnectError::Unreachable {
                    text: "the server ended the connection before a session was bound".to_owned(),
                });
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
        self.outbox.clear();
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

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
