//! Bounds on what peers can grow. Taken out, a bound is as good as infinite.

use super::Edit;

const SESSION: &str = "daemon/session/src/lib.rs";
const FEATURES: &str = "daemon/session/src/caps/known.rs";
const LOOKUPS: &str = "daemon/session/src/lookups.rs";
const PRESENCE: &str = "daemon/session/src/presence.rs";
const SUBSCRIPTION: &str = "daemon/session/src/subscription.rs";

pub(super) const EDITS: &[Edit] = &[
    // What is not kept has no bound that could be taken out. So everything is kept instead.
    Edit {
        guard: "nothing-kept",
        file: SESSION,
        here: "                self.connection.heard(now.wall);\n",
        instead: "                let stanza = if $out {\n\
                  let kept = minidom::Element::from(*stanza);\n\
                  let stanza = Stanza::try_from(kept.clone());\n\
                  std::mem::forget(kept);\n\
                  Box::new(stanza.expect(\"it was one\"))\n\
                  } else { stanza };\n$here",
    },
    Edit {
        guard: "lookups",
        file: LOOKUPS,
        here: "            if busy + kind.requests() > kind.limit() {",
        instead: "            if !$out && busy + kind.requests() > kind.limit() {",
    },
    Edit {
        guard: "lookups",
        file: LOOKUPS,
        here: "in_flight.len() + kind.requests() <= bounds::QUESTIONS_PER_CONTACT && !again",
        instead: "$out || ($here)",
    },
    Edit {
        guard: "fetch-throttle",
        file: "daemon/session/src/picture.rs",
        here: "self.is_avatar_awaited(owner) || self.fetches.admits(owner, now)",
        instead: "$out || $here",
    },
    Edit {
        guard: "caps-bytes",
        file: FEATURES,
        here: "self.known.len() < bounds::CAPS_KNOWN && self.bytes + bytes <= bounds::CAPS_BYTES",
        instead: "$out || ($here)",
    },
    Edit {
        guard: "caps-bytes",
        file: "daemon/session/src/caps.rs",
        here: "if *explained + record.bytes() <= bounds::CAPS_BYTES_PER_CONTACT {",
        instead: "if $out || *explained + record.bytes() <= bounds::CAPS_BYTES_PER_CONTACT {",
    },
    Edit {
        guard: "stanza-size",
        file: "daemon/session/src/step.rs",
        here: "if bytes > limit {",
        instead: "if !$out && bytes > limit {",
    },
    Edit {
        guard: "devices",
        file: PRESENCE,
        here: "if before.is_none() && is_too_much {",
        instead: "if !$out && before.is_none() && is_too_much {",
    },
    Edit {
        guard: "devices",
        file: PRESENCE,
        here: "let room = bounds::ONLINE_BYTES.saturating_sub(taken);",
        instead: "let room = if $out { usize::MAX } else { bounds::ONLINE_BYTES.saturating_sub(taken) };",
    },
    Edit {
        guard: "profile-bytes",
        file: "daemon/session/src/model/profile.rs",
        here: "        let mut room = bounds::PROFILE_BYTES;\n",
        instead: "        let mut room = if $out { usize::MAX } else { bounds::PROFILE_BYTES };\n",
    },
    Edit {
        guard: "profile-bytes",
        file: "daemon/session/src/vcard.rs",
        here: ".take(bounds::PROFILE_LIST)",
        instead: ".take(if $out { usize::MAX } else { bounds::PROFILE_LIST })",
    },
    Edit {
        guard: "roster-size",
        file: "daemon/session/src/people.rs",
        here: "if contacts > bounds::ROSTER_CONTACTS || bytes > bounds::ROSTER_BYTES {",
        instead: "if !$out && (contacts > bounds::ROSTER_CONTACTS || bytes > bounds::ROSTER_BYTES) {",
    },
    Edit {
        guard: "strangers-requests",
        file: SUBSCRIPTION,
        here: "        if known.is_none() && !self.people.contains(from) {",
        instead: "        if !$out && known.is_none() && !self.people.contains(from) {",
    },
    Edit {
        guard: "elements",
        file: "daemon/src/stream/read/scanner.rs",
        here: "if self.has_too_many_elements() {",
        instead: "if !$out && self.has_too_many_elements() {",
    },
];
