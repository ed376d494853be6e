//! XEP-0352: Client State Indication. While nobody is watching, the server may hold back what is not urgent.
//!
//! Held-back presences would make a roster out of date without anybody noticing. So once somebody is watching again, calls
//! that read presences wait until the server has sent them: it answers a ping after them (§5.1).

use std::time::Instant;

use minidom::Element;
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::ping::Ping;

use crate::command::{Call, Command};
use crate::effect::Effect;
use crate::request::Request;
use crate::{Session, Step, bounds};

pub(crate) struct State {
    /// Somebody is watching.
    is_watched: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { is_watched: true }
    }
}

pub(crate) struct PerStream {
    /// The server supports it.
    is_offered: bool,
    /// What the server was told last; absent: it may not know.
    told: Option<bool>,
    /// The server was ever told that nobody is watching.
    was_inactive: bool,
    refresh: Option<Refresh>,
}

/// The server is sending what it held back.
struct Refresh {
    /// Calls wait no longer than this.
    deadline: Instant,
    calls: Vec<(Call, Command)>,
}

impl Default for PerStream {
    /// A stream begins active (§4.2).
    fn default() -> Self {
        Self { is_offered: false, told: Some(true), was_inactive: false, refresh: None }
    }
}

impl PerStream {
    pub(crate) fn begin(&mut self, is_offered: bool) {
        self.is_offered = is_offered;
    }

    /// The stream has resumed: it should be active again, but servers differ.
    pub(crate) fn resume(&mut self) {
        // What was said last may have been lost with the connection: it is no stanza, so it is not sent again.
        if self.was_inactive {
            self.told = None;
        }
    }

    /// The server is sending what it held back: it has not just happened.
    pub(crate) fn is_refreshing(&self) -> bool {
        self.refresh.is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.refresh.as_ref().map(|refresh| refresh.deadline)
    }

    /// The calls that still wait.
    pub(crate) fn into_calls(self) -> Vec<(Call, Command)> {
        self.refresh.map(|refresh| refresh.calls).unwrap_or_default()
    }

    /// Keeps a call that reads presences until they have arrived. Gives it back if it need not wait.
    pub(crate) fn hold(&mut self, call: Call, command: Command) -> Option<(Call, Command)> {
        let reads = matches!(
            command,
            Command::LoadRoster | Command::LoadState | Command::GetContact { .. } | Command::GetAccount
        );
        match &mut self.refresh {
            Some(refresh) if reads && refresh.calls.len() < bounds::WAITING_CALLS => {
                refresh.calls.push((call, command));
                None
            }
            _ => Some((call, command)),
        }
    }
}

impl Session {
    pub(crate) fn handle_watched(&mut self, is_watched: bool, step: &mut Step<'_>) {
        self.client_state.is_watched = is_watched;
        self.tell_client_state(step);
    }

    /// Not before everybody's presence has arrived: those that the server held back would seem to have left.
    pub(crate) fn tell_client_state(&mut self, step: &mut Step<'_>) {
        let active = self.client_state.is_watched;
        let stream = &mut self.stream.client_state;
        if !stream.is_offered
            || stream.told == Some(active)
            || !self.connection.is_online()
            || !self.stream.startup.is_settled()
        {
            return;
        }
        stream.told = Some(active);
        stream.was_inactive |= !active;
        step.effects.push(Effect::ClientState { active });
        if active && stream.refresh.is_none() {
            let deadline = step.now.monotonic + bounds::REFRESH_WAIT;
            stream.refresh = Some(Refresh { deadline, calls: Vec::new() });
            self.ask(None, IqPayload::Get(Element::from(Ping)), Request::Refresh, step);
        }
    }

    /// What was held back has arrived, or is not waited for any longer.
    pub(crate) fn end_refresh(&mut self, step: &mut Step<'_>) {
        if let Some(ended) = self.stream.client_state.refresh.take() {
            self.tell_contacts(step);
            self.handle_held(ended.calls, step);
        }
    }

    pub(crate) fn handle_held(&mut self, calls: Vec<(Call, Command)>, step: &mut Step<'_>) {
        for (call, command) in calls {
            self.handle_command(call, command, step);
        }
    }

    pub(crate) fn handle_client_state_deadline(&mut self, step: &mut Step<'_>) {
        if self.stream.client_state.next_deadline().is_some_and(|at| at <= step.now.monotonic) {
            self.end_refresh(step);
        }
    }
}
