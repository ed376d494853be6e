//! What is on its way to the server, and what waits until there is room for it.
//!
//! The library keeps a stanza until the server has acknowledged it (XEP-0198), however many that become.
//! So it is given no more than a window of them: what exceeds that waits here, within bounds. Requests
//! of ours and answers to others' requests have bounds of their own, since peers decide how many answers
//! there are: they never take the room of what a UI asked for. Answers that find no room are dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jid::{BareJid, Jid};
use tokio::time::Instant;
use tokio_xmpp::stanzastream::{StanzaStage, StanzaToken};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza::Stanza;

/// Stanzas that the library holds and has not sent, and as many that it has read ahead. Few: what
/// it holds can't be taken back when a stream is lost for good.
pub(super) const DEPTH: usize = 32;
/// How long the server may take and acknowledge nothing while more waits. An avatar of 1 MiB takes 112 s
/// at 100 kbit/s.
pub(super) const STALLED: Duration = Duration::from_secs(120);
/// Answers to one peer that wait. A program of theirs asks us two or three things when it first sees us.
const ANSWERS_EACH: usize = 16;

/// What one lane may hold. A small stanza costs up to 4 KiB of memory in the library, its tree and its
/// token included, so both the number and the bytes count.
struct Bounds {
    /// Stanzas that wait, and their bytes.
    waiting: usize,
    waiting_bytes: usize,
    /// Stanzas that the library has and the server has not acknowledged, and their bytes.
    window: usize,
    window_bytes: usize,
}

/// What we ask. A login with thousands of contacts asks for things a few at a time; so many that wait
/// mean that the connection has been stuck for long. The bytes are those of ten avatars.
const REQUESTS: Bounds =
    Bounds { waiting: 4_096, waiting_bytes: 16 << 20, window: 1_024, window_bytes: 4 << 20 };
/// What we answer. When we log in, a thousand contacts may ask at once what our program can do: that
/// is 1 KiB each.
const ANSWERS: Bounds =
    Bounds { waiting: 1_024, waiting_bytes: 2 << 20, window: 256, window_bytes: 512 << 10 };

/// Too much waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many stanzas wait to be sent")]
pub(crate) struct Full;

/// See the module's description.
pub(super) struct Outbox {
    requests: Lane,
    answers: Lane,
    /// How many answers to each peer wait; absent: to our own server.
    answers_to: BTreeMap<Option<BareJid>, usize>,
    /// What the library has and the server has not acknowledged, oldest first.
    handed: VecDeque<Handed>,
    /// How many of them, from the oldest on, have been sent.
    sent: usize,
    /// See [`Outbox::largest`].
    largest: Arc<AtomicUsize>,
    /// When the server last took or acknowledged something, or had nothing to take.
    moved_at: Instant,
}

struct Lane {
    bounds: Bounds,
    waiting: VecDeque<(Stanza, usize)>,
    waiting_bytes: usize,
    handed: usize,
    handed_bytes: usize,
}

struct Handed {
    token: StanzaToken,
    bytes: usize,
    is_answer: bool,
}

/// A stanza that may be handed to the library now, and what [`Outbox::handed`] wants to know of it.
pub(super) struct Due {
    pub(super) stanza: Stanza,
    pub(super) bytes: usize,
    pub(super) is_answer: bool,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            requests: Lane::new(REQUESTS),
            answers: Lane::new(ANSWERS),
            answers_to: BTreeMap::new(),
            handed: VecDeque::new(),
            sent: 0,
            largest: Arc::default(),
            moved_at: Instant::now(),
        }
    }

    /// Bytes of the largest stanza that is or was here since nothing was: it may have to be sent again.
    pub(super) fn largest(&self) -> Arc<AtomicUsize> {
        self.largest.clone()
    }

    /// Takes in a stanza of so many bytes.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn push(&mut self, stanza: Stanza, bytes: usize) -> Result<(), Full> {
        if !self.is_waiting() {
            self.moved_at = Instant::now();
        }
        self.largest.fetch_max(bytes, Ordering::Relaxed);
        let Some(to) = answered(&stanza) else { return self.requests.push(stanza, bytes) };
        let waiting = self.answers_to.get(&to).copied().unwrap_or_default();
        if waiting >= ANSWERS_EACH {
            return Err(Full);
        }
        self.answers.push(stanza, bytes)?;
        self.answers_to.insert(to, waiting + 1);
        Ok(())
    }

    /// What the library should get next, if there is anything and it has room. Must be followed by
    /// [`Outbox::handed`].
    pub(super) fn next(&mut self) -> Option<Due> {
        if self.handed.len() - self.sent >= DEPTH {
            return None;
        }
        if let Some((stanza, bytes)) = self.requests.next() {
            return Some(Due { stanza, bytes, is_answer: false });
        }
        let (stanza, bytes) = self.answers.next()?;
        if let Some(to) = answered(&stanza)
            && let Some(waiting) = self.answers_to.get_mut(&to)
        {
            *waiting -= 1;
            if *waiting == 0 {
                self.answers_to.remove(&to);
            }
        }
        Some(Due { stanza, bytes, is_answer: true })
    }

    /// The library has it.
    pub(super) fn handed(&mut self, token: StanzaToken, bytes: usize, is_answer: bool) {
        let lane = if is_answer { &mut self.answers } else { &mut self.requests };
        lane.handed += 1;
        lane.handed_bytes += bytes;
        self.handed.push_back(Handed { token, bytes, is_answer });
    }

    /// Forgets what the library holds no more: the server has it, or its stream is gone.
    pub(super) fn prune(&mut self) {
        while let Some(oldest) = self.handed.front_mut() {
            // Pending for as long as the library keeps the stanza.
            if oldest.token.wait_for(StanzaStage::Acked).now_or_never().is_none() {
                break;
            }
            let lane = if oldest.is_answer { &mut self.answers } else { &mut self.requests };
            lane.handed -= 1;
            lane.handed_bytes -= oldest.bytes;
            self.handed.pop_front();
            self.sent = self.sent.saturating_sub(1);
            self.moved_at = Instant::now();
        }
        if self.handed.is_empty() && !self.is_waiting() {
            self.largest.store(0, Ordering::Relaxed);
        }
        while self.handed.get(self.sent).is_some_and(|next| next.token.state() != StanzaStage::Queued) {
            self.sent += 1;
        }
    }

    /// Waits until the library has sent, lost, or got acknowledged the next stanza.
    pub(super) async fn moves(&self) {
        let token = |at: usize| self.handed.get(at).map(|handed| handed.token.clone());
        let reached = async |at: usize, stage| match token(at) {
            Some(mut token) => drop(token.wait_for(stage).await),
            None => std::future::pending().await,
        };
        tokio::select! {
            () = reached(0, StanzaStage::Acked) => {}
            () = reached(self.sent, StanzaStage::Sent) => {}
        }
    }

    /// Something waits here.
    pub(super) fn is_waiting(&self) -> bool {
        !self.requests.waiting.is_empty() || !self.answers.waiting.is_empty()
    }

    /// Everything has been sent, acknowledged or not.
    pub(super) fn is_sent(&mut self) -> bool {
        self.prune();
        !self.is_waiting() && self.sent == self.handed.len()
    }

    /// When the server will have taken nothing for [`STALLED`] of what waits.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        self.is_waiting().then(|| self.moved_at + STALLED)
    }

    /// A connection begins: the server has as much time again.
    pub(super) fn begin(&mut self) {
        self.moved_at = Instant::now();
    }

    /// Forgets what waits: it was meant for a stream that is gone.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.answers.clear();
        self.answers_to.clear();
    }
}

impl Lane {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: VecDeque::new(), waiting_bytes: 0, handed: 0, handed_bytes: 0 }
    }

    fn push(&mut self, stanza: Stanza, bytes: usize) -> Result<(), Full> {
        let Bounds { waiting, waiting_bytes, .. } = self.bounds;
        if self.waiting.len() >= waiting || self.waiting_bytes + bytes > waiting_bytes {
            return Err(Full);
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back((stanza, bytes));
        Ok(())
    }

    /// The oldest, if it fits into the window. One alone always does.
    fn next(&mut self) -> Option<(Stanza, usize)> {
        let Bounds { window, window_bytes, .. } = self.bounds;
        let (_, bytes) = self.waiting.front()?;
        let fits = self.handed < window && self.handed_bytes + bytes <= window_bytes;
        if !fits && self.handed > 0 {
            return None;
        }
        self.waiting_bytes -= bytes;
        self.waiting.pop_front()
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }
}

/// Whose request the stanza answers, if it answers one.
fn answered(stanza: &Stanza) -> Option<Option<BareJid>> {
    match stanza {
        Stanza::Iq(Iq::Result { to, .. } | Iq::Error { to, .. }) => Some(to.as_ref().map(Jid::to_bare)),
        _ => None,
    }
}
