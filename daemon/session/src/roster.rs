//! RFC 6121 §2: the roster, its pushes and versions, and changes to it.

use std::collections::{BTreeSet, HashSet};

use jid::{BareJid, Jid};
use minidom::Element;
use minidom::rxml::{Namespace, xml_ncname};
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::ns;
use xmpp_parsers::roster::{Group, Item, Roster, Subscription as WireSubscription};

use crate::command::{self, Answer, Call, RosterSource, SubscriptionAct};
use crate::dropped::What;
use crate::effect::{Notice, Write};
use crate::failure::Failure;
use crate::model::{RosterItem, RosterRecord, Subscription, share_groups};
use crate::people::Put;
use crate::person::Person;
use crate::request::{Outcome, Request};
use crate::waiting::Awaited;
use crate::xml::{capped, some_text};
use crate::{Session, Step, bounds};

pub(crate) struct State {
    /// There is a roster to show.
    known: bool,
    /// Reconciled with the server's, on this or an earlier stream.
    reconciled: bool,
    version: Option<String>,
    /// It has items that we could not read, or cannot show.
    is_incomplete: bool,
}

#[derive(Default)]
pub(crate) struct PerStream {
    /// The server was queried, and refuses.
    refused: bool,
    /// UIs' unanswered requests, oldest first.
    changes: Vec<Change>,
}

/// A change in flight. It is done once the server has confirmed it with both a result and a push, in either order.
struct Change {
    call: Call,
    item: Item,
    /// What follows it.
    then: Option<SubscriptionAct>,
    confirmed: bool,
    pushed: bool,
}

impl State {
    /// Together with the cached items.
    pub(crate) fn cached(roster: Option<RosterRecord>) -> (Self, Vec<RosterItem>) {
        let known = roster.is_some();
        let RosterRecord { version, items } = roster.unwrap_or_default();
        let version = version.filter(|version| is_short(version));
        (Self { known, reconciled: false, version, is_incomplete: false }, items)
    }

    fn source(&self) -> RosterSource {
        if self.reconciled { RosterSource::Server } else { RosterSource::Cache }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known
    }
}

/// A version worth storing; its form is up to the server.
fn is_short(version: &str) -> bool {
    version.len() <= bounds::ROSTER_VERSION_BYTES
}

pub(crate) fn is_push(payload: &Element) -> bool {
    payload.is("query", ns::ROSTER)
}

/// Whether it is within the bound of a push: RFC 6121 §2.1.6 allows one item each.
pub(crate) fn is_small(push: &Element) -> bool {
    push.children().nth(bounds::ROSTER_PUSH_ITEMS).is_none()
}

enum News {
    Put(RosterItem),
    /// With its resource part, if any.
    Remove(BareJid, Option<String>),
}

/// A malformed item affects only itself.
fn read(item: &Element) -> Option<News> {
    let jid = Jid::new(item.attr("jid")?).ok()?;
    let resource = jid.resource().map(|resource| resource.to_string());
    let jid = jid.into_bare();
    let subscription = match item.attr("subscription") {
        None | Some("none") => Subscription::None,
        Some("to") => Subscription::To,
        Some("from") => Subscription::From,
        Some("both") => Subscription::Both,
        Some("remove") => return Some(News::Remove(jid, resource)),
        Some(_) => return None,
    };
    Some(News::Put(RosterItem {
        name: item.attr("name").and_then(|name| some_text(name, bounds::NAME_CHARS)),
        subscription,
        ask: item.attr("ask") == Some("subscribe"),
        approved: matches!(item.attr("approved"), Some("true" | "1")),
        groups: item
            .children()
            .filter(|child| child.is("group", ns::ROSTER))
            .take(bounds::GROUPS)
            .map(|group| capped(&group.text(), bounds::NAME_CHARS))
            .collect::<BTreeSet<_>>()
            .into(),
        jid,
        resource,
    }))
}

/// `None` if malformed.
fn read_all(query: &Element) -> impl Iterator<Item = Option<News>> + '_ {
    query.children().filter(|child| child.is("item", ns::ROSTER)).map(read)
}

impl Session {
    /// §2.6.2: with our version, or an empty one to ask for versioning.
    pub(crate) fn ask_roster(&mut self, step: &mut Step<'_>) {
        self.stream.roster.refused = false;
        let version = || self.roster.version.clone().filter(|_| self.roster.known);
        let ver = self.stream.startup.has_roster_versioning().then(|| version().unwrap_or_default());
        let query = Roster { ver, items: Vec::new() }.into();
        self.ask(None, IqPayload::Get(query), Request::Roster, step);
    }

    pub(crate) fn handle_load_roster(&mut self, call: Call, step: &mut Step<'_>) {
        if self.roster.known {
            step.reply(call, Ok(self.roster_answer()));
        } else if self.connection.is_hopeful() {
            self.wait(call, Awaited::Roster, step);
            // A new call makes us query the server again.
            if self.stream.roster.refused && self.connection.is_online() {
                self.ask_roster(step);
            }
        } else {
            step.reply(call, Err(self.connection.why_not_online()));
        }
    }

    fn roster_answer(&self) -> Answer {
        let source = self.roster.source();
        Answer::Roster { source, version: self.roster.version.clone(), contacts: self.people.contacts() }
    }

    pub(crate) fn handle_load_state(&mut self, call: Call, step: &mut Step<'_>) {
        // Pending changes are in the answer, so they must be reported before it: after it, they would look like later
        // changes.
        self.tell(step);
        self.tell_all_requests(step);
        let known = self.roster.known;
        let state = command::State {
            account: self.account(),
            source: known.then(|| self.roster.source()),
            version: self.roster.version.clone(),
            contacts: if known { self.people.contacts() } else { Vec::new() },
            requests: self.subscription_requests(),
        };
        step.reply(call, Ok(Answer::State(Box::new(state))));
    }

    pub(crate) fn handle_roster_result(&mut self, outcome: Outcome, step: &mut Step<'_>) {
        self.announce(step);
        match outcome {
            Ok(Some(query)) if query.is("query", ns::ROSTER) => {
                self.reconcile(&query, step);
            }
            // §2.6.3: nothing has changed since our version.
            Ok(_) if self.roster.known => self.reconciled(0, step),
            Ok(_) => self.reconcile(&Element::bare("query", ns::ROSTER), step),
            // The server owes it to us, and callers are waiting for it.
            Err(Failure::RequestTimedOut) => self.ask_roster(step),
            Err(failure) => {
                self.stream.roster.refused = true;
                self.answer_waiting(&Awaited::Roster, &Err(failure), step);
                self.send_lost_acts(step);
            }
        }
    }

    /// Makes our roster match the server's, as far as there is room.
    fn reconcile(&mut self, query: &Element, step: &mut Step<'_>) {
        let mut items = Vec::new();
        self.roster.is_incomplete = false;
        for change in read_all(query) {
            match change {
                // Our own JID is never a contact.
                Some(News::Put(item)) if item.jid != self.account => items.push(item),
                Some(News::Put(_) | News::Remove(..)) => {}
                None => self.leave_item_out(step),
            }
            // The rest is left out anyway, and need not be read.
            if items.len() > bounds::ROSTER_CONTACTS {
                break;
            }
        }
        let bare = items.iter().filter(|item| item.resource.is_none());
        let bare: HashSet<BareJid> = bare.map(|item| item.jid.clone()).collect();
        items.retain(|item| {
            let is_shown = item.resource.is_none() || !bare.contains(&item.jid);
            self.roster.is_incomplete |= !is_shown;
            is_shown
        });
        share_groups(&mut items);
        let keep: BTreeSet<&BareJid> = items.iter().map(|item| &item.jid).collect();
        let gone = self.people.contacts_beside(&keep);
        drop(keep);
        let mut changed = gone.len();
        for jid in &gone {
            self.remove_contact(jid);
        }
        self.people.begin_whole();
        items.retain(|item| {
            let put = self.people.put_item(item);
            changed += usize::from(put == Put::Changed);
            put != Put::NoRoom
        });
        let version = self.version_of(query);
        if changed > 0 || version != self.roster.version || !self.roster.known {
            step.save(Write::Roster { version: version.clone(), replace: true, items, removed: gone });
        }
        self.roster.known = true;
        self.roster.version = version;
        self.reconciled(changed, step);
    }

    /// An item that cannot be read: whatever it is, we don't have it.
    fn leave_item_out(&mut self, step: &Step<'_>) {
        self.roster.is_incomplete = true;
        self.dropped.note(What::RosterItems, step.now);
    }

    /// We don't have everything that the server has.
    fn is_partial(&self) -> bool {
        self.roster.is_incomplete || self.people.is_truncated()
    }

    /// The version that the server gives the roster. An incomplete roster has none, so that it is sent in full again:
    /// there may be room by then, and a newer prosed may read more.
    fn version_of(&self, query: &Element) -> Option<String> {
        let version = query.attr("ver").filter(|version| is_short(version)).map(str::to_owned);
        version.filter(|_| !self.is_partial())
    }

    /// Whether the server has two items for a contact, and this is not the one that we show.
    fn is_another_item(&self, jid: &BareJid, resource: Option<&String>) -> bool {
        let item = self.people.person(jid).and_then(|person| person.item.as_ref());
        item.is_some_and(|item| item.resource.as_ref() != resource)
    }

    fn reconciled(&mut self, changed: usize, step: &mut Step<'_>) {
        self.roster.reconciled = true;
        self.tell(step);
        step.notify(Notice::RosterLoaded { version: self.roster.version.clone(), changed });
        let answer = Ok(self.roster_answer());
        self.answer_waiting(&Awaited::Roster, &answer, step);
        self.send_lost_acts(step);
    }

    /// §2.1.6. The sender of the push has been checked. Returns the owners of its items.
    pub(crate) fn handle_roster_push(&mut self, query: &Element, step: &mut Step<'_>) -> Vec<BareJid> {
        let (mut items, mut removed, mut named) = (Vec::new(), Vec::new(), Vec::new());
        for change in read_all(query) {
            match change {
                Some(News::Put(item))
                    if item.resource.is_some() && self.is_another_item(&item.jid, item.resource.as_ref()) =>
                {
                    self.roster.is_incomplete = true;
                }
                Some(News::Put(item)) if item.jid != self.account => match self.people.put_item(&item) {
                    Put::NoRoom => self.dropped.note(What::Contacts, step.now),
                    Put::Same => named.push(item.jid),
                    Put::Changed => {
                        named.push(item.jid.clone());
                        items.push(item);
                    }
                },
                Some(News::Put(_)) => {}
                Some(News::Remove(jid, resource)) if self.is_another_item(&jid, resource.as_ref()) => {}
                Some(News::Remove(jid, _)) => {
                    named.push(jid.clone());
                    if self.remove_contact(&jid) {
                        removed.push(jid);
                    }
                }
                None => self.leave_item_out(step),
            }
        }
        let before = self.roster.version.clone();
        if query.attr("ver").is_some() || self.is_partial() {
            self.roster.version = self.version_of(query);
        }
        let is_news = !items.is_empty() || !removed.is_empty() || self.roster.version != before;
        // Without the full roster there is nothing to store a part in.
        if self.roster.known && is_news {
            step.save(Write::Roster { version: self.roster.version.clone(), replace: false, items, removed });
        }
        named
    }

    /// Removes a contact with everything known about them; returns whether there was one.
    fn remove_contact(&mut self, jid: &BareJid) -> bool {
        let Some(person) = self.people.remove_contact(jid) else { return false };
        self.people.save(jid);
        self.forget_contact(jid, &person);
        true
    }

    /// Whether a call may change this contact: it needs the server, and a JID other than ours.
    pub(crate) fn may_change(&self, jid: &BareJid) -> Result<(), Failure> {
        if *jid == self.account {
            return Err(Failure::InvalidJid { text: "this is the account itself".to_owned() });
        }
        if self.connection.is_online() { Ok(()) } else { Err(Failure::Offline) }
    }

    /// §2.3.
    pub(crate) fn handle_add_contact(
        &mut self,
        call: Call,
        jid: BareJid,
        name: Option<String>,
        groups: BTreeSet<String>,
        subscribe: Option<SubscriptionAct>,
        step: &mut Step<'_>,
    ) {
        // The server would accept them, and we could not show them.
        if self.people.is_full() && self.people.person(&jid).is_none() {
            let limit = bounds::ROSTER_CONTACTS;
            return step.reply(call, Err(Failure::LimitExceeded { what: "contacts of a roster", limit }));
        }
        self.change_roster(call, wanted(jid, name, groups), subscribe, step);
    }

    /// §2.4.
    pub(crate) fn handle_update_contact(
        &mut self,
        call: Call,
        jid: BareJid,
        name: Option<String>,
        groups: Option<BTreeSet<String>>,
        step: &mut Step<'_>,
    ) {
        let Some(item) = self.people.person(&jid).and_then(|person| person.item.as_ref()) else {
            return step.reply(call, Err(Failure::ContactUnknown));
        };
        let name = name.or_else(|| item.name.clone());
        let groups = groups.unwrap_or_else(|| BTreeSet::clone(&item.groups));
        self.change_roster(call, wanted(jid, name, groups), None, step);
    }

    /// §2.5.
    pub(crate) fn handle_remove_contact(&mut self, call: Call, jid: BareJid, step: &mut Step<'_>) {
        if self.people.person(&jid).is_none_or(|person| person.item.is_none()) {
            return step.reply(call, Err(Failure::ContactUnknown));
        }
        let gone = Item { subscription: WireSubscription::Remove, ..wanted(jid, None, BTreeSet::new()) };
        self.change_roster(call, gone, None, step);
    }

    fn change_roster(&mut self, call: Call, item: Item, then: Option<SubscriptionAct>, step: &mut Step<'_>) {
        if let Err(failure) = self.may_change(&item.jid) {
            return step.reply(call, Err(failure));
        }
        if self.wait(call, Awaited::Outcome(call), step) {
            let query = self.change_query(&item);
            self.stream.roster.changes.push(Change { call, item, then, confirmed: false, pushed: false });
            self.ask(None, IqPayload::Set(query), Request::RosterChange { call }, step);
        }
    }

    /// Sets a contact's groups.
    pub(crate) fn groups_query(
        &self,
        jid: &BareJid,
        name: Option<String>,
        groups: BTreeSet<String>,
    ) -> Element {
        self.change_query(&wanted(jid.clone(), name, groups))
    }

    /// By the JID under which the server has the item.
    fn change_query(&self, item: &Item) -> Element {
        let mut query = Element::from(Roster { ver: None, items: vec![item.clone()] });
        let known = self.people.person(&item.jid).and_then(|person| person.item.as_ref());
        let resource = known.and_then(|known| item.jid.with_resource_str(known.resource.as_ref()?).ok());
        if let (Some(full), Some(item)) = (resource, query.children_mut().next()) {
            item.set_attr(Namespace::NONE, xml_ncname!("jid").into(), full.to_string());
        }
        query
    }

    pub(crate) fn handle_roster_change_result(&mut self, call: Call, outcome: Outcome, step: &mut Step<'_>) {
        let Some(at) = self.stream.roster.changes.iter().position(|change| change.call == call) else {
            return;
        };
        let change = &mut self.stream.roster.changes[at];
        match outcome {
            Ok(_) => {
                change.confirmed = true;
                // If nothing changed there may be no push.
                change.pushed |= is_so(&change.item, self.people.person(&change.item.jid));
                self.conclude_roster_change(at, step);
            }
            Err(failure) => {
                self.stream.roster.changes.remove(at);
                self.answer_waiting(&Awaited::Outcome(call), &Err(failure), step);
            }
        }
    }

    /// A push for a contact arrived: it belongs to the oldest change that waits for one.
    pub(crate) fn confirm_roster_change(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        let waits = |change: &Change| change.item.jid == *jid && !change.pushed;
        if let Some(at) = self.stream.roster.changes.iter().position(waits) {
            self.stream.roster.changes[at].pushed = true;
            self.conclude_roster_change(at, step);
        }
    }

    fn conclude_roster_change(&mut self, at: usize, step: &mut Step<'_>) {
        if !self.stream.roster.changes[at].confirmed || !self.stream.roster.changes[at].pushed {
            return;
        }
        let Change { call, item, then, .. } = self.stream.roster.changes.remove(at);
        let contact = self.people.contact(&item.jid);
        let is_removal = item.subscription == WireSubscription::Remove;
        let asked = match then.filter(|_| contact.is_some()) {
            Some(act) => self.send_act(&item.jid, act, false, step),
            None => Ok(()),
        };
        let answer = match contact {
            // The server's version, which may differ from the request.
            Some(contact) if !is_removal => asked.map(|()| Answer::Contact(Box::new(contact))),
            None if is_removal => Ok(Answer::Done),
            Some(_) => Err(otherwise("the server keeps this contact in the roster")),
            None => Err(otherwise("the server does not keep this contact in the roster")),
        };
        self.answer_waiting(&Awaited::Outcome(call), &answer, step);
    }
}

/// The server says that it did what was requested, and its push says something else: its administrators may decide
/// who is in the roster, for example.
fn otherwise(text: &str) -> Failure {
    Failure::StanzaError { condition: "not-allowed".to_owned(), text: text.to_owned() }
}

fn wanted(jid: BareJid, name: Option<String>, groups: BTreeSet<String>) -> Item {
    Item {
        jid,
        name: name.filter(|name| !name.is_empty()),
        // Only the server decides (§2.1.2.5), except for a removal.
        subscription: WireSubscription::None,
        ask: Default::default(),
        groups: groups.into_iter().map(Group).collect(),
        approved: None,
    }
}

/// Whether it is as requested.
fn is_so(wanted: &Item, person: Option<&Person>) -> bool {
    match person.and_then(|person| person.item.as_ref()) {
        None => wanted.subscription == WireSubscription::Remove,
        Some(item) => {
            wanted.subscription != WireSubscription::Remove
                && item.name == wanted.name
                && item.groups.iter().eq(wanted.groups.iter().map(|Group(name)| name))
        }
    }
}
