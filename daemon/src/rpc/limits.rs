//! What one program may ask of the doors.

use std::time::Duration;

/// One request: an avatar of 1 MiB fits in base64.
pub(super) const REQUEST_BYTES: u32 = 2 * 1024 * 1024;

/// One response: the roster of 10,000 contacts fits.
pub(super) const RESPONSE_BYTES: u32 = 16 * 1024 * 1024;

/// Calls in one batch.
pub(super) const BATCH_CALLS: u32 = 32;

/// WebSockets and POSTs in flight, all programs together: every UI and script of one person.
pub(super) const CONNECTIONS: u32 = 32;

/// Sockets of one listener that have not become a WebSocket. Those who connect and show no token
/// take none of [`CONNECTIONS`]; this keeps them from taking every file descriptor, and other users,
/// who can reach the port, from shutting us out of the Unix socket.
pub(super) const SOCKETS: usize = 256;

/// Subscriptions of one connection.
pub(super) const SUBSCRIPTIONS: u32 = 16;

/// Calls of one connection that are not answered yet, or whose answer is not read yet.
pub(super) const CALLS_IN_FLIGHT: usize = 64;

/// Messages on their way to one connection. Few, since each may be large, and a slow reader's
/// place is in the event log and not here.
pub(super) const MESSAGES_UNDER_WAY: u32 = 16;

/// How long the doors wait for a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A WebSocket is pinged so often.
    pub(super) ping_every: Duration,
    /// A peer that gives no sign of life for so long, or takes nothing of what is written to it, is
    /// gone.
    pub(super) gone_after: Duration,
    /// A request's head must be in by then, the first as well as the next on the same socket.
    pub(super) head_within: Duration,
    /// How long answers may take to leave once the daemon stops.
    pub(super) farewell: Duration,
}

impl Patience {
    /// What peers are told of: a ping each 20 s, gone after 60 s.
    pub(super) const USUAL: Self = Self {
        ping_every: Duration::from_secs(20),
        gone_after: Duration::from_secs(60),
        head_within: Duration::from_secs(10),
        farewell: Duration::from_secs(1),
    };
}
