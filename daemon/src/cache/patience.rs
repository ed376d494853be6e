//! How sled's threads are kept from waking the machine. From its first write until the process ends, whether or not
//! anything is open, sled has seven threads that each wake once a second to look for work. No setting changes that,
//! and closing the rows does not end them.
//!
//! But the kernel can be told how late a thread's time-outs may be, and threads inherit that from the one that starts
//! them. It concerns time-outs only: work that is handed to a thread wakes it at once.

use std::num::NonZeroU64;

use rustix::thread::set_current_timer_slack;

/// How late a time-out may be, in nanoseconds: a minute. sled depends on none of them. An additional thread, which it
/// starts for a burst of work, takes some minutes to end.
const LATE: Option<NonZeroU64> = NonZeroU64::new(60 * 1_000_000_000);

/// While it exists, time-outs of this thread may be late; those of threads started in the meantime always may. So
/// nothing may wait for a time under it, and whatever may make sled start a thread happens under it.
pub(super) struct Patience(());

impl Patience {
    pub(super) fn begin() -> Self {
        // Without it, they just wake more often.
        if let Err(error) = set_current_timer_slack(LATE) {
            tracing::debug!(%error, "the cache's threads can't be told to sleep longer");
        }
        Self(())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        // Back to what the thread began with. It can't be asked what that was: rustix reads 32 bits only.
        let _ = set_current_timer_slack(None);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::thread::gettid;

    use super::*;

    /// In nanoseconds.
    fn slack() -> u64 {
        let path = format!("/proc/{}/timerslack_ns", gettid().as_raw_nonzero());
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn threads_started_meanwhile_keep_it_and_this_one_does_not() {
        let before = slack();
        let patience = Patience::begin();
        let theirs = std::thread::spawn(slack).join().unwrap();
        drop(patience);
        assert_eq!(theirs, 60_000_000_000);
        assert_eq!((slack(), std::thread::spawn(slack).join().unwrap()), (before, before));
    }
}
