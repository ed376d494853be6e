//! Free ports for servers that cannot pick one themselves.

use std::net::TcpListener;

use rand::Rng;

/// Below what Linux assigns to outgoing connections (32768 and up), so that none of those takes the port between our
/// check and the server's bind; random, so that tests running at the same time rarely collide.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 that was free a moment ago.
pub fn free() -> u16 {
    let mut random = rand::rng();
    (0..1000)
        .map(|_| random.random_range(RANGE))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of a thousand ports is free")
}
