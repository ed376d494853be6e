//! The stages of a connection, and what a server may send in each.
//!
//! Before login that is a short list, and small. Nobody has been authenticated yet, and a tree is built of whatever
//! arrives.

use super::limits::{Broken, LOGIN_DEPTH, LOGIN_ELEMENTS, LOGIN_SIZE};

/// The stage of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Plain text, up to `<proceed/>`.
    Plain,
    /// After TLS, up to `<success/>`.
    Login,
    /// Logged in: stanzas.
    Session,
}

impl Stage {
    /// Whether an element with this name is allowed (RFC 6120 §4.9, §5.4, §6.4; XEP-0388 §2).
    fn allows(self, name: &[u8]) -> bool {
        match self {
            Self::Plain => matches!(name, b"features" | b"proceed" | b"failure" | b"error"),
            Self::Login => {
                matches!(name, b"features" | b"challenge" | b"success" | b"failure" | b"continue" | b"error")
            }
            Self::Session => true,
        }
    }
}

/// What one stream has received. A stream has one header, and begins with it (RFC 6120 §4.2).
pub(crate) struct Progress {
    stage: Stage,
    header_due: bool,
    declaration_due: bool,
    /// Elements and bytes before login.
    elements: u32,
    len: usize,
}

impl Progress {
    pub(crate) fn new(stage: Stage) -> Self {
        Self { stage, header_due: true, declaration_due: true, elements: 0, len: 0 }
    }

    pub(crate) fn logged_in(&mut self) {
        self.stage = Stage::Session;
    }

    /// This many more bytes.
    pub(crate) fn read(&mut self, len: usize) -> Result<(), Broken> {
        if self.stage == Stage::Session {
            return Ok(());
        }
        self.len += len;
        if self.len > LOGIN_SIZE { Err(Broken::TooMuch) } else { Ok(()) }
    }

    /// An XML declaration begins; false if none is allowed.
    pub(crate) fn declared(&mut self) -> bool {
        std::mem::take(&mut self.declaration_due)
    }

    /// One more element, at this depth.
    pub(crate) fn opened(&mut self, depth: u32) -> Result<(), Broken> {
        self.declaration_due = false;
        if self.stage == Stage::Session {
            return Ok(());
        }
        self.elements += 1;
        if depth > LOGIN_DEPTH || self.elements > LOGIN_ELEMENTS { Err(Broken::TooMuch) } else { Ok(()) }
    }

    /// The name of the root, or of one of its children.
    pub(crate) fn named(&mut self, name: &[u8]) -> Result<(), Broken> {
        let is_header = name == b"stream";
        if is_header != self.header_due {
            return Err(Broken::Header);
        }
        if is_header || self.stage.allows(name) { Ok(()) } else { Err(Broken::Early) }
    }

    /// Nothing has begun that could end.
    pub(crate) fn is_unopened(&self) -> bool {
        self.header_due
    }

    /// The header has arrived.
    pub(crate) fn begun(&mut self) {
        self.header_due = false;
    }
}
