//! The newest events, bounded by number and by bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{CursorExpired, Entry};

/// Events with consecutive numbers: the newest is `last`, and one with number `n` is found by
/// counting.
pub(super) struct Ring {
    events: VecDeque<Arc<Entry>>,
    bytes: usize,
    last: u64,
    most_events: usize,
    most_bytes: usize,
}

impl Ring {
    pub(super) fn new(start: u64, most_events: usize, most_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, last: start, most_events, most_bytes }
    }

    /// Takes in the event that follows `last`, and lets go of the oldest that no longer fit. The
    /// newest always stays, so that somebody who reads along never misses it for its size.
    pub(super) fn push(&mut self, event: Arc<Entry>) {
        debug_assert_eq!(event.seq, self.last + 1);
        self.last = event.seq;
        self.bytes += event.json.get().len();
        self.events.push_back(event);
        while self.events.len() > 1 && (self.events.len() > self.most_events || self.bytes > self.most_bytes)
        {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= oldest.json.get().len();
            }
        }
    }

    /// How many are retained.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// How many bytes of JSON they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest number that was given out.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The oldest number that is retained, or the next one where nothing is.
    pub(super) fn oldest(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }

    /// Whether everything after `since` is here.
    pub(super) fn check(&self, since: u64) -> Result<(), CursorExpired> {
        let oldest = self.oldest();
        if since < self.last + 1 && since + 1 >= oldest { Ok(()) } else { Err(CursorExpired { oldest }) }
    }

    /// The events after `since`, oldest first, where [`Ring::check`] is content with it.
    pub(super) fn after(&self, since: u64) -> Result<impl Iterator<Item = &Arc<Entry>>, CursorExpired> {
        self.check(since)?;
        // No more than the ring's length, which is a `usize`.
        Ok(self.events.range((since + 1 - self.oldest()) as usize..))
    }
}
