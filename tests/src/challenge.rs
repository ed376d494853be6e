//! Challenges as described in `protocol/README.md`: computed without prosed's own code.

use std::net::SocketAddr;

use ring::hmac;

/// The head of a request for a challenge.
pub const REQUEST: &str = "GET /challenge ";

/// The answer of the daemon with this token and listening address.
pub fn answer(token: &str, address: SocketAddr, nonce: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let mac = hmac::sign(&key, format!("prosed challenge 1\n{address}\n{nonce}").as_bytes());
    mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The nonce in the head of a request; empty if there is none.
pub fn nonce(head: &str) -> &str {
    let value = |line: &'_ str| line.to_ascii_lowercase().starts_with("prosed-nonce:");
    let line = head.lines().find(|line| value(line)).unwrap_or_default();
    line.split_once(':').map_or("", |(_, nonce)| nonce.trim())
}
