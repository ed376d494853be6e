//! The metrics of the doors.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use prosed_protocol::{ErrorKind, api};

use super::guard::Refusal;

/// Counters for all doors together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoorMetrics {
    calls: Family<Call, Counter>,
    refused: Family<Refused, Counter>,
    websockets: Gauge,
    lagged: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// How a call was answered: `ok`, a kind of error, or the connection's limit that it reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Ok,
    Failed(ErrorKind),
    Limited(&'static str),
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Self::Ok => "ok".encode(encoder),
            Self::Failed(kind) => kind.to_string().encode(encoder),
            Self::Limited(meaning) => meaning.encode(encoder),
        }
    }
}

impl From<Option<i32>> for Outcome {
    fn from(code: Option<i32>) -> Self {
        let Some(code) = code else { return Self::Ok };
        match ErrorKind::ALL.iter().find(|kind| kind.code() == code) {
            Some(kind) => Self::Failed(*kind),
            None => Self::Limited(match code {
                -32006 => "tooManySubscriptions",
                -32008 => "oversizedResponse",
                _ => "other",
            }),
        }
    }
}

/// A method's name, if it is one of ours: nothing else that a caller sends becomes a label.
fn known(method: &str) -> &'static str {
    api::methods().map(|info| info.name).find(|name| *name == method).unwrap_or("unknown")
}

impl DoorMetrics {
    /// Adds what is counted here.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for reason in Refusal::ALL {
            drop(self.refused.get_or_create(&Refused { reason: reason.name() }));
        }
        registry.register("calls", "Calls answered", self.calls.clone());
        let help = "Requests turned away at the door";
        registry.register("requests_refused", help, self.refused.clone());
        registry.register("websockets", "WebSockets that are open", self.websockets.clone());
        let help = "Subscriptions that ended because they were too slow";
        registry.register("subscriptions_lagged", help, self.lagged.clone());
    }

    /// A call has been answered; `error` is its code, if it failed.
    pub(super) fn answered(&self, method: &str, error: Option<i32>) {
        self.calls.get_or_create(&Call { method: known(method), outcome: error.into() }).inc();
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused.get_or_create(&Refused { reason: refusal.name() }).inc();
    }

    /// A subscription ended because it was too slow.
    pub(super) fn lagged(&self) {
        self.lagged.inc();
    }

    /// A WebSocket is open while the returned value lives.
    pub(super) fn websocket(&self) -> OpenWebsocket {
        self.websockets.inc();
        OpenWebsocket(self.websockets.clone())
    }
}

/// See [`DoorMetrics::websocket`].
#[derive(Debug)]
pub(super) struct OpenWebsocket(Gauge);

impl Drop for OpenWebsocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_says_becomes_no_label() {
        let metrics = DoorMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        for n in 0..1_000 {
            metrics.answered(&format!("no_such_{n}"), Some(-32_601));
            metrics.answered("get_version", Some(n));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let calls: Vec<_> = text.lines().filter(|line| line.starts_with("calls_total")).collect();
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(
            calls.contains(&r#"calls_total{method="unknown",outcome="methodNotFound"} 1000"#),
            "{calls:?}"
        );
    }

    #[test]
    fn each_kind_of_error_is_told_apart() {
        for kind in ErrorKind::ALL {
            assert_eq!(Outcome::from(Some(kind.code())), Outcome::Failed(*kind));
        }
        assert_eq!(Outcome::from(None), Outcome::Ok);
    }
}
