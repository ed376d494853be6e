//! How large a stanza may be: what the server says (XEP-0478), or what all servers take.
//!
//! A server ends the stream over a stanza that is too large, and a client that sends it again loses the next
//! stream, too. So each is measured before it goes out, in [`Turn::send`](crate::Turn::send): what is too large
//! fails there, with an error that tells callers not to try again.

use xmpp_parsers::stanza::Stanza;

use crate::bounds;

/// Bytes of an avatar's stanza other than the picture: four elements, their namespaces, two ids. 330 are used.
const AROUND_PICTURE: usize = 512;

/// How many bytes of a stanza a server takes that says this of itself (XEP-0478).
pub fn stanza_limit(told: Option<u32>) -> usize {
    match told {
        // Who says less than RFC 6120 allows takes more, or can't be talked to at all.
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX).max(bounds::STANZA_BYTES_LEAST),
        None => bounds::STANZA_BYTES_UNTOLD,
    }
}

/// The bytes of a stanza as it is sent. What can't be written is too large for everybody.
pub fn stanza_bytes(stanza: &Stanza) -> usize {
    xso::to_vec(stanza).map_or(usize::MAX, |written| written.len())
}

/// How many bytes a picture may have to be published in a stanza of so many: base64 makes four of three.
pub fn picture_bytes(stanza: usize) -> usize {
    stanza.saturating_sub(AROUND_PICTURE) / 4 * 3
}
