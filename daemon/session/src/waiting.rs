//! Calls from UIs that wait for something.

use std::time::Instant;

use jid::BareJid;

use crate::bounds;
use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::{Session, Step};

/// What a call waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Awaited {
    Login,
    Roster,
    Avatar(BareJid),
    /// What the server says.
    Profile(BareJid),
    /// What the store has.
    StoredProfile(BareJid),
    /// The result of what this call itself requested.
    Outcome(Call),
}

/// The waiting calls, in order of arrival.
#[derive(Default)]
pub(crate) struct Waiting(Vec<(Call, Awaited, Instant)>);

impl Waiting {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(.., deadline)| *deadline).min()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_awaited(&self, what: &Awaited) -> bool {
        self.0.iter().any(|(_, awaited, _)| awaited == what)
    }

    /// Restarts a call's time.
    pub(crate) fn prolong(&mut self, what: &Awaited, now: Instant) {
        for (.., deadline) in self.0.iter_mut().filter(|(_, awaited, _)| awaited == what) {
            *deadline = now + bounds::CALL_TIMEOUT;
        }
    }

    /// They wait for something else from now on, in the time that is left.
    pub(crate) fn wait_instead(&mut self, before: &Awaited, after: &Awaited) {
        for (_, awaited, _) in self.0.iter_mut().filter(|(_, awaited, _)| awaited == before) {
            *awaited = after.clone();
        }
    }

    fn take_overdue(&mut self, now: Instant) -> Vec<(Call, Awaited)> {
        let overdue = self.0.extract_if(.., |(.., deadline)| *deadline <= now);
        overdue.map(|(call, awaited, _)| (call, awaited)).collect()
    }

    fn take(&mut self, matching: impl Fn(&Awaited) -> bool) -> Vec<Call> {
        self.0.extract_if(.., |(_, awaited, _)| matching(awaited)).map(|(call, ..)| call).collect()
    }
}

impl Session {
    /// Calls whose time is up.
    pub(crate) fn handle_overdue_calls(&mut self, step: &mut Step<'_>) {
        for (call, awaited) in self.waiting.take_overdue(step.now.monotonic) {
            let failure = match awaited {
                Awaited::Login | Awaited::Roster => self.connection.why_not_online(),
                Awaited::Avatar(_)
                | Awaited::Profile(_)
                | Awaited::StoredProfile(_)
                | Awaited::Outcome(_) => Failure::RequestTimedOut,
            };
            let result = self.end_rename(call, &failure, step).unwrap_or(Err(failure));
            step.reply(call, result);
        }
    }

    /// Adds a waiting call; returns whether there was room for it.
    pub(crate) fn wait(&mut self, call: Call, awaited: Awaited, step: &mut Step<'_>) -> bool {
        if self.waiting.0.len() >= bounds::WAITING_CALLS {
            let limit = bounds::WAITING_CALLS;
            step.reply(call, Err(Failure::LimitExceeded { what: "waiting calls", limit }));
            return false;
        }
        self.waiting.0.push((call, awaited, step.now.monotonic + bounds::CALL_TIMEOUT));
        true
    }

    /// What they waited for has happened, or never will.
    pub(crate) fn answer_waiting(
        &mut self,
        what: &Awaited,
        result: &Result<Answer, Failure>,
        step: &mut Step<'_>,
    ) {
        for call in self.waiting.take(|awaited| awaited == what) {
            step.reply(call, result.clone());
        }
    }

    /// The stream is gone, and with it all answers in flight. The store needs none; calls that wait for login or
    /// roster wait for the next stream.
    pub(crate) fn fail_waiting_for_answers(&mut self, step: &mut Step<'_>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let calls = waiting.take(|awaited| match awaited {
            Awaited::Login | Awaited::Roster | Awaited::StoredProfile(_) => false,
            Awaited::Avatar(jid) => !self.is_avatar_on_its_way(jid),
            Awaited::Profile(_) | Awaited::Outcome(_) => true,
        });
        self.waiting = waiting;
        for call in calls {
            step.reply(call, Err(Failure::Offline));
        }
    }

    /// Nothing can be waited for any more, except the store.
    pub(crate) fn fail_waiting(&mut self, failure: &Failure, step: &mut Step<'_>) {
        for call in self.waiting.take(|awaited| !matches!(awaited, Awaited::StoredProfile(_))) {
            step.reply(call, Err(failure.clone()));
        }
    }
}
