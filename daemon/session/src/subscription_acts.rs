//! What we have said about subscriptions (RFC 6121 §3), until the server has it.
//!
//! A request or an approval is a presence stanza: no answer tells whether it arrived, and the caller has long been told
//! that it was sent. So one that was lost with its stream is sent again on the next, unless the roster shows its effect.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, Jid};
use xmpp_parsers::presence::{Presence, Type};

use crate::bounds;
use crate::command::SubscriptionAct;
use crate::effect::{Mark, Unsent};
use crate::failure::Failure;
use crate::model::{RosterItem, Subscription};
use crate::{Session, Step};

/// Whose presence it is about: a later act replaces an earlier one about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Ours,
    Theirs,
}

struct Said {
    act: SubscriptionAct,
    /// Absent: it was lost.
    mark: Option<Mark>,
    /// It may have arrived, so it is sent again only once: where nothing is acknowledged, it would otherwise be sent
    /// at each login.
    is_repeated: bool,
}

/// By contact, and by whose presence it is about.
#[derive(Default)]
pub(crate) struct Acts {
    said: BTreeMap<(BareJid, Whose), Said>,
    bytes: usize,
}

impl Acts {
    /// This was sent. Without room, it is not sent again.
    fn sent(&mut self, jid: &BareJid, act: SubscriptionAct, mark: Mark, is_repeated: bool) {
        let key = (jid.clone(), whose(&act));
        self.forget(&key);
        let bytes = bytes(&act);
        if self.said.len() < bounds::SUBSCRIPTION_ACTS && self.bytes + bytes <= bounds::SUBSCRIPTION_ACT_BYTES
        {
            self.bytes += bytes;
            self.said.insert(key, Said { act, mark: Some(mark), is_repeated });
        }
    }

    fn forget(&mut self, key: &(BareJid, Whose)) {
        if let Some(said) = self.said.remove(key) {
            self.bytes -= bytes(&said.act);
        }
    }

    fn forget_where(&mut self, is_over: impl Fn(&BareJid, &Said) -> bool) {
        let over = self.said.iter().filter(|((jid, _), said)| is_over(jid, said));
        for key in over.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.forget(&key);
        }
    }

    pub(crate) fn acknowledged(&mut self, marks: &[Mark]) {
        let marks: BTreeSet<Mark> = marks.iter().copied().collect();
        self.forget_where(|_, said| said.mark.is_some_and(|mark| marks.contains(&mark)));
    }

    pub(crate) fn unsent(&mut self, unsent: &Unsent) {
        let doubtful: BTreeSet<Mark> = unsent.doubtful.iter().copied().collect();
        let unwritten: BTreeSet<Mark> = unsent.unwritten.iter().copied().collect();
        let in_doubt = |said: &Said| said.mark.is_some_and(|mark| doubtful.contains(&mark));
        self.forget_where(|_, said| said.is_repeated && in_doubt(said));
        for said in self.said.values_mut() {
            said.is_repeated |= in_doubt(said);
            said.mark = said.mark.filter(|mark| !doubtful.contains(mark) && !unwritten.contains(mark));
        }
    }

    /// The roster shows what has become of it.
    pub(crate) fn note_item(&mut self, jid: &BareJid, item: Option<&RosterItem>) {
        self.forget_where(|of, said| of == jid && is_done(&said.act, item));
    }

    /// Removing a contact ends both subscriptions (RFC 6121 §2.5.2).
    pub(crate) fn forget_contact(&mut self, jid: &BareJid) {
        self.forget_where(|of, _| of == jid);
    }

    fn lost(&self) -> Vec<(BareJid, SubscriptionAct, bool)> {
        let lost = self.said.iter().filter(|(_, said)| said.mark.is_none());
        lost.map(|((jid, _), said)| (jid.clone(), said.act.clone(), said.is_repeated)).collect()
    }
}

impl Session {
    /// Sends an act, and again on the next stream if it is lost.
    pub(crate) fn send_act(
        &mut self,
        jid: &BareJid,
        act: SubscriptionAct,
        is_repeated: bool,
        step: &mut Step<'_>,
    ) -> Result<(), Failure> {
        let item = self.people.person(jid).and_then(|person| person.item.as_ref());
        let key = (jid.clone(), Whose::Ours);
        if act == SubscriptionAct::Deny
            && is_done(&act, item)
            && !self.subscription_acts.said.contains_key(&key)
        {
            // A denied request. If that is lost, the server delivers the request again; repeated days later, it might
            // take back what was granted elsewhere in the meantime.
            return step.send(presence(jid, &act)).map(drop);
        }
        let mark = step.send_marked(presence(jid, &act))?;
        self.subscription_acts.sent(jid, act, mark, is_repeated);
        Ok(())
    }

    /// On a new stream, once the server's roster is known: sends what was lost with those before it.
    pub(crate) fn send_lost_acts(&mut self, step: &mut Step<'_>) {
        for (jid, act, is_repeated) in self.subscription_acts.lost() {
            let item = self.people.person(&jid).and_then(|person| person.item.as_ref());
            let key = (jid, whose(&act));
            let is_needed = !is_done(&act, item);
            self.subscription_acts.forget(&key);
            if is_needed && let Err(failure) = self.send_act(&key.0, act, is_repeated, step) {
                tracing::debug!(%failure, "a subscription act that was lost can't be sent again");
            }
        }
    }
}

/// §3.1.1, §3.1.5, §3.2.1, §3.3.1.
fn presence(jid: &BareJid, act: &SubscriptionAct) -> Presence {
    let (type_, message) = match act {
        SubscriptionAct::Approve => (Type::Subscribed, None),
        SubscriptionAct::Deny => (Type::Unsubscribed, None),
        SubscriptionAct::Request { message } => (Type::Subscribe, message.as_ref()),
        SubscriptionAct::Cancel => (Type::Unsubscribe, None),
    };
    let mut presence = Presence::new(type_);
    if let Some(message) = message {
        presence.set_status("", message.clone());
    }
    presence.to = Some(Jid::from(jid.clone()));
    presence
}

fn whose(act: &SubscriptionAct) -> Whose {
    match act {
        SubscriptionAct::Approve | SubscriptionAct::Deny => Whose::Ours,
        SubscriptionAct::Request { .. } | SubscriptionAct::Cancel => Whose::Theirs,
    }
}

fn bytes(act: &SubscriptionAct) -> usize {
    match act {
        SubscriptionAct::Request { message } => message.as_ref().map_or(0, String::len),
        SubscriptionAct::Approve | SubscriptionAct::Deny | SubscriptionAct::Cancel => 0,
    }
}

/// Whether the roster shows the act's effect.
fn is_done(act: &SubscriptionAct, item: Option<&RosterItem>) -> bool {
    let is_any = |of: [Subscription; 2]| item.is_some_and(|item| of.contains(&item.subscription));
    let sees_us = is_any([Subscription::From, Subscription::Both]);
    let seen_or_asked = is_any([Subscription::To, Subscription::Both]) || item.is_some_and(|item| item.ask);
    match act {
        SubscriptionAct::Approve => sees_us || item.is_some_and(|item| item.approved),
        SubscriptionAct::Deny => !sees_us,
        SubscriptionAct::Request { .. } => seen_or_asked,
        SubscriptionAct::Cancel => !seen_or_asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(number: usize) -> BareJid {
        format!("{number}@example.org").parse().unwrap()
    }

    fn request(bytes: usize) -> SubscriptionAct {
        SubscriptionAct::Request { message: Some("x".repeat(bytes)) }
    }

    /// This many requests with messages of this size.
    fn sent(count: usize, bytes: usize) -> Acts {
        let mut acts = Acts::default();
        for number in 0..count {
            acts.sent(&jid(number), request(bytes), Mark(number as u64), false);
        }
        acts
    }

    #[test]
    fn their_number_and_bytes_are_bounded() {
        assert_eq!(sent(bounds::SUBSCRIPTION_ACTS + 10, 1).said.len(), bounds::SUBSCRIPTION_ACTS);
        let acts = sent(bounds::SUBSCRIPTION_ACTS, bounds::SUBSCRIPTION_ACT_BYTES / 10);
        assert_eq!((acts.said.len(), acts.bytes), (10, bounds::SUBSCRIPTION_ACT_BYTES / 10 * 10));
    }

    #[test]
    fn what_has_arrived_makes_room() {
        let mut acts = sent(3, 100);
        acts.sent(&jid(0), request(50), Mark(3), false);
        assert_eq!(acts.bytes, 250, "the last word replaces the one before");
        acts.acknowledged(&[Mark(0), Mark(1)]);
        assert_eq!((acts.said.len(), acts.bytes), (2, 150), "the first mark is nobody's");
        acts.unsent(&Unsent { doubtful: vec![Mark(2)], unwritten: vec![Mark(3)] });
        assert_eq!(acts.lost(), [(jid(0), request(50), false), (jid(2), request(100), true)]);
        acts.forget_contact(&jid(0));
        acts.sent(&jid(2), request(100), Mark(4), true);
        acts.unsent(&Unsent { doubtful: vec![Mark(4)], unwritten: Vec::new() });
        assert_eq!((acts.said.len(), acts.bytes), (0, 0));
    }
}
