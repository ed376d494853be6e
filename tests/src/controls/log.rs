//! The event log: what bounds it.

use super::Edit;

pub(super) const EDITS: &[Edit] = &[Edit {
    guard: "retention",
    file: "daemon/src/events/ring.rs",
    here: "        while self.events.len() > 1 && (",
    instead: "        while !$out && self.events.len() > 1 && (",
}];
