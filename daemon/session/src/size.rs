//! How large a stanza may be: the limit announced by the server (XEP-0478), or what all servers accept.
//!
//! A server ends the stream over a stanza that is too large, and a client that sends it again loses the next stream,
//! too. So each is measured before it is sent, in [`Step::send`](crate::Step::send): one that is too large fails
//! there, with an error that tells callers not to retry.

use xmpp_parsers::stanza::Stanza;

use crate::bounds;

/// Bytes of an avatar's stanza other than the picture: four elements, their namespaces, two ids. 330 are used.
const AROUND_PICTURE: usize = 512;

/// The largest stanza, in bytes, that a server accepts given this announcement (XEP-0478).
pub fn stanza_limit(told: Option<u32>) -> usize {
    match told {
        // A server that announces less than RFC 6120 allows accepts more, or cannot be used at all.
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX).max(bounds::STANZA_BYTES_LEAST),
        None => bounds::STANZA_BYTES_UNTOLD,
    }
}

/// The bytes of a stanza as sent. What cannot be serialized is too large for everybody.
pub fn stanza_bytes(stanza: &Stanza) -> usize {
    xso::to_vec(stanza).map_or(usize::MAX, |written| written.len())
}

/// How many bytes a picture may have to fit into a stanza of this size: base64 turns three into four.
pub fn picture_bytes(stanza: usize) -> usize {
    stanza.saturating_sub(AROUND_PICTURE) / 4 * 3
}
