//! The limits of what is read, and how they are exceeded.

/// Nesting depth, including the stanza itself. Trees are compared and dropped recursively: 20,000 levels
/// overflow the stack and abort the process. Real stanzas stay below 20.
pub(crate) const MAX_DEPTH: u32 = 64;
/// Bytes of one run of text; an avatar of 1 MiB is 1.4 MB of base64.
pub(crate) const MAX_TEXT: usize = 2 << 20;
/// Attributes of one element, namespace declarations included.
pub(crate) const MAX_ATTRIBUTES: u32 = 128;
/// Bytes of a name or of an attribute's raw value. The XMPP libraries take 8,192; the rest is margin.
pub(crate) const MAX_TOKEN: usize = 8192 - 64;
/// Elements of one stanza from our own server: each takes up to 1.4 KB of memory. A roster of 10,000 contacts in three
/// groups each has 40,000.
pub(crate) const MAX_ELEMENTS: u32 = 100_000;
/// The same from anybody else: 23 MB of memory. Contacts' profiles and lists of features have at most hundreds.
pub(crate) const MAX_ELEMENTS_OF_OTHERS: u32 = 16_384;
/// Bytes of one stanza; a roster of 10,000 contacts has 2 MB.
pub(crate) const MAX_STANZA: usize = 16 << 20;

/// Nesting depth before login: the features of a server with everything have 5. At this stage trees are built
/// of anything.
pub(crate) const LOGIN_DEPTH: u32 = 16;
/// Total elements before login: known servers send at most 60.
pub(crate) const LOGIN_ELEMENTS: u32 = 1_000;
/// Total bytes before login: known servers send at most 5 kB.
pub(crate) const LOGIN_SIZE: usize = 128 * 1024;

/// The bound that a stanza exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    Depth,
    Text,
    Attributes,
    Token,
    Elements,
    Size,
}

/// What cannot be part of an XMPP stream. Nothing after it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("not XML")]
    Syntax,
    #[error("XML that XMPP does not allow")]
    Restricted,
    #[error("text between stanzas")]
    StrayText,
    #[error("something that is not a stanza exceeds the limits")]
    TooBig,
    #[error("data after the end of the stream")]
    AfterEnd,
    #[error("a stream header out of place, or none where one was due")]
    Header,
    #[error("something that has no place before the login")]
    Early,
    #[error("too much before the login")]
    TooMuch,
    #[error("a namespace declared twice or in a way that XML forbids")]
    Namespace,
}
