//! The event log: what happened, in one order across the whole daemon.
//!
//! An event is serialized once, when it happens; every subscriber shares those bytes. A subscriber is a [`Cursor`], a
//! position in the log: a slow one costs nothing, and if the log overtakes it, it is told to start over. Nothing
//! waits for a reader.

mod cursor;
mod metrics;
mod retained;

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use jid::BareJid;
use prosed_protocol::{Event, EventName, EventPayload};
use prosed_session::registrable;
use serde_json::value::RawValue;
use tokio::sync::watch;

pub(crate) use cursor::{Cursor, Lagged};
use metrics::Published;
use retained::Retained;

/// How many events are retained for UIs that come back: minutes of a busy roster, hours of a quiet one. See
/// `retained.rs` for how accounts and contacts share them.
pub(crate) const RETAINED_EVENTS: usize = 10_000;

/// How many bytes of event JSON are retained: a UI's absence must not exhaust the daemon's memory.
pub(crate) const RETAINED_BYTES: usize = 16 * 1024 * 1024;

/// A page ends after the event that reaches this size, so that it fits into one answer.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Numbers are reserved on disk this far ahead, so that a disk that fails for a while does no harm.
const RESERVE_AHEAD: u64 = 10_000;

/// While that fails, it is retried once per this many events.
const RESERVE_AGAIN: u64 = 256;

/// One event as stored in the log.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its place in the log.
    pub(crate) seq: u64,
    /// What kind of event it is.
    pub(crate) name: EventName,
    /// The account that it concerns.
    pub(crate) account: BareJid,
    /// The event as sent to UIs: `{"event","seq","time","account",…}`.
    pub(crate) json: Box<RawValue>,
}

/// Which events a reader wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// By name; absent: all.
    pub(crate) names: Option<Vec<EventName>>,
    /// Of one account; absent: of all.
    pub(crate) account: Option<BareJid>,
}

impl Filter {
    /// Whether the event is wanted.
    pub(crate) fn wants(&self, entry: &Entry) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(&entry.name))
            && self.account.as_ref().is_none_or(|account| *account == entry.account)
    }
}

/// The log no longer has what comes after the given number, or never did since this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events that far back are no longer retained; the oldest is {oldest}")]
pub(crate) struct CursorExpired {
    /// From this number on, everything requested is retained.
    pub(crate) oldest: u64,
}

/// Some events, and the number up to which there are no others that were requested.
#[derive(Debug)]
pub(crate) struct Page {
    /// Oldest first.
    pub(crate) events: Vec<Arc<Entry>>,
    /// What to pass as `since` to continue.
    pub(crate) seq: u64,
}

/// Ensures that a number is reserved on disk, with a block after it; returns the last one reserved. No later start
/// gives them out again.
pub(crate) type Reserve = Box<dyn FnMut(u64) -> io::Result<u64> + Send>;

/// The log. Cheap to share behind an `Arc`; no method waits for a reader.
pub(crate) struct EventLog {
    state: Mutex<State>,
    /// The newest number, for those who wait.
    newest: watch::Sender<u64>,
    published: Published,
}

struct State {
    retained: Retained,
    reserve: Reserve,
    /// The last number that is reserved.
    reserved: u64,
    /// The position of each subscriber.
    subscribers: Vec<Weak<AtomicU64>>,
    /// See [`EventLog::close`].
    closed: bool,
}

impl EventLog {
    /// An empty log whose first event will be `start + 1`. `start` is the last number that an earlier start may have
    /// given out.
    ///
    /// # Errors
    /// If no numbers can be reserved.
    pub(crate) fn new(start: u64, mut reserve: Reserve) -> io::Result<Self> {
        let reserved = reserve(start + 1)?;
        let state = State {
            retained: Retained::new(start, RETAINED_EVENTS, RETAINED_BYTES),
            reserve,
            reserved,
            subscribers: Vec::new(),
            closed: false,
        };
        let published = Published::default();
        Ok(Self { state: Mutex::new(state), newest: watch::Sender::new(start), published })
    }

    /// Adds an event, and returns its number.
    pub(crate) fn append(&self, account: &BareJid, payload: EventPayload) -> u64 {
        let mut state = self.state();
        // `Unknown` is for clients: it contains nothing to report.
        let Some(name) = payload.name().filter(|_| !state.closed) else { return state.retained.last() };
        let seq = state.take_number();
        let contacts = match &payload {
            EventPayload::ContactChanged(changed) => changed.ids.clone(),
            // Strangers can have any number of names, but share one domain. The list of requests is authoritative.
            EventPayload::SubscriptionRequested(asked) => vec![strangers_of(&asked.jid)],
            EventPayload::SubscriptionResolved(resolved) => vec![strangers_of(&resolved.jid)],
            _ => Vec::new(),
        };
        let event = Event { seq, time: rfc3339(Utc::now()), account: account.to_string(), payload };
        match serde_json::value::to_raw_value(&event) {
            Ok(json) => {
                let entry = Entry { seq, name, account: account.clone(), json };
                state.retained.push(Arc::new(entry), contacts);
                // Under the lock, so that numbers are announced in their order.
                self.newest.send_replace(seq);
                self.published.count(name);
                seq
            }
            // Only possible for maps whose keys are not strings: an event has none.
            Err(error) => {
                tracing::error!(event = name.as_str(), %error, "an event could not be written as JSON");
                state.retained.last()
            }
        }
    }

    /// From now on nothing is added. The daemon is stopping: that its accounts, and so their contacts, go offline is
    /// not news.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    /// The number of the newest event, at which a snapshot taken now is valid.
    pub(crate) fn last(&self) -> u64 {
        self.state().retained.last()
    }

    /// A reader of the events that match the filter: everything after `since`, or only future ones.
    ///
    /// # Errors
    /// If `since` is older than what is retained, from before this start, or not yet given out.
    pub(crate) fn cursor(
        self: &Arc<Self>,
        filter: Filter,
        since: Option<u64>,
    ) -> Result<Cursor, CursorExpired> {
        let state = self.state();
        if let Some(since) = since {
            state.retained.check(since, filter.account.as_ref())?;
        }
        let after = since.unwrap_or_else(|| state.retained.last());
        drop(state);
        Ok(Cursor::new(Arc::clone(self), self.newest.subscribe(), filter, after))
    }

    /// The same, for a subscription: its position counts in the metrics.
    ///
    /// # Errors
    /// As for [`EventLog::cursor`].
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        filter: Filter,
        since: Option<u64>,
    ) -> Result<Cursor, CursorExpired> {
        let cursor = self.cursor(filter, since)?;
        let subscribers = &mut self.state().subscribers;
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        subscribers.push(cursor.place());
        Ok(cursor)
    }

    /// Up to `limit` events after `since`, or future ones; fewer if they are large. If there is none, waits up to
    /// `patience` for one.
    ///
    /// # Errors
    /// As for [`EventLog::cursor`].
    pub(crate) async fn page(
        self: &Arc<Self>,
        filter: Filter,
        since: Option<u64>,
        limit: usize,
        patience: Duration,
    ) -> Result<Page, CursorExpired> {
        let account = filter.account.clone();
        let mut cursor = self.cursor(filter, since)?;
        let expired = |_: Lagged| CursorExpired { oldest: self.state().retained.oldest(account.as_ref()) };
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut next = match tokio::time::timeout(patience, cursor.next()).await {
            Ok(first) => Some(first.map_err(expired)?),
            Err(_) => None,
        };
        while let Some(event) = next {
            bytes += event.json.get().len();
            events.push(event);
            let full = events.len() >= limit || bytes >= PAGE_BYTES;
            next = if full { None } else { cursor.try_next().map_err(expired)? };
        }
        Ok(Page { events, seq: cursor.position() })
    }

    /// Every event after one number, up to another.
    ///
    /// # Errors
    /// As for [`EventLog::cursor`].
    pub(crate) fn between(
        self: &Arc<Self>,
        filter: Filter,
        after: u64,
        until: u64,
    ) -> Result<Vec<Arc<Entry>>, CursorExpired> {
        let account = filter.account.clone();
        let expired = |_: Lagged| CursorExpired { oldest: self.state().retained.oldest(account.as_ref()) };
        let mut cursor = self.cursor(filter, Some(after))?;
        let mut events = Vec::new();
        while let Some(event) = cursor.try_next().map_err(expired)?.filter(|event| event.seq <= until) {
            events.push(event);
        }
        Ok(events)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of ours panics while holding the lock and leaves the log half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All requesters from one domain and its subdomains, as one contact: no JID begins with `@`.
fn strangers_of(jid: &str) -> String {
    format!("@{}", registrable(jid.rsplit_once('@').map_or(jid, |(_, domain)| domain)))
}

impl State {
    fn take_number(&mut self) -> u64 {
        let next = self.retained.last() + 1;
        if next + RESERVE_AHEAD > self.reserved && next.is_multiple_of(RESERVE_AGAIN) {
            match (self.reserve)(next + RESERVE_AHEAD) {
                Ok(reserved) => self.reserved = reserved,
                Err(error) => tracing::error!(%error, "sequence numbers can't be reserved on disk"),
            }
        }
        next
    }
}

/// RFC 3339 in UTC with milliseconds, like every time in the API.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
