//! The metrics of the log.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use prosed_protocol::EventName;

use super::EventLog;
use crate::metrics::gauge;

/// Counts events by name.
#[derive(Debug, Default)]
pub(super) struct Published(Family<Name, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    event: &'static str,
}

impl Published {
    pub(super) fn count(&self, name: EventName) {
        self.0.get_or_create(&Name { event: name.as_str() }).inc();
    }
}

impl EventLog {
    /// Adds the log's own metrics.
    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
        for name in EventName::ALL {
            drop(self.published.0.get_or_create(&Name { event: name.as_str() }));
        }
        registry.register("events", "Events published", self.published.0.clone());
        registry.register_collector(Box::new(Standing(Arc::downgrade(self))));
    }

    /// The number of subscribers, and how many events the slowest has not read yet.
    fn subscribers(&self) -> (usize, u64) {
        let state = self.state();
        let last = state.retained.last();
        let places = state.subscribers.iter().filter_map(Weak::upgrade);
        let lags = places.map(|place| last.saturating_sub(place.load(Ordering::Relaxed)));
        lags.fold((0, 0), |(count, worst), lag| (count + 1, worst.max(lag)))
    }
}

/// Reads the state of the log.
struct Standing(Weak<EventLog>);

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(log) = self.0.upgrade() else { return Ok(()) };
        let (events, bytes, seq) = {
            let retained = &log.state().retained;
            (retained.len(), retained.bytes(), retained.last())
        };
        let (subscriptions, lag) = log.subscribers();
        let to = &mut encoder;
        gauge(to, "event_log_events", "Events retained.", None, events)?;
        gauge(to, "event_log", "Size of the events retained, as JSON.", Some(&Unit::Bytes), bytes)?;
        gauge(to, "event_log_seq", "Number of the newest event.", None, seq)?;
        gauge(to, "subscriptions", "Subscriptions that are open.", None, subscriptions)?;
        let help = "Events that the slowest subscription has not taken yet.";
        gauge(to, "subscription_lag_events", help, None, lag)
    }
}

#[cfg(test)]
mod tests {
    use prosed_protocol::{EventPayload, RosterLoaded};

    use super::super::Filter;
    use super::*;

    #[test]
    fn the_slowest_subscription_counts_and_who_only_polls_does_not() {
        let log = Arc::new(EventLog::new(0, Box::new(|next| Ok(next + 1_000_000))).unwrap());
        let happen = || {
            log.append(
                &"me@example.org".parse().unwrap(),
                EventPayload::RosterLoaded(RosterLoaded::default()),
            );
        };
        let mut quick = log.subscribe(Filter::default(), None).unwrap();
        let slow = log.subscribe(Filter::default(), None).unwrap();
        let _poll = log.cursor(Filter::default(), Some(0)).unwrap();
        assert_eq!(log.subscribers(), (2, 0));
        (0..3).for_each(|_| happen());
        quick.try_next().unwrap();
        assert_eq!(log.subscribers(), (2, 3));
        drop(slow);
        assert_eq!(log.subscribers(), (1, 2));
        drop(quick);
        assert_eq!(log.subscribers(), (0, 0));
        // Closed ones take no room.
        for _ in 0..100 {
            log.subscribe(Filter::default(), None).unwrap();
        }
        assert_eq!(log.state().subscribers.len(), 1);
    }
}
