//! What waits to be sent, and how much is on its way.
//!
//! A stanza is kept until the server has acknowledged it (XEP-0198), however many that become. So no more
//! than a window of them is sent: what exceeds that waits here, within bounds. Requests
//! of ours and answers to others' requests have bounds of their own, since peers decide how many answers
//! there are: they never take the room of what a UI asked for. Answers that find no room are dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jid::BareJid;
use prosed_session::Mark;
use tokio::time::Instant;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza::Stanza;

/// How long the server may take and acknowledge nothing while more waits. An avatar of 1 MiB takes 112 s
/// at 100 kbit/s.
pub(super) const STALLED: Duration = Duration::from_secs(120);
/// Answers to one peer that wait. A program of theirs asks us two or three things when it first sees us.
const ANSWERS_EACH: usize = 16;

/// What one lane may hold. A small stanza costs up to 4 KiB of memory as a tree, so both the number and the
/// bytes count.
#[derive(Clone, Copy)]
struct Bounds {
    /// Stanzas that wait, and their bytes.
    waiting: usize,
    waiting_bytes: usize,
    /// Stanzas that were sent and are not acknowledged, and their bytes.
    window: usize,
    window_bytes: usize,
}

/// Our requests. A login with thousands of contacts sends a few at a time, so this many waiting ones mean that the
/// connection has been stuck for long. The bytes are those of ten avatars.
const REQUESTS: Bounds =
    Bounds { waiting: 4_096, waiting_bytes: 16 << 20, window: 1_024, window_bytes: 4 << 20 };
/// Our answers. When we log in, a thousand contacts may query our features at once: 1 KiB each.
const ANSWERS: Bounds =
    Bounds { waiting: 1_024, waiting_bytes: 2 << 20, window: 256, window_bytes: 512 << 10 };

/// Marks of which the session has not heard, including those that came too late for their session: as many as the lanes
/// hold.
pub(super) const MARKS: usize = REQUESTS.waiting + REQUESTS.window + ANSWERS.waiting + ANSWERS.window;

/// Too much waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many stanzas wait to be sent")]
pub(crate) struct Full;

/// See the module's description.
pub(super) struct Outbox {
    requests: Lane,
    answers: Lane,
    /// How many answers are waiting for each.
    answers_to: BTreeMap<Asker, usize>,
    /// See [`Outbox::largest`].
    largest: Arc<AtomicUsize>,
    /// When the server last took or acknowledged something, or had nothing to take.
    moved_at: Instant,
}

struct Lane {
    bounds: Bounds,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    sent: usize,
    sent_bytes: usize,
}

/// A stanza that waits, and its size in bytes.
struct Waiting {
    stanza: Stanza,
    bytes: usize,
    mark: Option<Mark>,
}

/// A stanza that is to be sent now.
pub(super) struct Due {
    pub(super) stanza: Stanza,
    pub(super) load: Load,
}

/// What a stanza takes of its lane's window until it is acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    bytes: usize,
    is_answer: bool,
    /// Of a stanza of which the session wants to hear.
    pub(super) mark: Option<Mark>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            requests: Lane::new(REQUESTS),
            answers: Lane::new(ANSWERS),
            answers_to: BTreeMap::new(),
            largest: Arc::default(),
            moved_at: Instant::now(),
        }
    }

    /// Bytes of the largest stanza that is or was here since nothing was: it may have to be sent again.
    pub(super) fn largest(&self) -> Arc<AtomicUsize> {
        self.largest.clone()
    }

    /// Queues a stanza of this size in bytes.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn push(&mut self, stanza: Stanza, bytes: usize, mark: Option<Mark>) -> Result<(), Full> {
        if !self.is_waiting() {
            self.moved_at = Instant::now();
        }
        self.largest.fetch_max(bytes, Ordering::Relaxed);
        let Some(to) = answered(&stanza) else { return self.requests.push(Waiting { stanza, bytes, mark }) };
        let waiting = self.answers_to.get(&to).copied().unwrap_or_default();
        if waiting >= ANSWERS_EACH {
            return Err(Full);
        }
        self.answers.push(Waiting { stanza, bytes, mark })?;
        self.answers_to.insert(to, waiting + 1);
        Ok(())
    }

    /// What is to be sent next, if there is anything and the window has room for it.
    pub(super) fn next(&mut self) -> Option<Due> {
        if let Some(Waiting { stanza, bytes, mark }) = self.requests.next() {
            return Some(Due { stanza, load: Load { bytes, is_answer: false, mark } });
        }
        let Waiting { stanza, bytes, mark } = self.answers.next()?;
        if let Some(to) = answered(&stanza)
            && let Some(waiting) = self.answers_to.get_mut(&to)
        {
            *waiting -= 1;
            if *waiting == 0 {
                self.answers_to.remove(&to);
            }
        }
        Some(Due { stanza, load: Load { bytes, is_answer: true, mark } })
    }

    /// The server has it, or nobody will tell.
    pub(super) fn acknowledged(&mut self, load: Load) {
        let lane = if load.is_answer { &mut self.answers } else { &mut self.requests };
        lane.sent -= 1;
        lane.sent_bytes -= load.bytes;
        self.moved_at = Instant::now();
        if self.requests.sent + self.answers.sent == 0 && !self.is_waiting() {
            self.largest.store(0, Ordering::Relaxed);
        }
    }

    /// Something waits here.
    pub(super) fn is_waiting(&self) -> bool {
        !self.requests.waiting.is_empty() || !self.answers.waiting.is_empty()
    }

    /// When the server will have taken nothing for [`STALLED`] of what waits.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        self.is_waiting().then(|| self.moved_at + STALLED)
    }

    /// A connection begins: the server has as much time again.
    pub(super) fn begin(&mut self) {
        self.moved_at = Instant::now();
    }

    /// Forgets what waits, and what was sent: it was meant for a stream that is gone. Returns the marks of what waited.
    pub(super) fn clear(&mut self) -> Vec<Mark> {
        self.answers_to.clear();
        self.largest.store(0, Ordering::Relaxed);
        self.requests.clear().chain(self.answers.clear()).collect()
    }
}

impl Lane {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: VecDeque::new(), waiting_bytes: 0, sent: 0, sent_bytes: 0 }
    }

    fn push(&mut self, new: Waiting) -> Result<(), Full> {
        let (Bounds { waiting, waiting_bytes, .. }, bytes) = (self.bounds, new.bytes);
        if self.waiting.len() >= waiting || self.waiting_bytes + bytes > waiting_bytes {
            return Err(Full);
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(new);
        Ok(())
    }

    /// The oldest, if it fits into the window. One alone always does.
    fn next(&mut self) -> Option<Waiting> {
        let Bounds { window, window_bytes, .. } = self.bounds;
        let fits = self.sent < window && self.sent_bytes + self.waiting.front()?.bytes <= window_bytes;
        if !fits && self.sent > 0 {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.waiting_bytes -= next.bytes;
        self.sent += 1;
        self.sent_bytes += next.bytes;
        Some(next)
    }

    fn clear(&mut self) -> impl Iterator<Item = Mark> + use<> {
        let Self { waiting, .. } = std::mem::replace(self, Self::new(self.bounds));
        waiting.into_iter().filter_map(|gone| gone.mark)
    }
}

/// Who has requested something of us.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Server,
    Peer(BareJid),
}

/// Whose request the stanza answers, if it answers one.
fn answered(stanza: &Stanza) -> Option<Asker> {
    match stanza {
        Stanza::Iq(Iq::Result { to, .. } | Iq::Error { to, .. }) => {
            Some(to.as_ref().map_or(Asker::Server, |to| Asker::Peer(to.to_bare())))
        }
        _ => None,
    }
}
