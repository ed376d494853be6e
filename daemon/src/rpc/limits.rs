//! What one program may use of the doors.

use std::time::Duration;

use prosed_protocol::ApiError;

/// One request: an avatar of 1 MiB fits in base64.
pub(super) const REQUEST_BYTES: u32 = 2 * 1024 * 1024;

/// A request's head: a token, and a browser's own headers.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// One response: the roster of 10,000 contacts fits.
pub(super) const RESPONSE_BYTES: u32 = 16 * 1024 * 1024;

/// Calls in one batch.
pub(super) const BATCH_CALLS: u32 = 32;

/// The most sockets that one door holds. The port and the Unix socket have separate shares: what fills one leaves
/// room at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Connections without the token. Few: each is served within milliseconds.
    pub(super) strangers: usize,
    /// Connections with the token, or known to the kernel, that have not opened a WebSocket: all scripts of one
    /// person.
    pub(super) seats: usize,
    /// WebSockets, and POSTs in flight: all UIs and scripts of one person.
    pub(super) websockets: u32,
}

impl Shares {
    const MOST: u32 = 32;

    /// For a process that may open this many files and has this many doors. The doors take at most half: the rest is
    /// for sessions, whose connections come and go, and for the cache.
    pub(super) fn of(descriptors: u64, doors: usize) -> Self {
        let parts = 2 * 4 * doors.max(1) as u64;
        let part = u32::try_from(descriptors / parts).unwrap_or(Self::MOST).clamp(1, Self::MOST);
        Self { strangers: part as usize, seats: 2 * part as usize, websockets: part }
    }
}

/// Subscriptions of one connection.
pub(super) const SUBSCRIPTIONS: u32 = 16;

/// Calls of one connection that are not answered yet, or whose answer has not been read.
pub(super) const CALLS_IN_FLIGHT: usize = 64;

/// Messages queued for one connection. Few, since each may be large, and a slow reader's position is in the event log
/// and not here.
pub(super) const MESSAGES_UNDER_WAY: usize = 16;

/// One of these limits was reached, and the same call will reach it again. `code` is what jsonrpsee's servers use in
/// this case.
pub(super) fn exceeded(code: i32, limit: &str, value: u32) -> ApiError {
    ApiError::limit_exceeded(limit, value.into()).code(code).retryable(false)
}

/// How long the doors wait for a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// How often a WebSocket is pinged.
    pub(super) ping_every: Duration,
    /// A peer that gives no sign of life, or accepts no data, for this long is gone.
    pub(super) gone_after: Duration,
    /// Connections that have not shown the token by then are closed.
    pub(super) strange_for: Duration,
    /// A request's head must have arrived by then, the first as well as the next on the same socket.
    pub(super) head_within: Duration,
    /// How long answers may take to be sent once the daemon stops.
    pub(super) farewell: Duration,
}

impl Timeouts {
    /// What peers are told: a ping every 20 s, gone after 60 s.
    pub(super) const USUAL: Self = Self {
        ping_every: Duration::from_secs(20),
        gone_after: Duration::from_secs(60),
        strange_for: Duration::from_secs(5),
        head_within: Duration::from_secs(10),
        farewell: Duration::from_secs(1),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_leave_half_of_the_descriptors_to_sessions() {
        for (descriptors, doors) in [(64, 1), (64, 2), (256, 2), (1024, 2), (1024, 8), (u64::MAX, 2)] {
            let Shares { strangers, seats, websockets } = Shares::of(descriptors, doors);
            let taken = (strangers + seats + websockets as usize) * doors;
            assert!(taken as u64 <= descriptors / 2, "{taken} of {descriptors}");
            assert!(strangers >= 4 && seats >= 8 && websockets >= 4);
        }
        assert_eq!(Shares::of(1024, 2), Shares { strangers: 32, seats: 64, websockets: 32 });
        assert_eq!(Shares::of(0, 0), Shares { strangers: 1, seats: 2, websockets: 1 });
    }
}
