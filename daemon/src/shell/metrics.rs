//! Traffic between the accounts and their servers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use prosed_session::ConnectionState;
use xmpp_parsers::stanza::Stanza;

use crate::stream::ConnectError;

/// Counters for all accounts together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionMetrics {
    accounts: Family<State, Gauge>,
    received: Family<StanzaKind, Counter>,
    sent: Family<StanzaKind, Counter>,
    lost: Counter,
    reconnects: Family<Reconnected, Counter>,
    failures: Family<Failed, Counter>,
    crashes: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Whether it is an iq, a message or a presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StanzaKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconnected {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    kind: &'static str,
}

const STATES: [&str; 5] = ["connecting", "online", "suspended", "offline", "failed"];
const KINDS: [&str; 3] = ["iq", "message", "presence"];
const OUTCOMES: [&str; 2] = ["resumed", "new"];
const FAILURES: [&str; 7] = [
    "notAuthorized",
    "accountDisabled",
    "serverUnreachable",
    "tlsFailed",
    "protocolViolation",
    "sessionReplaced",
    "downgradeRefused",
];

impl SessionMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        // What has not happened yet is reported as zero.
        STATES.iter().for_each(|state| drop(self.accounts.get_or_create(&State { state })));
        KINDS.iter().for_each(|kind| drop(self.received.get_or_create(&StanzaKind { kind })));
        KINDS.iter().for_each(|kind| drop(self.sent.get_or_create(&StanzaKind { kind })));
        OUTCOMES.iter().for_each(|outcome| drop(self.reconnects.get_or_create(&Reconnected { outcome })));
        FAILURES.iter().for_each(|kind| drop(self.failures.get_or_create(&Failed { kind })));
        registry.register("sessions", "Accounts by the state of their sessions", self.accounts.clone());
        registry.register("stanzas_received", "Stanzas from servers", self.received.clone());
        registry.register("stanzas_sent", "Stanzas to servers", self.sent.clone());
        registry.register("connections_lost", "Connections lost after a login", self.lost.clone());
        let help = "Connections that came back: with their session resumed, or with a new one";
        registry.register("reconnects", help, self.reconnects.clone());
        let help = "Attempts to connect and log in that failed, by the kind of the error";
        registry.register("login_failures", help, self.failures.clone());
        registry.register("account_crashes", "Accounts that a bug brought down", self.crashes.clone());
    }

    pub(crate) fn received(&self, stanza: &Stanza) {
        self.received.get_or_create(&StanzaKind::of(stanza)).inc();
    }

    pub(crate) fn sent(&self, kind: StanzaKind) {
        self.sent.get_or_create(&kind).inc();
    }

    /// A logged-in connection is lost.
    pub(crate) fn lost(&self) {
        self.lost.inc();
    }

    /// It came back.
    pub(crate) fn reconnected(&self, resumed: bool) {
        let [with_session, new] = OUTCOMES;
        let outcome = if resumed { with_session } else { new };
        self.reconnects.get_or_create(&Reconnected { outcome }).inc();
    }

    pub(crate) fn login_failed(&self, error: &ConnectError) {
        let [not_authorized, disabled, unreachable, tls, protocol, replaced, downgrade] = FAILURES;
        let kind = match error {
            ConnectError::NotAuthorized { .. } => not_authorized,
            ConnectError::AccountDisabled { .. } => disabled,
            ConnectError::Unreachable { .. } => unreachable,
            ConnectError::Tls { .. } => tls,
            ConnectError::Protocol { .. } => protocol,
            ConnectError::Replaced => replaced,
            ConnectError::Downgrade { .. } => downgrade,
        };
        self.failures.get_or_create(&Failed { kind }).inc();
    }

    pub(crate) fn crashed(&self) {
        self.crashes.inc();
    }
}

/// One account's part in the count of sessions by state, while it lives.
#[derive(Debug)]
pub(crate) struct StateGauge {
    metrics: SessionMetrics,
    state: &'static str,
}

impl StateGauge {
    pub(crate) fn new(metrics: &SessionMetrics, state: ConnectionState) -> Self {
        let gauge = Self { metrics: metrics.clone(), state: name(state) };
        gauge.count(1);
        gauge
    }

    /// Records the session's new state.
    pub(crate) fn enter(&mut self, state: ConnectionState) {
        self.count(-1);
        self.state = name(state);
        self.count(1);
    }

    fn count(&self, by: i64) {
        self.metrics.accounts.get_or_create(&State { state: self.state }).inc_by(by);
    }
}

impl Drop for StateGauge {
    fn drop(&mut self) {
        self.count(-1);
    }
}

fn name(state: ConnectionState) -> &'static str {
    let [connecting, online, suspended, offline, failed] = STATES;
    match state {
        ConnectionState::Connecting => connecting,
        ConnectionState::Online => online,
        ConnectionState::Suspended => suspended,
        ConnectionState::Offline => offline,
        ConnectionState::Failed => failed,
    }
}

impl StanzaKind {
    pub(crate) fn of(stanza: &Stanza) -> Self {
        let [iq, message, presence] = KINDS;
        let kind = match stanza {
            Stanza::Iq(_) => iq,
            Stanza::Message(_) => message,
            Stanza::Presence(_) => presence,
        };
        Self { kind }
    }
}
