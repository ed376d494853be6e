//! XEP-0292: vCard4 over XMPP, 2.1.8 of the start-up sequence. Two nodes carry it: the standard one, and that of the
//! Prose clients. They are stored separately, and the standard one takes precedence.
//!
//! Left out: vCards by IQ (§3), and anything in RFC 6350 beyond [`Profile`].

use jid::{BareJid, Jid};
use minidom::Element;

use crate::bounds;
use crate::failure::Failure;
use crate::known_profile::{KnownProfile, KnownProfiles};
use crate::lookups::{Kind, Lookup};
use crate::model::{Address, Declared, Profile};
use crate::pep::{self, Event, News};
use crate::request::{Outcome, Request, VcardSource};
use crate::xml::some_text;
use crate::{Session, Step};

/// XEP-0292 §4.
pub(crate) const VCARD4_NODE: &str = "urn:xmpp:vcard4";
/// The node in the start-up sequence; also the namespace of the payload on both (RFC 6351 §5).
pub(crate) const PROSE_NODE: &str = "urn:ietf:params:xml:ns:vcard-4.0";

pub(crate) const FEATURES: &[&str] =
    &[PROSE_NODE, "urn:ietf:params:xml:ns:vcard-4.0+notify", "urn:xmpp:vcard4+notify"];

impl VcardSource {
    pub(crate) fn node(self) -> &'static str {
        match self {
            Self::Vcard4 => VCARD4_NODE,
            Self::Prose => PROSE_NODE,
        }
    }

    fn slot(self) -> fn(&mut KnownProfiles) -> &mut KnownProfile {
        match self {
            Self::Vcard4 => |known| &mut known.vcard4,
            Self::Prose => |known| &mut known.prose,
        }
    }
}

/// RFC 6351. Unknown properties are skipped.
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

/// A vCard without content says that there is none.
fn read_item(item: &pep::Item<'_>) -> Declared<Profile> {
    match item.payload.filter(|payload| payload.is("vcard", PROSE_NODE)) {
        Some(vcard) => Declared::of(Some(read(vcard)).filter(|profile| *profile != Profile::default())),
        None => Declared::Unknown,
    }
}

impl Session {
    /// 2.1.8.
    pub(crate) fn handle_vcard_event(&mut self, owner: &BareJid, event: &Event<'_>, step: &mut Step<'_>) {
        self.stream.startup.prolong(step.now.monotonic);
        if *owner == self.account {
            self.note_own_vcard(event);
        }
        let source = if event.node == VCARD4_NODE { VcardSource::Vcard4 } else { VcardSource::Prose };
        let profile = match &event.news {
            News::Published(item) => read_item(item),
            News::Retracted(ids) if ids.is_empty() => Declared::Unknown,
            News::Retracted(_) | News::Emptied => Declared::Absent,
        };
        let profile = match profile {
            Declared::Unknown => return,
            Declared::Absent => None,
            Declared::Present(profile) => Some(profile),
        };
        self.note_profile(owner, source.slot(), profile, step.now.monotonic);
    }

    /// `on_request`: a UI waits for it; otherwise it is the owner's lookup.
    pub(crate) fn ask_vcard(
        &mut self,
        jid: BareJid,
        source: VcardSource,
        on_request: bool,
        step: &mut Step<'_>,
    ) {
        let to = Some(Jid::from(jid.clone()));
        let query = pep::items_query(source.node(), None);
        let lookup = (!on_request).then(|| Lookup { contact: jid.clone(), kind: Kind::Missing });
        self.ask_for(lookup, to, query, Request::Vcard { jid, source, on_request }, step);
    }

    /// Returns why it is still unknown whether there is a vCard.
    pub(crate) fn handle_vcard_result(
        &mut self,
        owner: &BareJid,
        source: VcardSource,
        outcome: Outcome,
        step: &Step<'_>,
    ) -> Option<Failure> {
        match outcome {
            Ok(payload) => {
                let item = pep::answered_item(payload.as_ref(), source.node());
                let profile = item.as_ref().map(read_item).and_then(Declared::into_present);
                self.note_profile(owner, source.slot(), profile, step.now.monotonic);
                None
            }
            Err(Failure::StanzaError { .. }) => None,
            Err(failure) => Some(failure),
        }
    }
}
