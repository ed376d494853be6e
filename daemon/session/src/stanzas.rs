//! What the server sends, passed on to whom it concerns.

use jid::Jid;
use tracing::debug;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::{Message, MessageType};
use xmpp_parsers::presence::{Presence, Type as PresenceType};
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::model::Subscription;
use crate::{Session, Step, avatar, disco, dropped, pep, ping, roster, vcard, xml};

impl Session {
    pub(crate) fn handle_iq(&mut self, iq: Iq, step: &mut Step<'_>) {
        match iq {
            Iq::Get { from, id, payload, .. } => self.handle_get(from, id, payload, step),
            Iq::Set { from, id, payload, .. } => self.handle_set(from, id, payload, step),
            Iq::Result { from, id, payload, .. } => {
                if let Some(ended) = self.stream.pending.take(&id, from.as_ref(), &self.account) {
                    self.handle_outcome(ended, Ok(payload), step);
                }
            }
            Iq::Error { from, id, error, .. } => {
                if let Some(ended) = self.stream.pending.take(&id, from.as_ref(), &self.account) {
                    self.handle_outcome(ended, Err(xml::stanza_failure(&error)), step);
                }
            }
        }
    }

    fn handle_get(&mut self, from: Option<Jid>, id: String, payload: minidom::Element, step: &mut Step<'_>) {
        // Strangers get the answer for an offline account: any other would reveal that we are online.
        let known = self.is_known(from.as_ref());
        // It is what any server answers on behalf of its users (RFC 6120 §8.3.3.19).
        let answer = if !known {
            None
        } else if disco::is_info_query(&payload) {
            Some(self.caps.disclose(&payload))
        } else if ping::is_ping(&payload) {
            Some(Ok(None))
        } else {
            None
        };
        step.answer(from, id, answer.unwrap_or_else(|| Err(DefinedCondition::ServiceUnavailable)));
    }

    fn handle_set(&mut self, from: Option<Jid>, id: String, payload: minidom::Element, step: &mut Step<'_>) {
        if roster::is_push(&payload) {
            if !self.is_from_us(from.as_ref()) {
                debug!("roster push from somebody else ignored");
                return;
            }
            if !roster::is_small(&payload) {
                debug!("roster push with too many items refused");
                step.answer(from, id, Err(DefinedCondition::BadRequest));
                return;
            }
            for jid in self.handle_roster_push(&payload, step) {
                self.note_roster_change(&jid);
                self.confirm_roster_change(&jid, step);
                self.note_rename_push(&jid, step);
                self.note_added(&jid, step.now);
            }
            self.ask_on(step);
            step.answer(from, id, Ok(None));
        } else {
            step.answer(from, id, Err(DefinedCondition::ServiceUnavailable));
        }
    }

    pub(crate) fn handle_message(&mut self, message: Message, step: &mut Step<'_>) {
        // Messages are not stored yet: because our priority is negative, the server keeps them for others.
        if message.type_ == MessageType::Error {
            return;
        }
        for event in pep::events(&message) {
            let owner = message.from.as_ref().map_or_else(|| self.account.clone(), Jid::to_bare);
            if !self.people.contains(&owner) {
                debug!("personal event of a stranger ignored");
                return;
            }
            match event.node {
                avatar::METADATA_NODE => {
                    self.handle_avatar_event(&owner, &event, step);
                    self.answer_with_avatar(&owner, step);
                }
                vcard::VCARD4_NODE | vcard::PROSE_NODE => self.handle_vcard_event(&owner, &event, step),
                _ => {}
            }
        }
        self.ask_on(step);
    }

    pub(crate) fn handle_presence(&mut self, presence: Presence, step: &mut Step<'_>) {
        let Some(from) = presence.from.clone() else { return };
        self.note_subscription(&from.to_bare(), &presence, step);
        if !self.people.contains(&from.to_bare()) || self.stream.connection.is_us(&from) {
            return;
        }
        let bare = from.to_bare();
        if presence.type_ == PresenceType::None && !self.has_room_for_people(step.now.monotonic) {
            return self.dropped.note(dropped::What::People, step.now);
        }
        let before = self.usage_of(&bare);
        self.note_presence(&from, &presence, step);
        self.note_caps(&from, &presence, step);
        if self.stream.client_state.is_refreshing() {
            self.people.note_initial(&bare);
        }
        self.note_usage(before, self.usage_of(&bare));
        if presence.type_ == PresenceType::None {
            self.note_come(&bare, step.now);
        }
        self.note_vcard_photo(&bare, &presence, step.now);
        self.ask_on(step);
    }

    /// From our server or our own account, which clients see as an absent `from` or our bare JID (RFC 6120 §8.1.2.1).
    fn is_from_us(&self, from: Option<&Jid>) -> bool {
        from.is_none_or(|jid| jid.is_bare() && jid.to_bare() == self.account)
    }

    /// Who may learn that we are online: ourselves, our server, contacts who see our presence, and the servers of
    /// contacts whose presence we see, which query what to send us.
    fn is_known(&self, from: Option<&Jid>) -> bool {
        let Some(from) = from else { return true };
        if from.node().is_none() && from.domain() == self.account.domain() {
            return true;
        }
        self.people.person(&from.to_bare()).is_some_and(|person| match &person.item {
            None => true,
            Some(item) => match item.subscription {
                Subscription::From | Subscription::Both => true,
                Subscription::To => from.is_bare(),
                Subscription::None => false,
            },
        })
    }
}
