//! RFC 6121 §3: who may see whose presence. XEP-0172 for strangers' nicknames.
//!
//! Requests are kept until answered, across restarts too: a server delivers them again at each login (§3.1.3), but
//! some only to resources with a non-negative priority. They are never accepted automatically.

use std::collections::BTreeMap;
use std::time::Instant;

use jid::BareJid;
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Type};

use crate::command::{Answer, Call, SubscriptionAct};
use crate::domain::registrable;
use crate::dropped::What;
use crate::effect::{Notice, Write};
use crate::model::{Subscription, SubscriptionRequest};
use crate::throttle::Throttle;
use crate::xml::{fitting, some_text};
use crate::{Session, Step, bounds};

pub(crate) struct State {
    /// By requester.
    requests: BTreeMap<BareJid, SubscriptionRequest>,
    /// Those that have changed since UIs and the cache were notified, in their state of that time. Requests that came
    /// and went since then are not included.
    before: BTreeMap<BareJid, Option<SubscriptionRequest>>,
    /// How often the requests of a contact, or of a domain's strangers, are reported.
    throttle: Throttle,
}

impl State {
    pub(crate) fn new(requests: Vec<SubscriptionRequest>) -> Self {
        Self {
            requests: requests.into_iter().map(|request| (request.jid.clone(), request)).collect(),
            before: BTreeMap::new(),
            throttle: Throttle::of_requests(),
        }
    }

    /// Requests, and those of which UIs are yet to be told.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> [usize; 2] {
        [self.requests.len(), self.before.len()]
    }

    #[cfg(test)]
    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.throttle.next_deadline()
    }

    fn put(&mut self, jid: &BareJid, request: Option<SubscriptionRequest>) {
        let before = match request {
            Some(request) => self.requests.insert(jid.clone(), request),
            None => self.requests.remove(jid),
        };
        let known = self.before.entry(jid.clone()).or_insert(before);
        if known.as_ref() == self.requests.get(jid) {
            self.before.remove(jid);
        }
    }

    /// The requester.
    pub(crate) fn from(&self) -> Vec<BareJid> {
        self.requests.keys().cloned().collect()
    }
}

impl Session {
    /// What a presence says about subscriptions; `None` for any other presence.
    pub(crate) fn note_subscription(&mut self, from: &BareJid, presence: &Presence, step: &mut Step<'_>) {
        match presence.type_ {
            Type::Subscribe if *from != self.account => self.note_request(from, presence, step),
            Type::Unsubscribe => self.resolve(from),
            _ => {}
        }
    }

    fn note_request(&mut self, from: &BareJid, presence: &Presence, step: &mut Step<'_>) {
        let nick = presence.payloads.iter().find(|payload| payload.is("nick", ns::NICK));
        let message = presence.statuses.get("").or_else(|| presence.statuses.values().next());
        let known = self.subscriptions.requests.get(from);
        let mut room = bounds::SUBSCRIPTION_REQUEST_BYTES;
        let mut text = |text: &str, chars| {
            let text = some_text(fitting(text, room), chars);
            room -= text.as_ref().map_or(0, String::len);
            text
        };
        let request = SubscriptionRequest {
            jid: from.clone(),
            nick: nick.and_then(|nick| text(&nick.text(), bounds::NAME_CHARS)),
            message: message.and_then(|message| text(message, bounds::TEXT_CHARS)),
            received_at: known.map_or(step.now.wall, |known| known.received_at),
            look_alike: false,
        };
        if known == Some(&request) {
            return;
        }
        if known.is_none() && !self.people.contains(from) {
            self.make_room_for_stranger(from, step);
        }
        self.subscriptions.put(from, Some(request));
    }

    /// Tells UIs and the cache whose requests have arrived, changed or gone. The first after a quiet time are
    /// reported at once; those of a busy domain or contact every ten seconds, as far as they are still open.
    pub(crate) fn tell_requests(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let is_full = self.subscriptions.before.len() > bounds::SUBSCRIPTION_CHANGES;
        let everybody = is_full || self.subscriptions.throttle.is_due(now) || !self.connection.is_online();
        let touched: Vec<BareJid> = self.subscriptions.before.keys().cloned().collect();
        for jid in touched {
            // Strangers can have any number of names, but share one domain.
            let stranger = || BareJid::new(registrable(jid.domain().as_str())).ok();
            let is_known = self.people.contains(&jid);
            let whose = if is_known { None } else { stranger() }.unwrap_or_else(|| jid.clone());
            if everybody || self.subscriptions.throttle.admits(&whose, now) {
                self.subscriptions.throttle.done(&whose, now);
                self.tell_request(&jid, step);
            }
        }
        if everybody {
            self.subscriptions.throttle.done_for_all();
        }
    }

    /// The same for all, however busy they are.
    pub(crate) fn tell_all_requests(&mut self, step: &mut Step<'_>) {
        let touched: Vec<BareJid> = self.subscriptions.before.keys().cloned().collect();
        touched.iter().for_each(|jid| self.tell_request(jid, step));
        self.subscriptions.throttle.done_for_all();
    }

    fn tell_request(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        if self.subscriptions.before.remove(jid).is_none() {
            return;
        }
        let request = self.subscriptions.requests.get(jid).cloned();
        step.save(Write::SubscriptionRequest { jid: jid.clone(), request: request.clone() });
        step.notify(match request {
            Some(request) => Notice::SubscriptionRequested(self.looked_at(request)),
            None => Notice::SubscriptionResolved { jid: jid.clone() },
        });
    }

    /// All that are open, sorted by JID.
    pub(crate) fn subscription_requests(&self) -> Vec<SubscriptionRequest> {
        self.subscriptions.requests.values().map(|request| self.looked_at(request.clone())).collect()
    }

    /// Marked if they look like somebody else in the current roster.
    fn looked_at(&self, request: SubscriptionRequest) -> SubscriptionRequest {
        let look_alike = self.people.looks_like_another(&request.jid, request.nick.as_deref());
        SubscriptionRequest { look_alike, ..request }
    }

    /// The oldest go first: from the same domain if it has used up its share, else from the domain with the most.
    /// Those of contacts stay, and so do those of people we have asked ourselves: they are in the roster.
    fn make_room_for_stranger(&mut self, from: &BareJid, step: &mut Step<'_>) {
        loop {
            let strangers = self.subscriptions.requests.values();
            let mut domains: BTreeMap<&str, Vec<&SubscriptionRequest>> = BTreeMap::new();
            for stranger in strangers.filter(|request| !self.people.contains(&request.jid)) {
                domains.entry(registrable(stranger.jid.domain().as_str())).or_default().push(stranger);
            }
            let same = domains.get(registrable(from.domain().as_str()));
            let crowded = same.filter(|same| same.len() >= bounds::SUBSCRIPTION_REQUESTS_PER_DOMAIN);
            let is_full = domains.values().map(Vec::len).sum::<usize>() >= bounds::SUBSCRIPTION_REQUESTS;
            let age = |request: &&&SubscriptionRequest| request.received_at;
            let largest = || {
                let most = domains.values().map(Vec::len).max()?;
                // If several have equally many, the one with the oldest.
                let crowds = domains.values().filter(|domain| domain.len() == most);
                crowds.flatten().min_by_key(age)
            };
            let oldest = match crowded {
                Some(same) => same.iter().min_by_key(age),
                None if is_full => largest(),
                None => None,
            };
            let Some(jid) = oldest.map(|oldest| oldest.jid.clone()) else { return };
            self.dropped.note(What::SubscriptionRequests, step.now);
            self.resolve(&jid);
        }
    }

    /// Their request, if there was one, is closed.
    fn resolve(&mut self, jid: &BareJid) {
        if self.subscriptions.requests.contains_key(jid) {
            self.subscriptions.put(jid, None);
        }
    }

    /// Another device may have answered: their roster item says so.
    pub(crate) fn note_roster_change(&mut self, jid: &BareJid) {
        let item = self.people.person(jid).and_then(|person| person.item.as_ref());
        self.subscription_acts.note_item(jid, item);
        if item.is_some_and(|item| matches!(item.subscription, Subscription::From | Subscription::Both)) {
            self.resolve(jid);
        }
    }

    pub(crate) fn handle_subscription_act(
        &mut self,
        call: Call,
        jid: BareJid,
        act: SubscriptionAct,
        step: &mut Step<'_>,
    ) {
        if let Err(failure) = self.may_change(&jid) {
            return step.reply(call, Err(failure));
        }
        let is_answer = matches!(act, SubscriptionAct::Approve | SubscriptionAct::Deny);
        if let Err(failure) = self.send_act(&jid, act, false, step) {
            return step.reply(call, Err(failure));
        }
        if is_answer {
            self.resolve(&jid);
            // A UI decided this: it is reported now, however busy they are.
            self.tell_request(&jid, step);
        }
        step.reply(call, Ok(Answer::Done));
    }
}
