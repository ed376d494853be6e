//! When to retry.

use std::time::Duration;

use rand::Rng;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// The shortest wait after a failure that time alone does not fix, like a bad certificate.
const SLOW: Duration = Duration::from_secs(60);
/// A stream that lived this long was good: after its loss the back-off starts over.
pub(super) const STABLE: Duration = Duration::from_secs(60);

/// Exponential back-off: the ceiling doubles from 2 s to 5 min, and the wait is random between a quarter of the
/// ceiling and the ceiling. (Starting at zero would spread clients slightly better after a server's restart, but
/// could not guarantee at most 8 attempts in the first minute.)
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after another failure, or after the loss of a stream.
    pub(super) fn next(&mut self, slow: bool, random: &mut impl Rng) -> Duration {
        let ceiling = Duration::from_secs(2 << self.failures.min(16)).min(LONGEST);
        let ceiling = if slow { ceiling.max(SLOW * 2).min(LONGEST) } else { ceiling };
        let floor = (ceiling / 4).max(if slow { SLOW } else { Duration::from_secs(1) });
        self.failures += 1;
        random.random_range(floor..=ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn at_most_eight_attempts_in_the_first_minute_and_never_slower_than_five_minutes() {
        for seed in 0..500 {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            let (mut backoff, mut at, mut attempts) = (Backoff::default(), Duration::ZERO, 1);
            for _ in 0..40 {
                let wait = backoff.next(false, &mut random);
                assert!(wait >= Duration::from_secs(1) && wait <= LONGEST);
                at += wait;
                attempts += u32::from(at < Duration::from_secs(60));
            }
            assert!(attempts <= 8, "{attempts} attempts");
            backoff.reset();
            assert!(backoff.next(false, &mut random) <= Duration::from_secs(2));
        }
    }

    #[test]
    fn what_time_does_not_mend_waits_a_minute_from_the_start() {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            let wait = backoff.next(true, &mut random);
            assert!(wait >= SLOW && wait <= LONGEST);
        }
    }
}
