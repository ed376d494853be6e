//! RFC 6121 §2.3, for each member of a group: servers know no groups, only contacts that name them.
//!
//! A few members are changed at a time, each from their state when their turn comes. A roster set replaces all groups
//! of a contact: if another device has changed them in the meantime, its push says so, and the change is made again
//! on top of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jid::BareJid;
use xmpp_parsers::iq::IqPayload;

use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::model::RosterItem;
use crate::request::{Outcome, Request};
use crate::waiting::Awaited;
use crate::{Session, Step, bounds};

/// How often a member is changed again because another device has changed them in the meantime.
const AGAIN: usize = 3;

/// Renames in order of arrival; the first is in progress. There are at most as many as waiting calls.
#[derive(Default)]
pub(crate) struct PerStream(VecDeque<Rename>);

struct Rename {
    call: Call,
    from: String,
    to: String,
    left: BTreeSet<BareJid>,
    on_their_way: BTreeMap<BareJid, Member>,
    done: usize,
    failed: Vec<(BareJid, Failure)>,
}

/// A member whose change is in flight. It is done once the server has confirmed it with both a result and a push.
#[derive(Default)]
struct Member {
    /// What each attempt requested.
    wanted: Vec<BTreeSet<String>>,
    confirmed: bool,
    pushed: bool,
    /// The groups set by another device in the meantime.
    theirs: Option<BTreeSet<String>>,
}

impl Session {
    pub(crate) fn handle_rename_group(&mut self, call: Call, from: String, to: String, step: &mut Step<'_>) {
        if !self.connection.is_online() {
            return step.reply(call, Err(Failure::Offline));
        }
        let left: BTreeSet<BareJid> = self.people.members(&from);
        if left.is_empty() {
            return step.reply(call, Err(Failure::NotFound));
        }
        if self.wait(call, Awaited::Outcome(call), step) {
            let on_their_way = BTreeMap::new();
            self.stream.renames.0.push_back(Rename {
                call,
                from,
                to,
                left,
                on_their_way,
                done: 0,
                failed: vec![],
            });
            self.rename_on(step);
        }
    }

    /// Changes as many members of the first group as may be in flight; answers once all are done.
    fn rename_on(&mut self, step: &mut Step<'_>) {
        while let Some(rename) = self.stream.renames.0.front_mut() {
            if rename.on_their_way.len() < bounds::RENAMES_IN_FLIGHT
                && let Some(jid) = rename.left.pop_first()
            {
                let groups = self.people.person(&jid).and_then(|person| person.item.as_ref());
                if let Some(groups) = groups.map(|item| BTreeSet::clone(&item.groups)) {
                    self.rename_member(&jid, Member::default(), groups, step);
                }
            } else if rename.on_their_way.is_empty() {
                self.end_first_rename(step);
            } else {
                return;
            }
        }
    }

    /// `groups`: their current groups. A member who has left the group by then stays unchanged.
    fn rename_member(
        &mut self,
        jid: &BareJid,
        mut member: Member,
        groups: BTreeSet<String>,
        step: &mut Step<'_>,
    ) {
        let Some(item) = self.people.person(jid).and_then(|person| person.item.as_ref()) else { return };
        let Some(rename) = self.stream.renames.0.front_mut() else { return };
        if !groups.contains(&rename.from) && member.wanted.is_empty() {
            return;
        }
        if may_be_cut(item) {
            let limit = bounds::GROUPS;
            let failure = Failure::LimitExceeded { what: "groups of a contact", limit };
            return rename.failed.push((jid.clone(), failure));
        }
        let groups = rename.renamed(&groups);
        let query = self.groups_query(jid, item.name.clone(), groups.clone());
        (member.confirmed, member.pushed, member.theirs) = (false, false, None);
        member.wanted.push(groups);
        if let Some(rename) = self.stream.renames.0.front_mut() {
            rename.on_their_way.insert(jid.clone(), member);
        }
        self.ask(None, IqPayload::Set(query), Request::Rename { jid: jid.clone() }, step);
    }

    pub(crate) fn handle_rename_result(&mut self, jid: &BareJid, outcome: Outcome, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let Some(rename) = self.stream.renames.0.front_mut() else { return };
        // It continues: a group may have more members than can be changed within one call's time.
        self.waiting.prolong(&Awaited::Outcome(rename.call), now);
        match outcome {
            Ok(_) => {
                let Some(member) = rename.on_their_way.get_mut(jid) else { return };
                member.confirmed = true;
                self.conclude_member(jid, step);
            }
            Err(failure) => {
                rename.on_their_way.remove(jid);
                // If not, they were removed in the meantime.
                if self.people.person(jid).is_some_and(|person| person.item.is_some()) {
                    rename.failed.push((jid.clone(), failure));
                }
                self.rename_on(step);
            }
        }
    }

    /// A push for this member arrived.
    pub(crate) fn note_rename_push(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        let groups = self.people.person(jid).and_then(|person| person.item.as_ref()).map(|item| &item.groups);
        let groups = groups.map(|groups| BTreeSet::clone(groups));
        let Some(rename) = self.stream.renames.0.front_mut() else { return };
        let Some(member) = rename.on_their_way.get_mut(jid) else { return };
        match groups {
            Some(groups) if !member.wanted.contains(&groups) => member.theirs = Some(groups),
            _ => member.pushed = true,
        }
        self.conclude_member(jid, step);
    }

    fn conclude_member(&mut self, jid: &BareJid, step: &mut Step<'_>) {
        let item = self.people.person(jid).and_then(|person| person.item.as_ref());
        let Some(rename) = self.stream.renames.0.front_mut() else { return };
        let Some(member) = rename.on_their_way.get(jid) else { return };
        let is_done =
            |groups: &BTreeSet<String>| groups.contains(&rename.to) && !groups.contains(&rename.from);
        // If nothing changed there may be no push; a push that says something else is an answer, too.
        let is_so = item.is_none_or(|item| is_done(&item.groups));
        if !member.confirmed || !(member.pushed || member.theirs.is_some() || is_so) {
            return;
        }
        let Some(member) = rename.on_their_way.remove(jid) else { return };
        match (&member.theirs, item) {
            // Removed in the meantime.
            (_, None) => {}
            (None, Some(_)) if is_so => rename.done += 1,
            (Some(theirs), Some(item)) if *item.groups == rename.renamed(theirs) => rename.done += 1,
            (theirs, Some(item)) if member.wanted.len() < AGAIN => {
                let groups = theirs.clone().unwrap_or_else(|| BTreeSet::clone(&item.groups));
                self.rename_member(&jid.clone(), member, groups, step);
            }
            // Others keep changing them.
            _ if is_so => rename.done += 1,
            _ => {
                let text = "the server keeps this contact in the group".to_owned();
                let condition = "not-allowed".to_owned();
                rename.failed.push((jid.clone(), Failure::StanzaError { condition, text }));
            }
        }
        self.rename_on(step);
    }

    fn end_first_rename(&mut self, step: &mut Step<'_>) {
        if let Some(rename) = self.stream.renames.0.pop_front() {
            let call = rename.call;
            self.answer_waiting(&Awaited::Outcome(call), &rename.answer(), step);
        }
    }

    /// No more will happen: the answer reports what has been done so far.
    pub(crate) fn end_all_renames(&mut self, failure: &Failure, step: &mut Step<'_>) {
        for rename in std::mem::take(&mut self.stream.renames.0) {
            let call = rename.call;
            self.answer_waiting(&Awaited::Outcome(call), &rename.ended_by(failure).answer(), step);
        }
    }

    /// The answer to a rename whose caller can wait no longer, if the call is one.
    pub(crate) fn end_rename(
        &mut self,
        call: Call,
        failure: &Failure,
        step: &mut Step<'_>,
    ) -> Option<Result<Answer, Failure>> {
        let at = self.stream.renames.0.iter().position(|rename| rename.call == call)?;
        let answer = self.stream.renames.0.remove(at)?.ended_by(failure).answer();
        self.rename_on(step);
        Some(answer)
    }
}

impl Rename {
    /// These groups, with the new name in place of the old.
    fn renamed(&self, groups: &BTreeSet<String>) -> BTreeSet<String> {
        let others = groups.iter().filter(|group| **group != self.from);
        others.chain([&self.to]).cloned().collect()
    }

    /// All remaining members have failed, with this.
    fn ended_by(mut self, failure: &Failure) -> Self {
        let rest = std::mem::take(&mut self.on_their_way).into_keys().chain(std::mem::take(&mut self.left));
        self.failed.extend(rest.map(|jid| (jid, failure.clone())));
        self
    }

    /// It counts as failed only if nobody could be renamed.
    fn answer(mut self) -> Result<Answer, Failure> {
        match self.failed.first() {
            Some((_, failure)) if self.done == 0 => Err(failure.clone()),
            _ => {
                self.failed.sort_by(|one, other| one.0.cmp(&other.0));
                Ok(Answer::GroupRenamed { renamed: self.done, failed: self.failed })
            }
        }
    }
}

/// Whether the server's item may contain more than we have read, which a change would remove.
fn may_be_cut(item: &RosterItem) -> bool {
    let is_long = |text: &String| text.chars().nth(bounds::NAME_CHARS - 1).is_some();
    item.groups.len() >= bounds::GROUPS || item.groups.iter().chain(&item.name).any(is_long)
}
