//! What the scanner finds.

use super::limits::{Broken, Offence};

/// What kind of thing stands directly below the stream's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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

/// Where an attribute's value stands, its quotes included: offsets from the unit's first byte.
pub(super) type Span = (usize, usize);

/// The attributes that a replacement keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub from: Option<Span>,
    pub to: Option<Span>,
    pub id: Option<Span>,
    pub type_: Option<Span>,
}

/// One thing below the stream's root that has just been read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub kind: Kind,
    pub offence: Option<Offence>,
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All bytes are read, and the unit goes on.
    Nothing,
    /// A unit ends here.
    Unit(Unit),
    /// The stanza that is being read offends. Reported once; what follows up to its end only
    /// serves to find that end.
    Offence(Offence),
    /// The stream can't be read on.
    Broken(Broken),
}
