//! What a session requests in one step. Everything sent to the server is measured here.

use jid::Jid;
use minidom::Element;
use tracing::debug;
use xmpp_parsers::stanza::Stanza;
use xmpp_parsers::stanza_error::DefinedCondition;

use crate::command::{Answer, Call};
use crate::effect::{Effect, Mark, Notice, Ticket, Tickets, Write};
use crate::failure::Failure;
use crate::time::Now;
use crate::{size, xml};

/// One step of the machine: its time, and what it has requested so far.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    /// The largest stanza that the server accepts, in bytes.
    pub(crate) stanza_limit: usize,
    pub(crate) tickets: Tickets,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Step<'_> {
    /// Sends a stanza. Returns its size in bytes.
    ///
    /// # Errors
    /// [`Failure::TooLarge`]: the server would end the stream.
    pub(crate) fn send(&mut self, stanza: impl Into<Stanza>) -> Result<usize, Failure> {
        self.put(stanza.into(), None)
    }

    /// The same for a stanza of which the session is to hear whether the server has it. Returns its mark.
    ///
    /// # Errors
    /// [`Failure::TooLarge`], as for [`Step::send`].
    pub(crate) fn send_marked(&mut self, stanza: impl Into<Stanza>) -> Result<Mark, Failure> {
        let mark = self.tickets.mark();
        self.put(stanza.into(), Some(mark)).map(|_| mark)
    }

    /// The only way to the server.
    fn put(&mut self, stanza: Stanza, mark: Option<Mark>) -> Result<usize, Failure> {
        let bytes = self.measure(&stanza)?;
        self.effects.push(Effect::Send { stanza: Box::new(stanza), bytes, mark });
        Ok(bytes)
    }

    /// A stanza's size in bytes.
    ///
    /// # Errors
    /// [`Failure::TooLarge`]: the server would not accept it.
    pub(crate) fn measure(&self, stanza: &Stanza) -> Result<usize, Failure> {
        let (bytes, limit) = (size::stanza_bytes(stanza), self.stanza_limit);
        if bytes > limit {
            debug!(bytes, limit, "stanza too large");
            return Err(Failure::TooLarge { limit });
        }
        Ok(bytes)
    }

    /// Answers a peer's request. Peers choose its id, so they can make any answer too large. In that case they get
    /// none.
    pub(crate) fn answer(
        &mut self,
        to: Option<Jid>,
        id: String,
        answer: Result<Option<Element>, DefinedCondition>,
    ) {
        if self.send(xml::answer(to.clone(), id.clone(), answer)).is_err() {
            let _ = self.send(xml::answer(to, id, Err(DefinedCondition::ResourceConstraint)));
        }
    }

    /// Returns the ticket of the answer, for features that it concerns.
    pub(crate) fn save(&mut self, write: Write) -> Ticket {
        let ticket = self.tickets.issue();
        self.effects.push(Effect::Save { write, ticket });
        ticket
    }

    pub(crate) fn reply(&mut self, call: Call, result: Result<Answer, Failure>) {
        self.effects.push(Effect::Reply { call, result });
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }
}
