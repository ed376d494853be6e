//! RFC 6121 §2: the roster, its pushes and its versions.
//!
//! Left out: changing it (§2.3 to §2.5).

use std::collections::BTreeSet;

use jid::BareJid;
use minidom::Element;
use tracing::warn;
use xmpp_parsers::ns;
use xmpp_parsers::roster::Roster;

use crate::command::{Answer, Call, RosterSource};
use crate::contact::Subscription;
use crate::effect::{Notice, Write};
use crate::failure::Failure;
use crate::pending::Outcome;
use crate::snapshot::{RosterItem, RosterRecord};
use crate::waiting::Awaited;
use crate::xml::{capped, some_text};
use crate::{Session, Turn, bounds};

pub(crate) struct State {
    /// There is a roster to show.
    known: bool,
    /// The server's has been reconciled with ours on this or an earlier stream.
    reconciled: bool,
    version: Option<String>,
}

impl State {
    pub(crate) fn cached(roster: Option<RosterRecord>) -> Self {
        let known = roster.is_some();
        Self { known, reconciled: false, version: roster.and_then(|roster| roster.version) }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// §2.6.2: with the version that we have, or an empty one to say that we would like to have one.
    pub(crate) fn query(&self, versioning: bool) -> Element {
        let ver = versioning.then(|| self.version.clone().filter(|_| self.known).unwrap_or_default());
        Roster { ver, items: Vec::new() }.into()
    }
}

pub(crate) fn is_push(payload: &Element) -> bool {
    payload.is("query", ns::ROSTER)
}

enum Change {
    Put(RosterItem),
    Remove(BareJid),
}

/// A malformed item loses only itself.
fn read(item: &Element) -> Option<Change> {
    let jid = BareJid::new(item.attr("jid")?).ok()?;
    let subscription = match item.attr("subscription") {
        None | Some("none") => Subscription::None,
        Some("to") => Subscription::To,
        Some("from") => Subscription::From,
        Some("both") => Subscription::Both,
        Some("remove") => return Some(Change::Remove(jid)),
        Some(_) => return None,
    };
    Some(Change::Put(RosterItem {
        name: item.attr("name").and_then(|name| some_text(name, bounds::NAME_CHARS)),
        subscription,
        ask: item.attr("ask") == Some("subscribe"),
        approved: matches!(item.attr("approved"), Some("true" | "1")),
        groups: item
            .children()
            .filter(|child| child.is("group", ns::ROSTER))
            .take(bounds::GROUPS)
            .map(|group| capped(&group.text(), bounds::NAME_CHARS))
            .collect(),
        jid,
    }))
}

fn read_all(query: &Element) -> impl Iterator<Item = Change> + '_ {
    query.children().filter(|child| child.is("item", ns::ROSTER)).filter_map(|item| {
        let change = read(item);
        if change.is_none() {
            warn!("malformed roster item ignored");
        }
        change
    })
}

impl Session {
    pub(crate) fn handle_load_roster(&mut self, call: Call, turn: &mut Turn<'_>) {
        if self.roster.known {
            turn.reply(call, Ok(self.roster_answer()));
        } else if self.connection.is_hopeful() {
            self.wait(call, Awaited::Roster, turn);
        } else {
            turn.reply(call, Err(self.connection.why_not_online()));
        }
    }

    fn roster_answer(&self) -> Answer {
        let source = if self.roster.reconciled { RosterSource::Server } else { RosterSource::Cache };
        Answer::Roster { source, version: self.roster.version.clone(), contacts: self.people.contacts() }
    }

    pub(crate) fn handle_roster_result(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        self.announce(turn);
        match outcome {
            Ok(Some(query)) if query.is("query", ns::ROSTER) => {
                let version = query.attr("ver").map(str::to_owned);
                self.reconcile(version, read_all(&query).collect(), turn);
            }
            // §2.6.3: nothing has changed since the version that we named.
            Ok(_) if self.roster.known => self.reconciled(0, turn),
            Ok(_) => self.reconcile(None, Vec::new(), turn),
            // The server owes it to us, and callers wait for it.
            Err(Failure::RequestTimedOut) => self.ask_roster(turn),
            Err(failure) => self.answer_waiting(&Awaited::Roster, &Err(failure), turn),
        }
    }

    /// Makes our roster the server's.
    fn reconcile(&mut self, version: Option<String>, changes: Vec<Change>, turn: &mut Turn<'_>) {
        let items: Vec<RosterItem> = changes
            .into_iter()
            .filter_map(|change| match change {
                // Our own JID never is a contact.
                Change::Put(item) if item.jid != self.account => Some(item),
                Change::Put(_) | Change::Remove(_) => None,
            })
            .collect();
        let keep: BTreeSet<&BareJid> = items.iter().map(|item| &item.jid).collect();
        let gone = self.people.contacts_beside(&keep);
        drop(keep);
        let mut changed = gone.len();
        for jid in &gone {
            self.people.remove_item(jid);
            self.people.save(jid, turn);
        }
        for item in &items {
            changed += usize::from(self.people.put_item(item.clone()));
        }
        if changed > 0 || version != self.roster.version || !self.roster.known {
            turn.save(Write::Roster { version: version.clone(), replace: true, items, removed: gone });
        }
        self.roster.known = true;
        self.roster.version = version;
        self.reconciled(changed, turn);
    }

    fn reconciled(&mut self, changed: usize, turn: &mut Turn<'_>) {
        self.roster.reconciled = true;
        self.tell(turn);
        turn.notify(Notice::RosterLoaded { version: self.roster.version.clone(), changed });
        let answer = Ok(self.roster_answer());
        self.answer_waiting(&Awaited::Roster, &answer, turn);
    }

    /// §2.1.6. Whose push it is has been checked.
    pub(crate) fn handle_roster_push(&mut self, query: &Element, turn: &mut Turn<'_>) {
        if let Some(version) = query.attr("ver") {
            self.roster.version = Some(version.to_owned());
        }
        let (mut items, mut removed) = (Vec::new(), Vec::new());
        for change in read_all(query) {
            match change {
                Change::Put(item) if item.jid != self.account => {
                    self.people.put_item(item.clone());
                    items.push(item);
                }
                Change::Put(_) => {}
                Change::Remove(jid) => {
                    if self.people.remove_item(&jid) {
                        self.people.save(&jid, turn);
                        removed.push(jid);
                    }
                }
            }
        }
        // Without the whole there is nothing to keep a part in.
        if self.roster.known {
            turn.save(Write::Roster { version: self.roster.version.clone(), replace: false, items, removed });
        }
    }
}
