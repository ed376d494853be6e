//! Requests in flight, every one by name. Each ends exactly once: answer, error, time-out, or the
//! end of its stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jid::{BareJid, Jid};
use minidom::Element;
use rand::Rng;
use rand::rngs::StdRng;
use xmpp_parsers::iq::{Iq, IqPayload};

use crate::Turn;
use crate::avatar::AvatarStep;
use crate::bounds;
use crate::caps::Asked;
use crate::command::Call;
use crate::contact::Profile;
use crate::failure::Failure;
use crate::snapshot::ImageId;
use crate::vcard::VcardSource;

/// What we asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Roster,
    RosterChange { call: Call },
    PublishAvatar { call: Call, id: Option<ImageId>, step: AvatarStep },
    EditVcard { call: Call, profile: Box<Profile> },
    PublishVcard { call: Call, vcard: Box<Element>, source: VcardSource },
    EnableCarbons,
    Disco { asked: Asked },
    AvatarMetadata { jid: BareJid },
    AvatarData { jid: BareJid, id: ImageId },
    Vcard { jid: BareJid, source: VcardSource, on_request: bool },
    VcardTemp { jid: BareJid, on_request: bool },
}

/// How a request ended: the payload of its result, or why there is none.
pub(crate) type Outcome = Result<Option<Element>, Failure>;

struct InFlight {
    to: Option<Jid>,
    request: Request,
    deadline: Instant,
}

pub(crate) struct Pending {
    ids: StdRng,
    in_flight: BTreeMap<String, InFlight>,
    deadlines: BTreeSet<(Instant, String)>,
}

impl Pending {
    pub(crate) fn new(ids: StdRng) -> Self {
        Self { ids, in_flight: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// Sends a request. `to` absent: our own account, by way of our server.
    pub(crate) fn ask(&mut self, to: Option<Jid>, payload: IqPayload, request: Request, turn: &mut Turn<'_>) {
        if self.in_flight.len() >= bounds::REQUESTS {
            tracing::warn!(?request, "too many requests in flight: not asked");
            return;
        }
        // Random, so that nobody can answer in another's name.
        let id = format!("{:016x}{:016x}", self.ids.random::<u64>(), self.ids.random::<u64>());
        let deadline = turn.now.monotonic + bounds::REQUEST_TIMEOUT;
        self.deadlines.insert((deadline, id.clone()));
        self.in_flight.insert(id.clone(), InFlight { to: to.clone(), request, deadline });
        let header = xmpp_parsers::iq::IqHeader { from: None, to, id };
        turn.send(Iq::assemble(header, payload));
    }

    /// The request that this answers, if the one whom we asked answers (RFC 6120 §8.1.2.1).
    pub(crate) fn take(&mut self, id: &str, from: Option<&Jid>, account: &BareJid) -> Option<Request> {
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

    /// Those whose time is over.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Request> {
        let overdue: Vec<String> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect();
        overdue.iter().filter_map(|id| self.end(id)).collect()
    }

    /// All: their stream has ended.
    pub(crate) fn take_all(&mut self) -> Vec<Request> {
        self.deadlines.clear();
        std::mem::take(&mut self.in_flight).into_values().map(|asked| asked.request).collect()
    }

    /// Gives all as much time as if they had just been asked.
    pub(crate) fn prolong(&mut self, now: Instant) {
        self.deadlines.clear();
        for (id, asked) in &mut self.in_flight {
            asked.deadline = now + bounds::REQUEST_TIMEOUT;
            self.deadlines.insert((asked.deadline, id.clone()));
        }
    }

    pub(crate) fn count(&self, matching: impl Fn(&Request) -> bool) -> usize {
        self.in_flight.values().filter(|asked| matching(&asked.request)).count()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn end(&mut self, id: &str) -> Option<Request> {
        let asked = self.in_flight.remove(id)?;
        self.deadlines.remove(&(asked.deadline, id.to_owned()));
        Some(asked.request)
    }
}
