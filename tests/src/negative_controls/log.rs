//! The guards of the event log, of what goes into it, and of what is logged.

use super::Edit;

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "retention",
        file: "daemon/src/events/retained.rs",
        here: "        while self.events.len() > 1 && (",
        instead: "        while !$out && self.events.len() > 1 && (",
    },
    Edit {
        guard: "account-share",
        file: "daemon/src/events/retained.rs",
        here: "if too_large { share.bytes }",
        instead: "if $out { usize::MAX - share.events.first().map_or(usize::MAX, |seq| *seq as usize) } else if too_large { share.bytes }",
    },
    Edit {
        guard: "account-share",
        file: "daemon/src/events/retained.rs",
        here: "            Some(account) => self.accounts.get(account)",
        instead: "            Some(account) if !$out => self.accounts.get(account)",
    },
    Edit {
        guard: "account-share",
        file: "daemon/src/events/retained.rs",
        here: "            None => self.accounts.values().map(",
        instead: "            _ => self.accounts.values().map(",
    },
    Edit {
        guard: "contact-states",
        file: "daemon/src/events/retained.rs",
        here: "            if states.len() > STATES_OF_ONE_CONTACT {",
        instead: "            if !$out && states.len() > STATES_OF_ONE_CONTACT {",
    },
    Edit {
        guard: "contact-throttle",
        file: "daemon/session/src/throttle.rs",
        here: "            Some(until) => *until <=",
        instead: "            Some(until) => $out || *until <=",
    },
    Edit {
        guard: "contact-size",
        file: "daemon/src/rpc/truncate.rs",
        here: "        contact.truncated |= level.cut_contact(contact);",
        instead: "        if $out { return; }\n$here",
    },
];
