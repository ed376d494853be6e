//! What is sent on coming online, in the order of the start-up sequence: roster, initial presence, presence with
//! caps, carbons. The numbers are the arrows of that sequence (daemon/decisions/0001).

use std::time::Instant;

use tracing::warn;
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::presence::Presence;

use crate::bounds;
use crate::command::{Answer, Call};
use crate::model::{Availability, OwnPresence};
use crate::request::Request;
use crate::waiting::Awaited;
use crate::{Session, Step, carbons, presence};

/// The progress of this stream's start-up.
#[derive(Default)]
pub(crate) struct PerStream {
    announced: bool,
    roster_versioning: bool,
    /// When presence is sent, with or without the roster.
    roster_wait: Option<Instant>,
    /// When what the server pushes counts as complete: after quiet, and at the latest.
    settled_at: Option<(Instant, Instant)>,
}

impl PerStream {
    /// Initial presence has been sent.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// The server supports roster versioning (RFC 6121 §2.6).
    pub(crate) fn has_roster_versioning(&self) -> bool {
        self.roster_versioning
    }

    /// Everything that the server pushes has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        self.announced && self.settled_at.is_none()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.roster_wait.into_iter().chain(self.settled_at.map(|(soon, _)| soon)).min()
    }

    /// The server is still pushing.
    pub(crate) fn prolong(&mut self, now: Instant) {
        if let Some((soon, at_last)) = &mut self.settled_at {
            *soon = (now + bounds::SETTLED_AFTER).min(*at_last);
        }
    }
}

impl Session {
    /// The roster is requested before presence is sent (RFC 6121 §2.2): otherwise the server answers only after a
    /// storm of presences.
    pub(crate) fn start_up(&mut self, roster_versioning: bool, step: &mut Step<'_>) {
        self.stream.startup.roster_versioning = roster_versioning;
        self.ask_roster(step);
        self.stream.startup.roster_wait = Some(step.now.monotonic + bounds::ROSTER_WAIT);
    }

    /// Announces that we are here (1), our features (2.1.0), and enables carbons (2.2.0).
    pub(crate) fn announce(&mut self, step: &mut Step<'_>) {
        if self.stream.startup.announced || !self.connection.is_online() {
            return;
        }
        self.stream.startup.announced = true;
        self.stream.startup.roster_wait = None;
        if self.presence.own().availability != Availability::Unavailable {
            self.send_available(presence::available(self.presence.own()), step);
            self.send_presence(step);
        }
        self.ask(None, IqPayload::Set(carbons::enable()), Request::EnableCarbons, step);
        let now = step.now.monotonic;
        self.stream.startup.settled_at = Some((now + bounds::SETTLED_AFTER, now + bounds::SETTLED_AT_LAST));
        let account = Answer::Account(Box::new(self.account()));
        self.answer_waiting(&Awaited::Login, &Ok(account), step);
    }

    /// Our presence with our caps, or unavailable.
    pub(crate) fn send_presence(&mut self, step: &mut Step<'_>) {
        if self.presence.own().availability == Availability::Unavailable {
            let _ = step.send(self.presence.farewell());
            // From here on the server sends us nothing about others (RFC 6121 §4.5.2).
            self.forget_presences(step);
            self.stream.presence.end_initial();
            return;
        }
        self.begin_initial(step.now);
        self.send_available(self.full_presence(self.presence.own()), step);
    }

    /// Our presence with our caps.
    pub(crate) fn full_presence(&self, own: &OwnPresence) -> Presence {
        let mut presence = presence::available(own);
        presence.payloads.push(self.caps.announcement());
        presence
    }

    /// A stored status may exceed this server's limit. In that case contacts see us without it.
    fn send_available(&self, mut presence: Presence, step: &mut Step<'_>) {
        if step.send(presence.clone()).is_err() {
            warn!("the server does not take presences as long as ours: sent without status");
            presence.statuses.clear();
            let _ = step.send(presence);
        }
    }

    pub(crate) fn handle_login(&mut self, call: Call, step: &mut Step<'_>) {
        if self.stream.startup.announced && self.connection.is_online() {
            step.reply(call, Ok(Answer::Account(Box::new(self.account()))));
        } else {
            self.wait(call, Awaited::Login, step);
        }
    }

    pub(crate) fn handle_startup_deadlines(&mut self, step: &mut Step<'_>) {
        if !self.connection.is_online() {
            return;
        }
        if self.stream.startup.roster_wait.is_some_and(|at| at <= step.now.monotonic) {
            self.announce(step);
        }
        if self.stream.startup.settled_at.is_some_and(|(soon, _)| soon <= step.now.monotonic) {
            self.stream.startup.settled_at = None;
            self.forget_stale_presences(step);
            self.catch_up(step);
            self.tell_client_state(step);
        }
    }
}
