//! XEP-0084: User Avatar, 2.1.5 to 2.1.7 of the start-up sequence: metadata is pushed, an unknown image is fetched
//! once, verified and saved.
//!
//! Left out: images by URL (§4.2.1, never fetched: the URL's host would learn who and where we are), several sizes
//! (we take the first that PEP itself has).

use jid::{BareJid, Jid};
use minidom::Element;
use sha1::{Digest, Sha1};
use tracing::debug;
use xmpp_parsers::avatar::{Data, Info, Metadata};
use xmpp_parsers::ns;

use crate::command::{Answer, Call};
use crate::failure::Failure;
use crate::image;
use crate::lookups::{Kind, Lookup};
use crate::model::{AvatarRecord, Declared, ImageId, ImageInfo};
use crate::pep::{self, Event, Item, News};
use crate::person::Person;
use crate::request::{AvatarPart, AvatarQuery, Outcome, Request};
use crate::size::picture_bytes;
use crate::waiting::Awaited;
use crate::{Session, Step, bounds, xml};

pub(crate) const METADATA_NODE: &str = ns::AVATAR_METADATA;

pub(crate) const FEATURES: &[&str] =
    &[ns::AVATAR_DATA, ns::AVATAR_METADATA, "urn:xmpp:avatar:metadata+notify"];

/// What metadata says.
#[derive(Debug, PartialEq)]
enum Announced {
    /// There is none (§4.2.3).
    Nothing,
    Image {
        id: ImageId,
        /// Verbatim: to a server, an item's id is just text (XEP-0060 §12.8).
        spelling: Option<String>,
        bytes: Option<usize>,
    },
}

/// A malformed `<info/>` does not affect the others; `None`: nothing that we can use.
fn read_metadata(item: &Item<'_>) -> Option<Announced> {
    let metadata = item.payload.filter(|payload| payload.is("metadata", ns::AVATAR_METADATA))?;
    let infos: Vec<&Element> =
        metadata.children().filter(|child| child.is("info", ns::AVATAR_METADATA)).collect();
    if infos.is_empty() {
        return Some(Announced::Nothing);
    }
    infos.into_iter().filter(|info| info.attr("url").is_none()).find_map(|info| {
        let bytes = info.attr("bytes").and_then(|bytes| bytes.parse().ok());
        let spelling = info.attr("id")?;
        let id: ImageId = spelling.parse().ok()?;
        let spelling = (spelling != id.to_string()).then(|| spelling.to_owned());
        Some(Announced::Image { id, spelling, bytes })
    })
}

fn read_data(payload: Option<&Element>, id: ImageId) -> Option<Vec<u8>> {
    let item = pep::answered_item(payload, ns::AVATAR_DATA)?;
    if item.id.is_some_and(|answered| answered.parse() != Ok(id)) {
        return None;
    }
    let data = item.payload.filter(|payload| payload.is("data", ns::AVATAR_DATA))?;
    xml::base64(&xml::text(data))
}

impl Session {
    /// 2.1.5.
    pub(crate) fn handle_avatar_event(&mut self, owner: &BareJid, event: &Event<'_>, step: &mut Step<'_>) {
        self.stream.startup.prolong(step.now.monotonic);
        match &event.news {
            News::Published(item) => match read_metadata(item) {
                Some(metadata) => self.note_avatar(owner, metadata, false, step),
                None => debug!("avatar metadata that we can't use ignored"),
            },
            News::Retracted(ids) => {
                let current = self.people.person(owner).and_then(Person::avatar_id);
                if current.is_some_and(|current| ids.iter().any(|id| id.parse() == Ok(current))) {
                    self.assign_no_image(owner);
                }
            }
            News::Emptied => self.assign_no_image(owner),
        }
    }

    /// `awaited`: a UI is waiting for it.
    fn note_avatar(&mut self, owner: &BareJid, metadata: Announced, awaited: bool, step: &mut Step<'_>) {
        match metadata {
            Announced::Nothing => self.assign_no_image(owner),
            Announced::Image { bytes: Some(bytes), .. } if bytes > bounds::AVATAR_BYTES => {
                debug!(bytes, "avatar too large: not fetched");
            }
            Announced::Image { id, spelling, .. } => {
                // It may be in an old vCard that is being fetched, but that vCard need not have it.
                if self.people.person(owner).is_some_and(Person::is_legacy) {
                    self.give_image_up(&id, owner);
                }
                let record = AvatarRecord { id, image: None, legacy: false, spelling };
                match self.assign_image(owner, record) {
                    true if awaited => self.fetch_avatar(owner.clone(), id, None, step),
                    true => self.stream.lookups.put(owner, Kind::Avatar),
                    false => {}
                }
            }
        }
    }

    /// A contact's turn has come: fetches the picture that their metadata names by now.
    pub(crate) fn ask_for_avatar(&mut self, lookup: Lookup, step: &mut Step<'_>) {
        let owner = lookup.contact.clone();
        let id = self.people.person(&owner).and_then(Person::wanted_avatar);
        if let Some(id) = id.filter(|id| self.is_image_wanted(id, &owner) && !self.is_image_coming(id))
            && self.may_fetch(&owner, step)
        {
            self.fetch_avatar(owner, id, Some(lookup), step);
        }
    }

    /// 2.1.6. `lookup`: the contact whose turn it is; absent: a UI wants the picture.
    pub(crate) fn fetch_avatar(
        &mut self,
        owner: BareJid,
        id: ImageId,
        lookup: Option<Lookup>,
        step: &mut Step<'_>,
    ) {
        let spelling = self.spelling(&owner, id);
        self.query_avatar(AvatarQuery { owner, id, spelling, may_retry: true }, lookup, step);
    }

    fn query_avatar(&mut self, query: AvatarQuery, lookup: Option<Lookup>, step: &mut Step<'_>) {
        self.want_image(query.id, query.owner.clone());
        self.stream.images.asked(query.id, query.owner.clone());
        let payload = pep::items_query(ns::AVATAR_DATA, Some(&query.spelling));
        let to = Some(Jid::from(query.owner.clone()));
        self.ask_for(lookup, to, payload, Request::AvatarData(query), step);
    }

    /// How an image's owner spells its id.
    fn spelling(&self, owner: &BareJid, id: ImageId) -> String {
        let record = self.people.person(owner).and_then(|person| person.avatar.present());
        let theirs = record.filter(|record| record.id == id).and_then(|record| record.spelling.clone());
        theirs.unwrap_or_else(|| id.to_string())
    }

    /// 2.1.7.
    pub(crate) fn handle_avatar_data_result(
        &mut self,
        query: AvatarQuery,
        outcome: Outcome,
        step: &mut Step<'_>,
    ) {
        let AvatarQuery { owner, id, spelling, may_retry } = query;
        self.stream.images.answered(&id, &owner);
        let kept = outcome.and_then(|payload| {
            // Replaced in the meantime, and not used by anybody else.
            if !self.images.is_held(id) {
                return Err(Failure::NotFound);
            }
            let data = read_data(payload.as_ref(), id).ok_or(Failure::NotFound)?;
            self.keep_image(id, data, step)
        });
        if let Err(failure) = kept {
            debug!(%failure, "no avatar");
            if failure.is_not_found()
                && may_retry
                && let Some(other) = self.other_spelling(&owner, id, &spelling)
            {
                let query = AvatarQuery { owner, id, spelling: other, may_retry: false };
                return self.query_avatar(query, None, step);
            }
            self.give_image_up(&id, &owner);
            self.fetch_from_another(id);
            // Replaced in the meantime: callers wait for the new one.
            if self.people.person(&owner).is_none_or(|person| person.avatar_id() == Some(id)) {
                self.answer_waiting(&Awaited::Avatar(owner), &Err(failure), step);
            }
        }
    }

    /// The owner may have announced another spelling in the meantime. If not: a server that converts between vCards
    /// and avatars (ejabberd's mod_avatar) republishes the image with our spelling, and may still announce theirs.
    fn other_spelling(&mut self, owner: &BareJid, id: ImageId, asked: &str) -> Option<String> {
        let theirs = self.spelling(owner, id);
        if theirs != asked {
            return Some(theirs);
        }
        let ours = id.to_string();
        if ours == asked {
            return None;
        }
        self.people.edit(owner)?.avatar.present_mut()?.spelling = None;
        self.people.save(owner);
        Some(ours)
    }

    /// This owner does not have the wanted image: another may.
    pub(crate) fn fetch_from_another(&mut self, id: ImageId) {
        let has_it = |owner: &&BareJid| {
            self.people.person(owner).is_some_and(|person| person.wanted_avatar() == Some(id))
        };
        let owner = self.image_wanted_by(&id).into_iter().flatten().find(has_it).cloned();
        if let Some(owner) = owner {
            self.stream.lookups.put(&owner, Kind::Avatar);
        }
    }

    /// Requests what the server has not pushed. `lookup`: the contact whose turn it is; absent: a UI wants it.
    pub(crate) fn ask_avatar_metadata(&mut self, jid: BareJid, lookup: Option<Lookup>, step: &mut Step<'_>) {
        let to = Some(Jid::from(jid.clone()));
        let query = pep::items_query(METADATA_NODE, None);
        let known = self.people.person(&jid).map(Person::avatar_known).unwrap_or_default();
        self.ask_for(lookup, to, query, Request::AvatarMetadata { jid, known }, step);
    }

    /// Returns why it is still unknown whether there is an avatar.
    pub(crate) fn handle_avatar_metadata_result(
        &mut self,
        jid: &BareJid,
        known: Declared<ImageId>,
        outcome: Outcome,
        step: &mut Step<'_>,
    ) -> Option<Failure> {
        let metadata = match outcome {
            Ok(payload) => match pep::answered_item(payload.as_ref(), METADATA_NODE) {
                Some(item) => read_metadata(&item),
                None => Some(Announced::Nothing),
            },
            // No such node, or not for us: the same as no avatar. Time-outs say nothing.
            Err(failure) if failure.tells_of_absence() => Some(Announced::Nothing),
            Err(failure) => return Some(failure),
        };
        let person = self.people.person(jid)?;
        // An event that arrived in the meantime is newer.
        let is_news = person.avatar_known() == known;
        // The picture of an old vCard does not come from this node.
        let is_of_vcard = person.is_legacy() && metadata == Some(Announced::Nothing);
        if let Some(metadata) = metadata.filter(|_| is_news && !is_of_vcard) {
            let awaited = self.waiting.is_awaited(&Awaited::Avatar(jid.clone()));
            self.note_avatar(jid, metadata, awaited, step);
        }
        None
    }

    /// §3.1, or §3.3 to remove it.
    pub(crate) fn handle_set_avatar(&mut self, call: Call, images: Vec<Vec<u8>>, step: &mut Step<'_>) {
        if !self.connection.is_online() {
            return step.reply(call, Err(Failure::Offline));
        }
        if images.is_empty() {
            if self.wait(call, Awaited::Outcome(call), step) {
                self.publish_metadata(call, None, step);
            }
            return;
        }
        let limit = step.stanza_limit;
        let Some(data) = images.into_iter().find(|image| image.len() <= picture_bytes(limit)) else {
            return step.reply(call, Err(Failure::TooLarge { limit }));
        };
        let id = ImageId(Sha1::digest(&data).into());
        let info = match image::inspect(&data, id) {
            Ok(info) => info,
            Err(failure) => return step.reply(call, Err(failure)),
        };
        if self.wait(call, Awaited::Outcome(call), step) {
            let payload = pep::publish(ns::AVATAR_DATA, &id.to_string(), Data { data: data.clone() }.into());
            // Ours need not be fetched when its metadata arrives.
            self.images.claim(id, self.account.clone());
            let _ = self.keep_image(id, data, step);
            let request = Request::PublishAvatar { call, id: Some(id), part: AvatarPart::Data(info) };
            self.ask(None, payload, request, step);
        }
    }

    fn publish_metadata(&mut self, call: Call, image: Option<(ImageId, ImageInfo)>, step: &mut Step<'_>) {
        let infos = image.and_then(|(id, info)| {
            Some(Info {
                bytes: info.bytes,
                width: Some(info.width),
                height: Some(info.height),
                id: id.to_string().parse().ok()?,
                type_: info.kind.media_type().to_owned(),
                url: None,
            })
        });
        let id = image.map(|(id, _)| id);
        let item = id.map_or_else(|| "current".to_owned(), |id| id.to_string());
        let payload =
            pep::publish(METADATA_NODE, &item, Metadata { infos: infos.into_iter().collect() }.into());
        self.ask(None, payload, Request::PublishAvatar { call, id, part: AvatarPart::Metadata }, step);
    }

    pub(crate) fn handle_avatar_published(
        &mut self,
        call: Call,
        id: Option<ImageId>,
        part: AvatarPart,
        outcome: Outcome,
        step: &mut Step<'_>,
    ) {
        match (outcome, part, id) {
            (Ok(_), AvatarPart::Data(info), Some(id)) => self.publish_metadata(call, Some((id, info)), step),
            (outcome, ..) => {
                let result = outcome.map(|_| Answer::Published(id));
                self.answer_waiting(&Awaited::Outcome(call), &result, step);
            }
        }
    }
}
