//! What the scanner finds.

use super::limits::{Broken, Offence};

/// What kind of thing stands directly below the stream's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Iq,
    Message,
    Presence,
    /// A stream header.
    Header,
    /// Any other element.
    Element,
    /// White space, the XML declaration and the end of the stream.
    Other,
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// All bytes are read, and what is below the root goes on.
    Nothing,
    /// Something below the root, or the header, ends here.
    Unit(Kind),
    /// The stanza that is being read offends. Reported once; what follows up to its end only
    /// serves to find that end.
    Offence(Offence),
    /// The stream can't be read on.
    Broken(Broken),
}

impl Found {
    /// The next step's finding, where this one found nothing.
    pub(crate) fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        if self == Self::Nothing { next() } else { self }
    }
}
