//! What keeps a session correct while its connection comes and goes.

use super::Edit;

const STAGE: &str = "daemon/src/stream/read/stage.rs";
const TASK: &str = "daemon/src/stream/task.rs";
const SERVE: &str = "daemon/src/stream/task/serve.rs";

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "depth",
        file: "daemon/src/stream/read/scanner.rs",
        here: "if self.depth > MAX_DEPTH {",
        instead: "if !$out && self.depth > MAX_DEPTH {",
    },
    Edit {
        guard: "before-login",
        file: STAGE,
        here: "if is_header != self.header_due {",
        instead: "if !$out && is_header != self.header_due {",
    },
    Edit {
        guard: "before-login",
        file: STAGE,
        here: "if depth > LOGIN_DEPTH || self.elements > LOGIN_ELEMENTS {",
        instead: "if !$out && (depth > LOGIN_DEPTH || self.elements > LOGIN_ELEMENTS) {",
    },
    Edit {
        guard: "before-login",
        file: STAGE,
        here: "if self.len > LOGIN_SIZE {",
        instead: "if !$out && self.len > LOGIN_SIZE {",
    },
    // Bounds anything that is not a stanza as if it were one.
    Edit {
        guard: "before-login",
        file: "daemon/src/stream/read/scanner.rs",
        here: "            return Found::Broken(Broken::TooBig);\n",
        instead: "            return if $out { Found::Nothing } else { Found::Broken(Broken::TooBig) };\n",
    },
    Edit {
        guard: "before-login",
        file: "daemon/src/stream/read/scanner.rs",
        here: "self.depth > MAX_DEPTH {",
        instead: "!$out && $here",
    },
    // Treated like a lost network.
    Edit {
        guard: "refusal-is-final",
        file: "daemon/src/stream/error.rs",
        here: "            Self::NotAuthorized { .. } | Self::AccountDisabled { .. } | Self::Replaced => true,",
        instead: "            Self::NotAuthorized { .. } if $out => false,\n$here",
    },
    Edit {
        guard: "refusal-is-final",
        file: TASK,
        here: "let is_slow = !matches!(error, ConnectError::Unreachable { .. }) && !without;",
        instead: "let is_slow = !matches!(error, ConnectError::Unreachable { .. } | ConnectError::NotAuthorized { .. });",
    },
    Edit {
        guard: "conflict-is-final",
        file: SERVE,
        here: "if element.has_child(\"conflict\", ns::XMPP_STREAMS) {",
        instead: "if !$out && element.has_child(\"conflict\", ns::XMPP_STREAMS) {",
    },
    Edit {
        guard: "back-off",
        file: "daemon/src/stream/backoff.rs",
        here: "        let ceiling = Duration::from_secs(2 <<",
        instead: "        if $out { return Duration::from_millis(50); }\n$here",
    },
    // A dead connection is noticed only when TCP notices.
    Edit {
        guard: "probe",
        file: SERVE,
        here: "        self.heard_at + SILENCE\n",
        instead: "        self.heard_at + if $out { Duration::from_secs(3600) } else { SILENCE }\n",
    },
    // Acknowledges what came while there was no connection, without having received it.
    Edit {
        guard: "received-count",
        file: "daemon/src/stream/manage.rs",
        here: "self.received.to_string())",
        instead: "self.received.wrapping_add(if $out { 3 } else { 0 }).to_string())",
    },
    Edit {
        guard: "received-count",
        file: "daemon/src/stream/manage.rs",
        here: "            return Err(Disorder::OtherSession);\n        }\n",
        instead: "$here        if $out { self.received = self.received.wrapping_add(3); }\n",
    },
    // Treats our state as the server's, as after a resumption.
    Edit {
        guard: "roster-asked-again",
        file: "daemon/session/src/startup.rs",
        here: "        self.ask_roster(step);\n        self.stream.startup.roster_wait",
        instead: "        if !$out || self.people.contacts().is_empty() { self.ask_roster(step); }\n        self.stream.startup.roster_wait",
    },
    Edit {
        guard: "presences-doubted",
        file: "daemon/session/src/presence.rs",
        here: "    pub(crate) fn mark_presences_stale(&mut self, step: &Step<'_>) {\n",
        instead: "$here        if $out { return; }\n",
    },
    Edit {
        guard: "changes-compared",
        file: "daemon/session/src/people.rs",
        here: "if before.as_ref() != Some(&after) =>",
        instead: "if $out || before.as_ref() != Some(&after) =>",
    },
];
