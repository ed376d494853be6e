//! Changing our own vCard (XEP-0292 §4), and nothing in it that was not asked for.
//!
//! The existing vCard is read first, and what others have put into it stays: properties that a [`Profile`] cannot
//! hold, and the parameters of unchanged values. XEP-0060 cannot publish on condition that nobody else has published
//! since. So our changes take turns, and if another device publishes while one of ours is in flight, the change is
//! made again on top of that. Not covered: a device that publishes after the reply to us, from an older vCard: the
//! last one wins.
//!
//! [`Profile`]: crate::model::Profile

use std::collections::VecDeque;

use minidom::Element;
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::ns;
use xmpp_parsers::vcard::VCardQuery;

use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::model::{AddressPatch, Change, ProfilePatch};
use crate::pep::{self, Event, News};
use crate::request::{Outcome, OwnVcardSource, Request, VcardSource};
use crate::vcard::{PROSE_NODE, VCARD4_NODE};
use crate::vcard_temp;
use crate::waiting::Awaited;
use crate::{Session, Step};

/// How often a change is repeated because another device has published in the meantime: two devices that respond to
/// each other must stop.
const AGAIN: usize = 3;

/// The changes in order of arrival; the first is in progress. There are at most as many as waiting calls.
#[derive(Default)]
pub(crate) struct PerStream(VecDeque<Edit>);

struct Edit {
    call: Call,
    patch: ProfilePatch,
    is_publishing: bool,
    /// What another device has published in the meantime.
    overtaken_by: Option<Element>,
    again: usize,
}

impl Session {
    pub(crate) fn handle_set_profile(&mut self, call: Call, patch: ProfilePatch, step: &mut Step<'_>) {
        if !self.connection.is_online() {
            return step.reply(call, Err(Failure::Offline));
        }
        if self.wait(call, Awaited::Outcome(call), step) {
            let edit = Edit { call, patch, is_publishing: false, overtaken_by: None, again: 0 };
            self.stream.vcard_edits.0.push_back(edit);
            if self.stream.vcard_edits.0.len() == 1 {
                self.ask_own_vcard(OwnVcardSource::Pep(VcardSource::Vcard4), step);
            }
        }
    }

    fn ask_own_vcard(&mut self, from: OwnVcardSource, step: &mut Step<'_>) {
        let query = match from {
            OwnVcardSource::Pep(source) => pep::items_query(source.node(), None),
            OwnVcardSource::Temp => IqPayload::Get(VCardQuery.into()),
        };
        self.ask(None, query, Request::OwnVcard { from }, step);
    }

    pub(crate) fn handle_own_vcard(&mut self, from: OwnVcardSource, outcome: Outcome, step: &mut Step<'_>) {
        let is_awaited = |edit: &Edit| self.waiting.is_awaited(&Awaited::Outcome(edit.call));
        if !self.stream.vcard_edits.0.front().is_some_and(is_awaited) {
            // Its caller was told that it failed.
            return self.end_vcard_edit(Err(Failure::RequestTimedOut), step);
        }
        let payload = match outcome {
            Ok(payload) => payload,
            Err(failure) if failure.is_not_found() => None,
            // There may be one, and it must not be lost.
            Err(failure) => return self.end_vcard_edit(Err(failure), step),
        };
        let vcard = match from {
            OwnVcardSource::Pep(source) => pep::answered_item(payload.as_ref(), source.node())
                .and_then(|item| item.payload)
                .filter(|vcard| vcard.is("vcard", PROSE_NODE))
                .cloned(),
            OwnVcardSource::Temp => payload
                .filter(|vcard| vcard.is("vCard", ns::VCARD))
                .map(|vcard| patched(&vcard_temp::read(&vcard).into(), &empty())),
        };
        match (vcard, from) {
            (Some(vcard), _) => self.publish_patched(&vcard, step),
            (None, OwnVcardSource::Pep(VcardSource::Vcard4)) => {
                self.ask_own_vcard(OwnVcardSource::Pep(VcardSource::Prose), step);
            }
            (None, OwnVcardSource::Pep(VcardSource::Prose)) => self.ask_own_vcard(OwnVcardSource::Temp, step),
            (None, OwnVcardSource::Temp) => self.publish_patched(&empty(), step),
        }
    }

    fn publish_patched(&mut self, before: &Element, step: &mut Step<'_>) {
        if let Some(edit) = self.stream.vcard_edits.0.front_mut() {
            edit.is_publishing = true;
            let vcard = patched(&edit.patch, before);
            self.publish_vcard(vcard, VcardSource::Vcard4, step);
        }
    }

    fn publish_vcard(&mut self, vcard: Element, source: VcardSource, step: &mut Step<'_>) {
        let payload = pep::publish(source.node(), "current", vcard.clone());
        self.ask(None, payload, Request::PublishVcard { vcard: Box::new(vcard), source }, step);
    }

    /// Our own devices publish, including this one: a vCard without our change has replaced it, or is about to be
    /// replaced by it.
    pub(crate) fn note_own_vcard(&mut self, event: &Event<'_>) {
        let Some(edit) = self.stream.vcard_edits.0.front_mut().filter(|edit| edit.is_publishing) else {
            return;
        };
        let News::Published(item) = &event.news else { return };
        let vcard = item.payload.filter(|vcard| vcard.is("vcard", PROSE_NODE));
        if let Some(vcard) = vcard.filter(|_| event.node == VCARD4_NODE)
            && patched(&edit.patch, vcard) != *vcard
        {
            edit.overtaken_by = Some(vcard.clone());
        }
    }

    /// On both nodes, so that every client finds it.
    pub(crate) fn handle_vcard_published(
        &mut self,
        vcard: Element,
        source: VcardSource,
        outcome: Outcome,
        step: &mut Step<'_>,
    ) {
        let Some(edit) = self.stream.vcard_edits.0.front_mut() else { return };
        match (outcome, source) {
            (Ok(_), VcardSource::Vcard4) => match edit.overtaken_by.take().filter(|_| edit.again < AGAIN) {
                Some(theirs) => {
                    edit.again += 1;
                    self.publish_patched(&theirs, step);
                }
                None => self.publish_vcard(vcard, VcardSource::Prose, step),
            },
            (outcome, _) => self.end_vcard_edit(outcome.map(|_| Answer::Done), step),
        }
    }

    /// The first has ended; starts the next whose caller is still waiting.
    fn end_vcard_edit(&mut self, result: Result<Answer, Failure>, step: &mut Step<'_>) {
        let Some(edit) = self.stream.vcard_edits.0.pop_front() else { return };
        self.answer_waiting(&Awaited::Outcome(edit.call), &result, step);
        let waiting = &self.waiting;
        self.stream.vcard_edits.0.retain(|edit| waiting.is_awaited(&Awaited::Outcome(edit.call)));
        if !self.stream.vcard_edits.0.is_empty() {
            self.ask_own_vcard(OwnVcardSource::Pep(VcardSource::Vcard4), step);
        }
    }
}

fn empty() -> Element {
    Element::bare("vcard", PROSE_NODE)
}

/// The vCard with these changes. Everything else stays as it is, in its order.
fn patched(patch: &ProfilePatch, before: &Element) -> Element {
    let mut vcard = before.clone();
    let ProfilePatch { full_name, nickname, organization, title, role, birthday, note, .. } = patch;
    let ProfilePatch { emails, phones, urls, address, .. } = patch;
    for (property, text) in [
        ("fn", full_name),
        ("nickname", nickname),
        ("org", organization),
        ("title", title),
        ("role", role),
        ("bday", birthday),
        ("note", note),
    ] {
        match text {
            Change::Keep => {}
            Change::Remove => set(&mut vcard, property, "text", &[]),
            Change::Set(text) => set(&mut vcard, property, kind(property, text), std::slice::from_ref(text)),
        }
    }
    for (property, kind, texts) in [("email", "text", emails), ("tel", "text", phones), ("url", "uri", urls)]
    {
        match texts {
            Change::Keep => {}
            Change::Remove => set(&mut vcard, property, kind, &[]),
            Change::Set(texts) => set(&mut vcard, property, kind, texts),
        }
    }
    match address {
        Change::Keep => {}
        Change::Remove => drop(take(&mut vcard, "adr")),
        Change::Set(address) => set_address(&mut vcard, address),
    }
    vcard
}

/// A birthday may be a date or free text (RFC 6350 §6.2.5).
fn kind(property: &str, text: &str) -> &'static str {
    let is_date = property == "bday" && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_date { "date" } else { "text" }
}

/// Sets the property to exactly these values. Elements that already hold one of them stay, with their parameters.
fn set(vcard: &mut Element, property: &str, kind: &str, texts: &[String]) {
    let mut before = take(vcard, property);
    for text in texts {
        let holds = |element: &Element| element.children().any(|value| says(value, text));
        let element = match before.iter().position(holds) {
            Some(at) => before.remove(at),
            None => {
                let value = Element::builder(kind, PROSE_NODE).append(text.clone()).build();
                Element::builder(property, PROSE_NODE).append(value).build()
            }
        };
        vcard.append_child(element);
    }
}

/// Whether it has this value; parameters don't count.
fn says(value: &Element, text: &str) -> bool {
    let said = value.text();
    let said = said.trim();
    value.name() != "parameters" && (said == text || said.strip_prefix("tel:") == Some(text))
}

/// The first address is the one shown.
fn set_address(vcard: &mut Element, patch: &AddressPatch) {
    let mut all = take(vcard, "adr").into_iter();
    let mut address = all.next().unwrap_or_else(|| Element::bare("adr", PROSE_NODE));
    let AddressPatch { street, locality, region, postal_code, country } = patch;
    for (part, text) in [
        ("street", street),
        ("locality", locality),
        ("region", region),
        ("code", postal_code),
        ("country", country),
    ] {
        if *text != Change::Keep {
            take(&mut address, part);
        }
        if let Change::Set(text) = text {
            address.append_child(Element::builder(part, PROSE_NODE).append(text.clone()).build());
        }
    }
    let says_something = address.children().any(|part| part.name() != "parameters");
    for address in says_something.then_some(address).into_iter().chain(all) {
        vcard.append_child(address);
    }
}

/// Removes all children with that name.
fn take(parent: &mut Element, name: &str) -> Vec<Element> {
    // In one pass: a server may send as many as a stanza holds.
    let (taken, kept): (Vec<_>, Vec<_>) =
        parent.take_contents_as_children().partition(|child| child.is(name, PROSE_NODE));
    for child in kept {
        parent.append_child(child);
    }
    taken
}
