//! XEP-0292: vCard4 over XMPP, the seed's 2.1.8. Two nodes carry it: the standard's, and the one
//! of the Prose clients. They are kept apart, and the standard's wins.
//!
//! Left out: vCards by IQ (§3), what RFC 6350 has beyond [`Profile`].

use std::sync::Arc;

use jid::{BareJid, Jid};
use minidom::Element;

use crate::bounds;
use crate::command::{Answer, Call};
use crate::contact::{Address, Profile};
use crate::failure::Failure;
use crate::pending::{Outcome, Request};
use crate::pep::{self, Event, News};
use crate::questions::{Kind, Question};
use crate::snapshot::ProfileRecord;
use crate::waiting::Awaited;
use crate::xml::some_text;
use crate::{Session, Turn};

/// XEP-0292 §4.
pub(crate) const VCARD4_NODE: &str = "urn:xmpp:vcard4";
/// The seed's node; also the namespace of the payload on both (RFC 6351 §5).
pub(crate) const PROSE_NODE: &str = "urn:ietf:params:xml:ns:vcard-4.0";

pub(crate) const FEATURES: &[&str] =
    &[PROSE_NODE, "urn:ietf:params:xml:ns:vcard-4.0+notify", "urn:xmpp:vcard4+notify"];

/// Where a profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VcardSource {
    Vcard4,
    Prose,
}

impl VcardSource {
    fn node(self) -> &'static str {
        match self {
            Self::Vcard4 => VCARD4_NODE,
            Self::Prose => PROSE_NODE,
        }
    }

    fn slot(self) -> fn(&mut ProfileRecord) -> &mut Option<Arc<Profile>> {
        match self {
            Self::Vcard4 => |record| &mut record.vcard4,
            Self::Prose => |record| &mut record.prose,
        }
    }
}

/// RFC 6351. What we don't know is passed over.
fn read(vcard: &Element) -> Profile {
    let values = |name: &str, kinds: &[&str]| -> Vec<String> {
        let properties = vcard.children().filter(|child| child.is(name, PROSE_NODE));
        let values = properties.flat_map(Element::children).filter(|value| kinds.contains(&value.name()));
        values
            .filter_map(|value| some_text(&value.text(), bounds::NAME_CHARS))
            .take(bounds::PROFILE_LIST)
            .collect()
    };
    let text = |name: &str| values(name, &["text"]).into_iter().next();
    let part = |name: &str| {
        let address = vcard.get_child("adr", PROSE_NODE)?;
        some_text(&address.get_child(name, PROSE_NODE)?.text(), bounds::NAME_CHARS)
    };
    let address = Address {
        street: part("street"),
        locality: part("locality"),
        region: part("region"),
        postal_code: part("code"),
        country: part("country"),
    };
    let phones = values("tel", &["text", "uri"]);
    let note = vcard.get_child("note", PROSE_NODE).and_then(|note| note.get_child("text", PROSE_NODE));
    Profile {
        full_name: text("fn"),
        nickname: text("nickname"),
        organization: text("org"),
        title: text("title"),
        role: text("role"),
        emails: values("email", &["text"]),
        phones: phones
            .into_iter()
            .map(|tel| tel.strip_prefix("tel:").map_or(tel.clone(), str::to_owned))
            .collect(),
        urls: values("url", &["uri", "text"]),
        address: (address != Address::default()).then_some(address),
        birthday: values("bday", &["date", "date-time", "text"]).into_iter().next(),
        note: note.and_then(|note| some_text(&note.text(), bounds::TEXT_CHARS)),
    }
}

/// `None`: no vCard at all; a vCard that says nothing is no profile.
fn read_item(item: &pep::Item<'_>) -> Option<Option<Profile>> {
    let vcard = item.payload.filter(|payload| payload.is("vcard", PROSE_NODE))?;
    Some(Some(read(vcard)).filter(|profile| *profile != Profile::default()))
}

/// The properties that a [`Profile`] holds.
const PROPERTIES: &[&str] =
    &["fn", "nickname", "org", "title", "role", "email", "tel", "url", "adr", "bday", "note"];

/// A vCard with this profile; what a profile can't hold is taken over from the vCard before.
fn write(profile: &Profile, before: Option<&Element>) -> Element {
    let mut vcard = Element::bare("vcard", PROSE_NODE);
    let mut put = |property: &str, values: Vec<(&str, &String)>| {
        if !values.is_empty() {
            let mut element = Element::bare(property, PROSE_NODE);
            for (kind, text) in values {
                element.append_child(Element::builder(kind, PROSE_NODE).append(text.clone()).build());
            }
            vcard.append_child(element);
        }
    };
    fn text(value: &Option<String>) -> Vec<(&str, &String)> {
        value.iter().map(|text| ("text", text)).collect()
    }
    put("fn", text(&profile.full_name));
    put("nickname", text(&profile.nickname));
    put("org", text(&profile.organization));
    put("title", text(&profile.title));
    put("role", text(&profile.role));
    for email in &profile.emails {
        put("email", vec![("text", email)]);
    }
    for phone in &profile.phones {
        put("tel", vec![("text", phone)]);
    }
    for url in &profile.urls {
        put("url", vec![("uri", url)]);
    }
    if let Some(address) = &profile.address {
        let parts = [
            ("street", &address.street),
            ("locality", &address.locality),
            ("region", &address.region),
            ("code", &address.postal_code),
            ("country", &address.country),
        ];
        put("adr", parts.into_iter().filter_map(|(part, text)| Some((part, text.as_ref()?))).collect());
    }
    put("bday", text(&profile.birthday));
    put("note", text(&profile.note));
    let kept = before.into_iter().flat_map(Element::children);
    for child in kept.filter(|child| !PROPERTIES.contains(&child.name())) {
        vcard.append_child(child.clone());
    }
    vcard
}

impl Session {
    /// 2.1.8.
    pub(crate) fn handle_vcard_event(&mut self, owner: &BareJid, event: &Event<'_>, turn: &mut Turn<'_>) {
        self.startup.prolong(turn.now.monotonic);
        let source = if event.node == VCARD4_NODE { VcardSource::Vcard4 } else { VcardSource::Prose };
        let profile = match &event.news {
            News::Published(item) => read_item(item),
            News::Retracted(ids) => (!ids.is_empty()).then_some(None),
            News::Emptied => Some(None),
        };
        if let Some(profile) = profile {
            self.note_profile(owner, source.slot(), profile, turn.now.monotonic);
        }
    }

    /// `on_request`: a UI waits for it; else it is the owner's question.
    pub(crate) fn ask_vcard(
        &mut self,
        jid: BareJid,
        source: VcardSource,
        on_request: bool,
        turn: &mut Turn<'_>,
    ) {
        let to = Some(Jid::from(jid.clone()));
        let query = pep::items_query(source.node(), None);
        let question = (!on_request).then(|| Question { contact: jid.clone(), kind: Kind::Missing });
        self.ask_for(question, to, query, Request::Vcard { jid, source, on_request }, turn);
    }

    /// Answers why it remains unknown whether there is a vCard.
    pub(crate) fn handle_vcard_result(
        &mut self,
        owner: &BareJid,
        source: VcardSource,
        outcome: Outcome,
        turn: &Turn<'_>,
    ) -> Option<Failure> {
        match outcome {
            Ok(payload) => {
                let item = pep::answered_item(payload.as_ref(), source.node());
                let profile = item.as_ref().and_then(read_item).flatten();
                self.note_profile(owner, source.slot(), profile, turn.now.monotonic);
                None
            }
            Err(Failure::StanzaError { .. }) => None,
            Err(failure) => Some(failure),
        }
    }

    /// The vCard that there is comes first, so that what a profile can't hold is not lost.
    pub(crate) fn handle_set_profile(&mut self, call: Call, profile: Profile, turn: &mut Turn<'_>) {
        if !self.connection.is_online() {
            return turn.reply(call, Err(Failure::Offline));
        }
        if self.wait(call, Awaited::Outcome(call), turn) {
            let request = Request::EditVcard { call, profile: Box::new(profile) };
            self.ask(None, pep::items_query(VCARD4_NODE, None), request, turn);
        }
    }

    pub(crate) fn handle_own_vcard(
        &mut self,
        call: Call,
        profile: &Profile,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        let before = match outcome {
            Ok(payload) => {
                pep::answered_item(payload.as_ref(), VCARD4_NODE).and_then(|item| item.payload).cloned()
            }
            // There is none yet.
            Err(Failure::StanzaError { .. }) => None,
            Err(failure) => return self.answer_waiting(&Awaited::Outcome(call), &Err(failure), turn),
        };
        let vcard = write(profile, before.as_ref());
        self.publish_vcard(call, vcard, VcardSource::Vcard4, turn);
    }

    fn publish_vcard(&mut self, call: Call, vcard: Element, source: VcardSource, turn: &mut Turn<'_>) {
        let payload = pep::publish(source.node(), "current", vcard.clone());
        let request = Request::PublishVcard { call, vcard: Box::new(vcard), source };
        self.ask(None, payload, request, turn);
    }

    /// On both nodes, so that everybody finds it.
    pub(crate) fn handle_vcard_published(
        &mut self,
        call: Call,
        vcard: Element,
        source: VcardSource,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        match (outcome, source) {
            (Ok(_), VcardSource::Vcard4) => self.publish_vcard(call, vcard, VcardSource::Prose, turn),
            (outcome, _) => {
                let result = outcome.map(|_| Answer::Done);
                self.answer_waiting(&Awaited::Outcome(call), &result, turn);
            }
        }
    }
}
