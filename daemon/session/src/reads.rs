//! Reads in flight to the store. Each is answered by an input, so that a session waits for no disk; equal ones share
//! an answer. The store carries out writes and reads in the order in which they are requested: what is read contains
//! every write before it.

use std::collections::BTreeMap;

use crate::effect::{Effect, Query, Record, StoreFailed, Ticket};
use crate::line::Line;
use crate::{Session, Step, bounds};

#[derive(Default)]
pub(crate) struct State {
    in_flight: BTreeMap<Ticket, Query>,
    /// Those without room. A query is in flight or waits at most once, so there are as many as contacts at most.
    waiting: Line<Query>,
}

impl State {
    /// Those in flight, and all.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> [usize; 2] {
        [self.in_flight.len(), self.in_flight.len() + self.waiting.len()]
    }

    fn has(&self, query: &Query) -> bool {
        self.waiting.contains(query) || self.in_flight.values().any(|known| known == query)
    }
}

impl Session {
    /// Reads this, unless that has been requested already.
    pub(crate) fn read(&mut self, query: Query, step: &mut Step<'_>) {
        if !self.reads.has(&query) {
            self.reads.waiting.put(&query);
            self.read_on(step);
        }
    }

    fn read_on(&mut self, step: &mut Step<'_>) {
        while self.reads.in_flight.len() < bounds::READS_IN_FLIGHT
            && let Some(query) = self.reads.waiting.pop_oldest()
        {
            let ticket = step.tickets.issue();
            self.reads.in_flight.insert(ticket, query.clone());
            step.effects.push(Effect::Read { query, ticket });
        }
    }

    pub(crate) fn handle_found(
        &mut self,
        ticket: Ticket,
        result: Result<Option<Record>, StoreFailed>,
        step: &mut Step<'_>,
    ) {
        let Some(query) = self.reads.in_flight.remove(&ticket) else { return };
        self.read_on(step);
        match query {
            Query::Profile(jid) => {
                let found = result.map(|record| record.map(|Record::Profile(profile)| *profile));
                self.handle_stored_profile(jid, found, step);
            }
        }
    }
}
