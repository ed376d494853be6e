//! XEP-0054 (vcard-temp) and XEP-0153 (its picture): the old ways, used if there is no other.
//!
//! A picture is fetched only once login has settled without a XEP-0084 avatar: servers announce the one as the other.
//! Left out: publishing.

use std::collections::{BTreeMap, BTreeSet};

use jid::{BareJid, Jid};
use minidom::Element;
use tracing::debug;
use xmpp_parsers::iq::IqPayload;
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::vcard::VCardQuery;

use crate::bounds;
use crate::failure::Failure;
use crate::lookups::{Kind, Lookup};
use crate::model::{Address, AvatarRecord, Declared, ImageId, Profile};
use crate::person::Person;
use crate::request::{Outcome, Request};
use crate::time::Now;
use crate::waiting::Awaited;
use crate::xml::some_text;
use crate::{Session, Step, xml};

#[derive(Default)]
pub(crate) struct PerStream {
    /// The last picture missing from each owner's vCard, which is not requested again.
    missing: BTreeMap<BareJid, ImageId>,
    /// The owners of vCards in flight.
    asked: BTreeSet<BareJid>,
}

impl PerStream {
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.missing.len() + self.asked.len()
    }

    /// A JID is no longer a contact.
    pub(crate) fn forget_contact(&mut self, jid: &BareJid) {
        self.missing.remove(jid);
    }
}

/// XEP-0153 §2.1.
fn announced(presence: &Presence) -> Declared<ImageId> {
    let update = presence.payloads.iter().find(|payload| payload.is("x", ns::VCARD_UPDATE));
    let photo = update.and_then(|update| update.get_child("photo", ns::VCARD_UPDATE)).map(Element::text);
    match photo.as_deref().map(str::trim) {
        None => Declared::Unknown,
        Some("") => Declared::Absent,
        Some(hash) => hash.parse().map_or(Declared::Unknown, Declared::Present),
    }
}

pub(crate) fn read(vcard: &Element) -> Profile {
    let texts = |parent: &Element, name: &str| -> Vec<String> {
        let children = parent.children().filter(|child| child.is(name, ns::VCARD));
        children
            .filter_map(|child| some_text(&child.text(), bounds::NAME_CHARS))
            .take(bounds::PROFILE_LIST)
            .collect()
    };
    let text = |name: &str| texts(vcard, name).into_iter().next();
    let inside = |outer: &str, inner: &str| -> Vec<String> {
        let outers = vcard.children().filter(|child| child.is(outer, ns::VCARD));
        outers.flat_map(|outer| texts(outer, inner)).take(bounds::PROFILE_LIST).collect()
    };
    let one_inside = |outer: &str, inner: &str| inside(outer, inner).into_iter().next();
    let address = Address {
        street: one_inside("ADR", "STREET"),
        locality: one_inside("ADR", "LOCALITY"),
        region: one_inside("ADR", "REGION"),
        postal_code: one_inside("ADR", "PCODE"),
        country: one_inside("ADR", "CTRY"),
    };
    Profile {
        full_name: text("FN"),
        nickname: text("NICKNAME"),
        organization: one_inside("ORG", "ORGNAME"),
        title: text("TITLE"),
        role: text("ROLE"),
        emails: inside("EMAIL", "USERID"),
        phones: inside("TEL", "NUMBER"),
        urls: texts(vcard, "URL"),
        address: (address != Address::default()).then_some(address),
        birthday: text("BDAY"),
        note: vcard.get_child("DESC", ns::VCARD).and_then(|note| some_text(&note.text(), bounds::TEXT_CHARS)),
    }
}

fn photo(vcard: &Element) -> Option<Vec<u8>> {
    xml::base64(&vcard.get_child("PHOTO", ns::VCARD)?.get_child("BINVAL", ns::VCARD)?.text())
}

impl Session {
    /// The picture announced in a contact's presence, if we have neither it nor a better one.
    pub(crate) fn lacking_photo(person: &Person) -> Option<ImageId> {
        person.photo.filter(|photo| match &person.avatar {
            Declared::Present(AvatarRecord { legacy: false, .. }) => false,
            Declared::Present(AvatarRecord { id, image, .. }) => id != photo || image.is_none(),
            Declared::Absent | Declared::Unknown => true,
        })
    }

    /// Notes the picture announced in a contact's presence.
    pub(crate) fn note_vcard_photo(&mut self, owner: &BareJid, presence: &Presence, now: Now) {
        if presence.type_ != Type::None {
            return;
        }
        let photo = match announced(presence) {
            Declared::Unknown => return,
            Declared::Absent => None,
            Declared::Present(photo) => Some(photo),
        };
        let Some(person) = self.people.edit(owner) else { return };
        person.photo = photo;
        match photo {
            None if person.is_legacy() => self.assign_no_image(owner),
            // A better one is looked for first.
            Some(_) if self.stream.startup.is_settled() && person.avatar.is_unknown() => {
                self.put_come(owner, now)
            }
            Some(_) if self.stream.startup.is_settled() => self.stream.lookups.put(owner, Kind::Photo),
            _ => {}
        }
    }

    /// A contact's turn has come: fetches the picture of their old vCard.
    pub(crate) fn ask_for_photo(&mut self, lookup: Lookup, step: &mut Step<'_>) {
        let owner = lookup.contact.clone();
        // A better one is looked for first; then we come back here.
        if !self.stream.lookups.is_waiting(&owner, Kind::Missing) {
            self.fall_back_to_photo(&owner, Some(lookup), step);
        }
    }

    /// Fetches the picture of the old vCard, if there is one and none better. `lookup`: the contact whose turn it
    /// is; absent: a UI waits for it.
    pub(crate) fn fall_back_to_photo(
        &mut self,
        owner: &BareJid,
        lookup: Option<Lookup>,
        step: &mut Step<'_>,
    ) {
        let Some(person) = self.people.person(owner) else { return };
        let Some(photo) = person.photo else { return };
        let better = matches!(person.avatar, Declared::Present(AvatarRecord { legacy: false, .. }));
        if better || self.stream.vcard_temp.missing.get(owner) == Some(&photo) {
            return;
        }
        // Not shared, unlike those of XEP-0084: each vCard is a separate chance.
        let is_coming = self.is_image_wanted(&photo, owner) || self.stream.vcard_temp.asked.contains(owner);
        let is_fetched = !is_coming && self.images.info(&photo).is_none();
        if is_fetched && lookup.is_some() && !self.may_fetch(owner, step) {
            return;
        }
        let record = AvatarRecord { id: photo, image: None, legacy: true, spelling: None };
        if self.assign_image(owner, record) && !is_coming {
            self.ask_vcard_temp(owner.clone(), false, lookup, step);
        }
    }

    /// `on_request`: a UI waits for the profile in it. `lookup`: the contact whose turn it is; absent: a UI wants
    /// it.
    pub(crate) fn ask_vcard_temp(
        &mut self,
        jid: BareJid,
        on_request: bool,
        lookup: Option<Lookup>,
        step: &mut Step<'_>,
    ) {
        // Our own is requested from our server, without an address (XEP-0054 §3.1).
        let to = (jid != self.account).then(|| Jid::from(jid.clone()));
        self.stream.vcard_temp.asked.insert(jid.clone());
        let request = Request::VcardTemp { jid, on_request };
        self.ask_for(lookup, to, IqPayload::Get(VCardQuery.into()), request, step);
    }

    /// Returns why it is still unknown whether there is a vCard.
    pub(crate) fn handle_vcard_temp_result(
        &mut self,
        owner: &BareJid,
        outcome: Outcome,
        step: &mut Step<'_>,
    ) -> Option<Failure> {
        self.stream.vcard_temp.asked.remove(owner);
        let vcard = outcome.map(|payload| payload.filter(|payload| payload.is("vCard", ns::VCARD)));
        if let Ok(Some(vcard)) = &vcard {
            let profile = read(vcard);
            self.note_profile(
                owner,
                |known| &mut known.temp,
                Some(profile).filter(|p| *p != Profile::default()),
                step.now.monotonic,
            );
        }
        self.keep_photo(owner, &vcard, step);
        vcard.err().filter(|failure| !matches!(failure, Failure::StanzaError { .. }))
    }

    /// Stores the picture of a vCard, if it is the wanted one.
    fn keep_photo(&mut self, owner: &BareJid, vcard: &Result<Option<Element>, Failure>, step: &mut Step<'_>) {
        let record = self.people.person(owner).and_then(|person| person.avatar.present().cloned());
        let Some(AvatarRecord { id, image: None, legacy, .. }) = record else { return };
        let data = vcard.as_ref().ok().and_then(|vcard| photo(vcard.as_ref()?));
        let kept = match data {
            Some(data) => self.keep_image(id, data, step),
            None => Err(Failure::NotFound),
        };
        match kept {
            Ok(()) => {
                self.want_image(id, owner.clone());
            }
            // A XEP-0084 avatar is handled separately.
            Err(_) if !legacy => {}
            Err(failure) => {
                debug!(%failure, "no picture in the vCard");
                self.give_image_up(&id, owner);
                self.fetch_from_another(id);
                // A time-out says nothing.
                let failure = match vcard {
                    Err(unknown) if !unknown.tells_of_absence() => unknown.clone(),
                    _ => {
                        self.stream.vcard_temp.missing.insert(owner.clone(), id);
                        self.assign_no_image(owner);
                        failure
                    }
                };
                self.answer_waiting(&Awaited::Avatar(owner.clone()), &Err(failure), step);
            }
        }
    }
}
