//! What prosed costs, beside a floor and its peers, in one run on one machine: `tests/bench`.
//!
//! The server is canned ([`play`]): it plays prepared bytes, so that the client is the limit, and runs in
//! a process of its own, so that its work is not counted. The clients are programs of their own too:
//!
//! - `floor`: a blocking TLS socket and a tag scanner with no tree: what server and TLS alone cost;
//! - `bare`: tokio-xmpp's `StanzaStream`, typed payloads, nothing kept;
//! - `slixmpp.py`: slixmpp with its plugins;
//! - prosed itself, with a user interface that is told of everything.

pub mod outcome;
pub mod play;
pub mod scan;
