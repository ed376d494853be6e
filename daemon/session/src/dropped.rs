//! What a bound has left out: counted, and logged once a minute. A log line for each would let peers fill the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use tracing::warn;

use crate::{bounds, time::Now};

/// What exceeded a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Of one contact.
    Devices,
    /// Of all contacts together: presences.
    People,
    /// Verified hashes that are kept for one device only, or not at all.
    Caps,
    /// From strangers; older ones gave way.
    SubscriptionRequests,
    /// Beyond the limit of a roster.
    Contacts,
    /// Malformed ones.
    RosterItems,
    /// For UIs, and for ourselves.
    Requests,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices of contacts",
            Self::People => "presences, for want of room",
            Self::Caps => "meanings of caps hashes",
            Self::SubscriptionRequests => "subscription requests of strangers",
            Self::Contacts => "contacts beyond what a roster holds",
            Self::RosterItems => "malformed roster items",
            Self::Requests => "requests of ours",
        }
    }
}

#[derive(Default)]
pub(crate) struct Dropped {
    counts: BTreeMap<What, u64>,
    /// When to log them, if there are any.
    due: Option<Instant>,
}

impl Dropped {
    pub(crate) fn note(&mut self, what: What, now: Now) {
        *self.counts.entry(what).or_default() += 1;
        self.due.get_or_insert(now.monotonic + bounds::DROPPED_LOGGED_EVERY);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn tell(&mut self, now: Now) {
        if self.due.is_some_and(|due| due <= now.monotonic) {
            // Checked first, so that no text is built that nobody reads.
            let text = self.take();
            warn!("dropped within a minute: {text}");
        }
    }

    /// Everything counted, as text.
    fn take(&mut self) -> String {
        self.due = None;
        let mut text = String::new();
        for (what, count) in std::mem::take(&mut self.counts) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}{count} {}", what.name());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_flood_is_one_line_a_minute() {
        let start = Now { monotonic: Instant::now(), wall: Timestamp(0) };
        let after = |secs| Now { monotonic: start.monotonic + Duration::from_secs(secs), ..start };
        let mut dropped = Dropped::default();
        assert_eq!(dropped.next_deadline(), None);
        for _ in 0..75_000 {
            dropped.note(What::Devices, start);
        }
        dropped.note(What::RosterItems, after(59));
        assert_eq!(dropped.next_deadline(), Some(after(60).monotonic));
        dropped.tell(after(59));
        assert_eq!(dropped.counts[&What::Devices], 75_000);
        dropped.tell(after(60));
        assert_eq!(dropped.next_deadline(), None);
        dropped.note(What::Devices, after(61));
        dropped.note(What::RosterItems, after(61));
        assert_eq!(dropped.take(), "1 devices of contacts, 1 malformed roster items");
    }
}
