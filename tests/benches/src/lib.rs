//! What prosed costs, compared with a floor and other clients in one run on one machine: `tests/bench`.
//!
//! The server is canned ([`play`]): it sends prepared bytes, so that the client is the bottleneck, and runs in a
//! separate process, so that its work is not counted. The clients are separate programs, too:
//!
//! - `floor`: a blocking TLS socket and a tag scanner that builds no tree: what the server and TLS alone cost;
//! - `bare`: tokio-xmpp's `StanzaStream`, typed payloads, nothing kept;
//! - `slixmpp.py`: slixmpp with its plugins;
//! - prosed itself, with a UI that subscribes to everything.

pub mod outcome;
pub mod play;
pub mod scan;
