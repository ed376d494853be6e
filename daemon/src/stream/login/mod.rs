//! From a connection to a session: what the server offers, the login, and binding or resuming.

pub(super) mod bind;
pub(super) mod dialogue;
pub(super) mod exchange;
mod fast;
pub(super) mod offer;
pub(super) mod pins;
pub(super) mod sasl;
pub(super) mod scram;
mod token;
