//! The task that owns an account's connection: attempts and back-off, and what begins with a connection. `serve` does
//! the rest of it.

mod serve;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::{Backoff, STABLE};
use super::connector::{BIND, Connector, Established};
use super::line::Line;
use super::login::bind::{Begun, SessionOffer};
use super::manage::{Disorder, Managed};
use super::outbox::Load;
use super::{ConnectError, Shared, StreamEvent, Told};

/// How long the server waits for our count at most, while its stanzas are still being dealt with.
const COUNT: Duration = Duration::from_secs(5);
/// As many attempts as back-off alone may make in its first minute.
const EARLY: usize = 8;
/// A stanza that was sent, as it was written.
#[derive(Debug)]
struct Sent {
    written: Vec<u8>,
    load: Load,
}

/// A check whether the connection is still alive.
struct Probe {
    deadline: Instant,
    /// What had been heard before.
    heard: u64,
}

/// Why a connection ended.
enum Over {
    /// We are closing.
    Closed,
    /// It was lost; the reason, if it is worth reporting.
    Lost(Option<ConnectError>),
    /// Another attempt would be useless.
    Final(ConnectError),
}

/// See the module's description.
pub(super) struct Task {
    shared: Arc<Shared>,
    events: mpsc::Sender<Told>,
    connector: Connector,
    managed: Managed<Sent>,
    backoff: Backoff,
    /// When the last attempts began, at most [`EARLY`].
    attempts: VecDeque<Instant>,
    /// Events for which there was no room yet.
    pending: VecDeque<Told>,
    /// Numbers of stanzas, counted over all sessions: the last that was received, the last that was reported, and the
    /// last before this session.
    read: u64,
    told: u64,
    base: u64,
    /// The server has asked for our count. It is due when this stanza is dealt with, or at this time.
    count_due: Option<(u64, Instant)>,
    heard: u64,
    heard_at: Instant,
    probe: Option<Probe>,
    /// The last probe's id. Its answer is not reported, however late it arrives.
    probe_id: String,
    /// When the server must have said whether it manages the session.
    enabled_by: Option<Instant>,
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, events: mpsc::Sender<Told>, connector: Connector) -> Self {
        Self {
            shared,
            events,
            connector,
            managed: Managed::default(),
            backoff: Backoff::default(),
            attempts: VecDeque::new(),
            pending: VecDeque::new(),
            read: 0,
            told: 0,
            base: 0,
            count_due: None,
            heard: 0,
            heard_at: Instant::now(),
            probe: None,
            probe_id: String::new(),
            enabled_by: None,
        }
    }

    /// Works until the stream is closed, or an error is final.
    pub(super) async fn run(mut self) {
        while self.once().await.is_continue() {}
        self.shared.lock().forget_waiting();
        self.tell(StreamEvent::Ended).await;
    }

    /// One attempt, and the session that it leads to.
    async fn once(&mut self) -> ControlFlow<()> {
        if self.attempts.len() == EARLY {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Instant::now());
        let shared = self.shared.clone();
        let resume = self.managed.resume();
        if resume.is_some() {
            tokio::select! {
                biased;
                () = shared.closes() => return ControlFlow::Break(()),
                () = self.dealt_with() => {}
            }
        }
        let attempt = tokio::select! {
            biased;
            () = shared.closes() => return ControlFlow::Break(()),
            attempt = self.connector.attempt(resume.as_ref()) => attempt,
        };
        let began = Instant::now();
        let over = match attempt {
            Ok(established) => match self.begin(established).await {
                Ok(line) => self.serve(line).await,
                Err(over) => over,
            },
            Err(error) if error.is_final() => return self.give_up(error).await,
            Err(error) => {
                tracing::debug!(account = %self.shared.account, %error, "no connection");
                let is_violation = matches!(error, ConnectError::Protocol { .. });
                // It may be the session that the server can't bear.
                let without = is_violation && resume.is_some();
                if without {
                    self.managed = Managed::default();
                }
                let is_slow = !matches!(error, ConnectError::Unreachable { .. }) && !without;
                return self.wait_for(Some(error), is_slow).await;
            }
        };
        if self.shared.online.swap(false, Ordering::Relaxed) {
            self.tell(StreamEvent::Suspended).await;
        }
        match over {
            Over::Closed => ControlFlow::Break(()),
            Over::Final(error) => self.give_up(error).await,
            Over::Lost(error) => {
                if began.elapsed() >= STABLE {
                    self.backoff.reset();
                }
                // Even after a successful login: a server that drops us right after it must not get 20 attempts a
                // second.
                self.wait_for(error, false).await
            }
        }
    }

    /// Waits, for a while, until everything received is dealt with: resuming a session acknowledges it.
    async fn dealt_with(&mut self) {
        self.shared.counts.store(true, Ordering::Release);
        let dealt = async {
            while self.shared.handled.load(Ordering::Acquire) < self.told {
                self.shared.changed.notified().await;
            }
        };
        let _ = timeout(COUNT, dealt).await;
    }

    /// No further attempt makes sense.
    async fn give_up(&mut self, error: ConnectError) -> ControlFlow<()> {
        self.tell(StreamEvent::ConnectFailed { error, retry_at: None }).await;
        ControlFlow::Break(())
    }

    /// Reports when the next attempt comes, and waits for it.
    async fn wait_for(&mut self, error: Option<ConnectError>, is_slow: bool) -> ControlFlow<()> {
        let wait = self.backoff.next(is_slow, &mut rand::rng());
        let retry_at = SystemTime::now() + wait;
        self.tell(match error {
            Some(error) => StreamEvent::ConnectFailed { error, retry_at: Some(retry_at) },
            None => StreamEvent::Waiting { retry_at },
        })
        .await;
        let shared = self.shared.clone();
        tokio::select! {
            biased;
            () = shared.closes() => ControlFlow::Break(()),
            () = self.pause(wait) => ControlFlow::Continue(()),
        }
    }

    /// Waits, or is woken earlier. However often that happens, attempts are at least a second apart, and at most
    /// [`EARLY`] per minute.
    async fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(until) => return,
            () = self.shared.wake.notified() => {}
        }
        let apart = self.attempts.back().map(|&last| last + Duration::from_secs(1));
        let room = self.attempts.front().filter(|_| self.attempts.len() == EARLY);
        let room = room.map(|&first| first + Duration::from_secs(60));
        let earliest = apart.max(room).unwrap_or(until);
        sleep_until(earliest.min(until)).await;
    }

    /// Reports everything up to this event. There may be no listener left.
    async fn tell(&mut self, event: impl Into<Told>) {
        self.pending.push_back(event.into());
        while let Some(told) = self.pending.pop_front() {
            if self.events.send(told).await.is_err() {
                self.pending.clear();
            }
        }
    }

    /// A session has a connection: reports it.
    async fn begin(&mut self, established: Established) -> Result<Line, Over> {
        let Established { reader, begun, offer } = established;
        let mut line = Line::new(reader);
        // What an earlier connection waited for.
        (self.probe, self.count_due, self.enabled_by) = (None, None, None);
        let stanza_bytes = offer.stanza_bytes;
        let told = match begun {
            Begun::Resumed { answer } => {
                let got = self.managed.resumed(&answer).map_err(|disorder| self.disorder(disorder))?;
                self.acknowledged(got);
                for sent in self.managed.unacknowledged() {
                    line.write(&sent.written);
                }
                if let Some(request) = self.managed.request() {
                    line.say(&request);
                }
                StreamEvent::Resumed { stanza_bytes }.into()
            }
            Begun::Bound { jid, enabled, failed } => {
                let jid = match jid.try_into_full() {
                    Ok(jid) if jid.to_bare() == self.shared.account => jid,
                    _ => {
                        return Err(Over::Final(ConnectError::Protocol {
                            text: "the server bound us to an account that is not ours".to_owned(),
                        }));
                    }
                };
                if let Some(failed) = failed {
                    let got = self.managed.gone(&failed);
                    self.acknowledged(got);
                }
                self.managed = Managed::default();
                self.base = self.read;
                if offer.manages || enabled.is_some() {
                    let request = self.managed.enable();
                    match enabled {
                        Some(answer) => {
                            self.managed.enabled(&answer).map_err(|disorder| self.disorder(disorder))?;
                        }
                        None => {
                            line.say(&request);
                            self.enabled_by = Some(Instant::now() + BIND);
                        }
                    }
                }
                let session = self.shared.lock().begin_session();
                let SessionOffer { roster_versioning, client_state, .. } = offer;
                let event = StreamEvent::Online { jid, roster_versioning, stanza_bytes, client_state };
                Told { session: Some(session), ..event.into() }
            }
        };
        self.shared.lock().outbox.begin();
        self.shared.online.store(true, Ordering::Relaxed);
        (self.heard, self.heard_at) = (line.heard(), Instant::now());
        self.tell(told).await;
        Ok(line)
    }

    /// The server contradicts itself about the session. The next connection begins a new one.
    fn disorder(&mut self, disorder: Disorder) -> Over {
        self.managed = Managed::default();
        let text = disorder.to_string();
        tracing::warn!(account = %self.shared.account, "{text}");
        Over::Lost(Some(ConnectError::Protocol { text }))
    }
}
