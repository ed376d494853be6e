//! Requests in flight, by id. Each ends exactly once: answer, error, time-out, or the end of its stream.
//!
//! Requests from UIs and from the session itself have their own share. Queries caused by contacts come with a
//! [`Lookup`], whose bounds are in `lookups.rs`: they take no place from anything that a call waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jid::{BareJid, Jid};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use xmpp_parsers::iq::{Iq, IqPayload};

use crate::bounds;
use crate::dropped::What;
use crate::failure::Failure;
use crate::lookups::Lookup;
use crate::request::Request;
use crate::{Session, Step};

/// Random, so that nobody can forge an answer.
pub(crate) struct Ids(StdRng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    fn draw(&mut self) -> String {
        format!("{:016x}{:016x}", self.0.random::<u64>(), self.0.random::<u64>())
    }
}

struct InFlight {
    to: Option<Jid>,
    request: Request,
    /// The contact's lookup; absent: ours, or a UI's.
    lookup: Option<Lookup>,
    deadline: Instant,
    bytes: usize,
}

/// A request that has ended.
pub(crate) struct Ended {
    pub(crate) request: Request,
    pub(crate) lookup: Option<Lookup>,
}

/// Those of one stream.
#[derive(Default)]
pub(crate) struct Pending {
    in_flight: BTreeMap<String, InFlight>,
    /// Those without a lookup.
    ours: usize,
    deadlines: BTreeSet<(Instant, String)>,
    /// Those that could not be sent, and why. Their callers are told once the current step is done.
    refused: Vec<(String, Failure)>,
}

impl Pending {
    /// Whether there is room for another request of our own.
    fn has_room(&self) -> bool {
        self.ours < bounds::REQUESTS
    }

    fn send(
        &mut self,
        id: String,
        to: Option<Jid>,
        payload: IqPayload,
        request: Request,
        lookup: Option<Lookup>,
        step: &mut Step<'_>,
    ) {
        self.ours += usize::from(lookup.is_none());
        let deadline = step.now.monotonic + bounds::REQUEST_TIMEOUT;
        self.deadlines.insert((deadline, id.clone()));
        let header = xmpp_parsers::iq::IqHeader { from: None, to: to.clone(), id: id.clone() };
        let sent = step.send(Iq::assemble(header, payload));
        let bytes = *sent.as_ref().unwrap_or(&0);
        self.in_flight.insert(id.clone(), InFlight { to, request, lookup, deadline, bytes });
        self.refused.extend(sent.err().map(|failure| (id, failure)));
    }

    /// One that could not be sent, and why.
    pub(crate) fn take_refused(&mut self) -> Option<(Ended, Failure)> {
        let (id, failure) = self.refused.pop()?;
        Some((self.end(&id)?, failure))
    }

    /// Those whose stanza is larger than this, in bytes.
    pub(crate) fn take_larger_than(&mut self, limit: usize) -> Vec<Ended> {
        let larger = self.in_flight.iter().filter(|(_, asked)| asked.bytes > limit);
        let larger: Vec<String> = larger.map(|(id, _)| id.clone()).collect();
        larger.iter().filter_map(|id| self.end(id)).collect()
    }

    /// The request that this answers, if it comes from the entity that was queried (RFC 6120 §8.1.2.1).
    pub(crate) fn take(&mut self, id: &str, from: Option<&Jid>, account: &BareJid) -> Option<Ended> {
        let asked = self.in_flight.get(id)?;
        let ours = |jid: &Jid| jid.is_bare() && jid.to_bare() == *account;
        let matches = match (&asked.to, from) {
            (None, None) => true,
            (None, Some(from)) => ours(from),
            (Some(to), None) => ours(to),
            (Some(to), Some(from)) => to == from,
        };
        if !matches {
            tracing::debug!("answer from somebody whom we did not ask ignored");
            return None;
        }
        self.end(id)
    }

    /// Those whose time is up.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Ended> {
        let overdue: Vec<String> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect();
        overdue.iter().filter_map(|id| self.end(id)).collect()
    }

    /// All: their stream has ended.
    pub(crate) fn into_requests(self) -> impl Iterator<Item = Request> {
        self.in_flight.into_values().map(|asked| asked.request)
    }

    /// Restarts the time of all requests.
    pub(crate) fn prolong(&mut self, now: Instant) {
        self.deadlines.clear();
        for (id, asked) in &mut self.in_flight {
            asked.deadline = now + bounds::REQUEST_TIMEOUT;
            self.deadlines.insert((asked.deadline, id.clone()));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn end(&mut self, id: &str) -> Option<Ended> {
        let InFlight { request, lookup, deadline, .. } = self.in_flight.remove(id)?;
        self.deadlines.remove(&(deadline, id.to_owned()));
        self.ours -= usize::from(lookup.is_none());
        Some(Ended { request, lookup })
    }
}

impl Session {
    /// Sends a request for a UI or for the session itself. `to` absent: our own account, through our server.
    pub(crate) fn ask(&mut self, to: Option<Jid>, payload: IqPayload, request: Request, step: &mut Step<'_>) {
        if self.stream.pending.has_room() {
            let id = self.ids.draw();
            self.stream.pending.send(id, to, payload, request, None, step);
        } else {
            self.dropped.note(What::Requests, step.now);
        }
    }

    /// The same; with a lookup, it counts as that contact's.
    pub(crate) fn ask_for(
        &mut self,
        lookup: Option<Lookup>,
        to: Option<Jid>,
        payload: IqPayload,
        request: Request,
        step: &mut Step<'_>,
    ) {
        match lookup {
            None => self.ask(to, payload, request, step),
            Some(lookup) => {
                self.stream.lookups.begin(&lookup);
                let id = self.ids.draw();
                self.stream.pending.send(id, to, payload, request, Some(lookup), step);
            }
        }
    }
}
