//! Stanzas that are kept aside while the library counts a blank in the place of each.
//!
//! tokio-xmpp binds, counts, resumes and tells what happened in its order, and for that it needs to
//! see that there was a stanza. It need not read it: most of what a start costs went into its parser.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use xmpp_parsers::message::Message;
use xmpp_parsers::stanza::Stanza;

/// What a stream has set aside.
pub(super) struct Aside {
    /// What the ids of blanks begin with: nobody out there can make one.
    secret: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    stanzas: VecDeque<(u64, Stanza)>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { secret: format!("{:016x}.", rand::random::<u64>()), kept: Mutex::default() }
    }
}

impl Aside {
    /// Keeps a stanza; answers with the blank that goes in its place, where `jabber:client` is the
    /// stream's default namespace.
    pub(super) fn put(&self, stanza: Stanza) -> String {
        let kept = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        kept.stanzas.push_back((kept.last, stanza));
        format!("<message id='{}{}'/>", self.secret, kept.last)
    }

    /// The stanza that came: what was kept in this one's place, or this one. Blanks come in their
    /// order. One that never comes went down with its connection, and its stanza with it: the
    /// library has not counted it, so the server sends that again.
    pub(super) fn take(&self, came: Stanza) -> Stanza {
        let Stanza::Message(Message { id: Some(id), .. }) = &came else { return came };
        let number = id.0.strip_prefix(&self.secret).and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { return came };
        let stanzas = &mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).stanzas;
        while let Some((kept, stanza)) = stanzas.pop_front() {
            if kept == number {
                return stanza;
            }
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use xmpp_parsers::presence::Presence;

    use super::*;

    fn blank(text: &str) -> Stanza {
        let text = text.replace("<message", "<message xmlns='jabber:client'");
        Message::try_from(text.parse::<minidom::Element>().unwrap()).unwrap().into()
    }

    fn presence(id: &str) -> Stanza {
        Presence::available().with_id(id.to_owned()).into()
    }

    #[test]
    fn each_blank_gives_its_stanza_back() {
        let aside = Aside::default();
        let blanks = ["1", "lost", "lost", "4"].map(|id| aside.put(presence(id)));
        assert_eq!(aside.take(blank(&blanks[0])), presence("1"));
        assert_eq!(aside.take(presence("in between")), presence("in between"));
        assert_eq!(aside.take(blank(&blanks[3])), presence("4"));
        assert!(aside.kept.lock().unwrap().stanzas.is_empty(), "what was lost is forgotten");
    }

    #[test]
    fn a_blank_of_others_is_a_message() {
        let (aside, other) = (Aside::default(), Aside::default());
        aside.put(presence("1"));
        let forged = other.put(presence("2"));
        assert_eq!(aside.take(blank(&forged)), blank(&forged));
        assert_eq!(aside.kept.lock().unwrap().stanzas.len(), 1);
    }
}
