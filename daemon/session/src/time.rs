//! Time comes from outside: the session never reads a clock.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The moment at which an input happens.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines and durations.
    pub monotonic: Instant,
    /// For display.
    pub wall: Timestamp,
}

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);
