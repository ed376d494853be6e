//! A TLS connection to the right host, or why there is none: DNS, TCP, and TLS with its certificates.

pub(super) mod binding;
pub(super) mod dial;
pub(super) mod dns;
mod gate;
pub(super) mod network;
mod quickack;
mod tickets;
pub(super) mod tls;
mod trust;
