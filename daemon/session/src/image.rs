//! Pictures of contacts: which are wanted, which may be stored, which are on disk. Shared by every source of
//! pictures.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jid::BareJid;
use sha1::{Digest, Sha1};

use crate::command::Answer;
use crate::effect::{StoreFailed, Ticket, Write};
use crate::failure::Failure;
use crate::model::{AvatarRecord, Declared, ImageId, ImageInfo, PersonRecord};
use crate::person::Person;
use crate::waiting::Awaited;
use crate::{Session, Step, bounds};

mod canvas;
mod format;
mod gif;
mod jpeg;
mod png;
mod webp;

/// The picture that a contact's metadata names, and the one shown: the old one until the new one is saved.
type Held = [Option<ImageId>; 2];

fn held(person: &Person) -> Held {
    [person.avatar_id(), person.shown.map(|shown| shown.id)]
}

#[derive(Default)]
pub(crate) struct Images {
    /// On disk.
    known: BTreeMap<ImageId, ImageInfo>,
    /// Which picture each contact's metadata names, saved or not, or is still shown. Pairs, since most pictures have
    /// one owner.
    held: BTreeSet<(ImageId, Option<BareJid>)>,
    saving: BTreeMap<Ticket, Saving>,
    /// On disk, or being written, and no longer used.
    unused: BTreeSet<ImageId>,
}

/// A picture on its way to the disk. It gets there even if its stream ends.
pub(crate) struct Saving {
    id: ImageId,
    info: ImageInfo,
    /// The contacts whose picture it is.
    wanted: BTreeSet<BareJid>,
}

#[derive(Default)]
pub(crate) struct PerStream {
    /// Contacts whose pictures are in flight, or waiting to be requested.
    wanted: BTreeMap<ImageId, BTreeSet<BareJid>>,
    /// Contacts being queried for XEP-0084 pictures.
    asked: BTreeMap<ImageId, Vec<BareJid>>,
}

impl PerStream {
    /// The contents of all its maps.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let wanted: usize = self.wanted.values().map(BTreeSet::len).sum();
        let asked: usize = self.asked.values().map(Vec::len).sum();
        wanted + asked
    }

    /// An owner has been queried for it.
    pub(crate) fn asked(&mut self, id: ImageId, owner: BareJid) {
        self.asked.entry(id).or_default().push(owner);
    }

    /// An owner has answered, or never will.
    pub(crate) fn answered(&mut self, id: &ImageId, owner: &BareJid) {
        if let Some(asked) = self.asked.get_mut(id) {
            asked.retain(|other| other != owner);
            if asked.is_empty() {
                self.asked.remove(id);
            }
        }
    }
}

impl Images {
    pub(crate) fn known(people: &[(BareJid, PersonRecord)]) -> Self {
        let records = people.iter().filter_map(|(owner, person)| Some((owner, person.avatar.present()?)));
        Self {
            known: records.clone().filter_map(|(_, record)| Some((record.id, record.image?))).collect(),
            held: records.map(|(owner, record)| (record.id, Some(owner.clone()))).collect(),
            ..Self::default()
        }
    }

    /// The contents of all its maps.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let saving: usize = self.saving.values().map(|saving| 1 + saving.wanted.len()).sum();
        self.known.len() + self.held.len() + saving + self.unused.len()
    }

    /// The owners of this picture, by JID.
    fn holders(&self, id: ImageId) -> impl Iterator<Item = &BareJid> {
        let pairs = self.held.range((id, None)..).take_while(move |(held, _)| *held == id);
        pairs.filter_map(|(_, owner)| owner.as_ref())
    }

    /// A contact has these pictures and no others.
    fn hold(&mut self, owner: &BareJid, before: Held, after: Held) {
        for id in after.iter().flatten() {
            self.held.insert((*id, Some(owner.clone())));
        }
        for id in before.into_iter().flatten().filter(|id| !after.contains(&Some(*id))) {
            if self.held.remove(&(id, Some(owner.clone()))) && self.holders(id).next().is_none() {
                // If it is used again, whether it is still on disk is checked first.
                let was_known = self.known.remove(&id).is_some();
                if was_known || self.is_saving(&id) {
                    self.unused.insert(id);
                }
            }
        }
    }

    /// What the cache may drop: call it after writing the records that named them. The next start removes what a
    /// crash leaves in between.
    pub(crate) fn take_unused(&mut self) -> Vec<ImageId> {
        // One may be in use again.
        std::mem::take(&mut self.unused).into_iter().filter(|id| !self.is_held(*id)).collect()
    }

    /// A picture that we are about to publish: it is ours before our metadata says so.
    pub(crate) fn claim(&mut self, id: ImageId, owner: BareJid) {
        self.held.insert((id, Some(owner)));
    }

    pub(crate) fn info(&self, id: &ImageId) -> Option<ImageInfo> {
        self.known.get(id).copied()
    }

    /// Whether anybody uses this picture, saved or not.
    pub(crate) fn is_held(&self, id: ImageId) -> bool {
        self.holders(id).next().is_some()
    }

    fn is_saving(&self, id: &ImageId) -> bool {
        self.saving.values().any(|saving| saving.id == *id)
    }

    /// How many are being written to disk.
    pub(crate) fn saving(&self) -> usize {
        self.saving.len()
    }

    pub(crate) fn take_saved(&mut self, ticket: Ticket) -> Option<Saving> {
        self.saving.remove(&ticket)
    }
}

/// Cached metadata of images whose files are gone is wrong.
pub(crate) fn forget_lost(people: &mut [(BareJid, PersonRecord)], on_disk: &HashSet<ImageId>) {
    for record in people.iter_mut().filter_map(|(_, person)| person.avatar.present_mut()) {
        if !on_disk.contains(&record.id) {
            record.image = None;
        }
    }
}

/// Checks whether the bytes match the id, and are an image that we accept.
pub(crate) fn inspect(data: &[u8], id: ImageId) -> Result<ImageInfo, Failure> {
    let invalid = |text: &str| Failure::InvalidMedia { text: text.to_owned() };
    if data.len() > bounds::AVATAR_BYTES {
        return Err(invalid("larger than 1 MiB"));
    }
    if Sha1::digest(data)[..] != id.0 {
        return Err(invalid("its SHA-1 is not its id"));
    }
    let (kind, canvas) = format::read(data).map_err(invalid)?;
    let side = |pixels: usize| u16::try_from(pixels).unwrap_or(u16::MAX);
    let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
    Ok(ImageInfo { kind, bytes, width: side(canvas.width), height: side(canvas.height) })
}

impl Session {
    /// The contacts who want it: those whose picture is being written, else those on this stream.
    fn wanting_image(&mut self, id: ImageId) -> Option<&mut BTreeSet<BareJid>> {
        let saving = self.images.saving.values_mut().find(|saving| saving.id == id);
        saving.map(|saving| &mut saving.wanted).or_else(|| self.stream.images.wanted.get_mut(&id))
    }

    /// Notes a contact whose picture is wanted.
    pub(crate) fn want_image(&mut self, id: ImageId, owner: BareJid) {
        match self.wanting_image(id) {
            Some(owners) => drop(owners.insert(owner)),
            None => drop(self.stream.images.wanted.insert(id, BTreeSet::from([owner]))),
        }
    }

    pub(crate) fn is_image_wanted(&self, id: &ImageId, owner: &BareJid) -> bool {
        self.image_wanted_by(id).is_some_and(|owners| owners.contains(owner))
    }

    /// The contacts whose picture it is, and who want it.
    pub(crate) fn image_wanted_by(&self, id: &ImageId) -> Option<&BTreeSet<BareJid>> {
        let saving = self.images.saving.values().find(|saving| saving.id == *id);
        saving.map(|saving| &saving.wanted).or_else(|| self.stream.images.wanted.get(id))
    }

    /// This owner cannot provide it.
    pub(crate) fn give_image_up(&mut self, id: &ImageId, owner: &BareJid) {
        if let Some(owners) = self.wanting_image(*id) {
            owners.remove(owner);
            if owners.is_empty() {
                self.stream.images.wanted.remove(id);
            }
        }
    }

    /// Whether this owner has been queried for it, or it is already being written.
    pub(crate) fn is_image_coming_from(&self, id: &ImageId, owner: &BareJid) -> bool {
        self.stream.images.asked.get(id).is_some_and(|asked| asked.contains(owner))
            || self.images.is_saving(id)
    }

    /// Whether any owner has been queried for it, or it is already being written.
    pub(crate) fn is_image_coming(&self, id: &ImageId) -> bool {
        self.stream.images.asked.contains_key(id) || self.images.is_saving(id)
    }

    /// Saves a picture if it is wanted.
    pub(crate) fn keep_image(
        &mut self,
        id: ImageId,
        data: Vec<u8>,
        step: &mut Step<'_>,
    ) -> Result<(), Failure> {
        let info = inspect(&data, id)?;
        if self.images.is_saving(&id) {
            return Ok(());
        }
        let ticket = step.save(Write::Image { id, kind: info.kind, data });
        let wanted = self.stream.images.wanted.remove(&id).unwrap_or_default();
        self.images.saving.insert(ticket, Saving { id, info, wanted });
        Ok(())
    }

    /// If the picture is on disk, UIs may show it now.
    pub(crate) fn handle_image_saved(
        &mut self,
        Saving { id, info, .. }: Saving,
        saved: Result<(), StoreFailed>,
        step: &mut Step<'_>,
    ) {
        // No longer used, so it may be removed at any time.
        if saved.is_ok() && self.images.holders(id).next().is_some() {
            self.images.known.insert(id, info);
        }
        // All its owners, not only those queried for it, but none who have replaced it in the meantime.
        for owner in self.images.holders(id).cloned().collect::<Vec<_>>() {
            if self.people.person(&owner).is_none_or(|person| person.avatar_id() != Some(id)) {
                continue;
            }
            let result = match saved {
                Ok(()) => self.show_image(&owner, id, info),
                Err(StoreFailed) => Err(Failure::StorageFailed),
            };
            self.answer_waiting(&Awaited::Avatar(owner), &result, step);
        }
    }

    fn show_image(&mut self, owner: &BareJid, id: ImageId, info: ImageInfo) -> Result<Answer, Failure> {
        let person = self.people.edit(owner).ok_or(Failure::ContactUnknown)?;
        let before = held(person);
        match &mut person.avatar {
            Declared::Present(record) if record.id == id => record.image = Some(info),
            _ => return Err(Failure::NotFound),
        }
        person.show_avatar();
        let (shown, after) = (person.shown.ok_or(Failure::NotFound)?, held(person));
        self.people.save(owner);
        self.images.hold(owner, before, after);
        Ok(Answer::Avatar(shown))
    }

    /// From now on a contact's picture has this id, and the previous one is no longer wanted. Returns whether it must
    /// be fetched, which is up to the caller.
    pub(crate) fn assign_image(&mut self, owner: &BareJid, record: AvatarRecord) -> bool {
        let id = record.id;
        let image = self.images.info(&id);
        let record = Declared::Present(AvatarRecord { image, ..record });
        let Some(known) = self.people.person(owner) else { return false };
        // A login tells mostly what is known; only what is new makes work.
        if known.avatar != record
            && let Some(person) = self.people.edit(owner)
        {
            let before = held(person);
            person.avatar = record;
            person.show_avatar();
            let after = held(person);
            self.people.save(owner);
            self.want_no_more(owner, before, Some(id));
            self.images.hold(owner, before, after);
        }
        if image.is_none() {
            self.want_image(id, owner.clone());
        }
        image.is_none()
    }

    /// If a contact keeps changing their picture, only the newest is wanted.
    fn want_no_more(&mut self, owner: &BareJid, before: Held, now: Option<ImageId>) {
        for id in before.into_iter().flatten().filter(|id| Some(*id) != now) {
            self.give_image_up(&id, owner);
            // This contact may have been the one to query for all the others.
            if !self.is_image_coming(&id) {
                self.fetch_from_another(id);
            }
        }
    }

    /// A contact has no picture, or no longer has one.
    pub(crate) fn assign_no_image(&mut self, owner: &BareJid) {
        if self.people.person(owner).is_some_and(|person| person.avatar != Declared::Absent)
            && let Some(person) = self.people.edit(owner)
        {
            let before = held(person);
            person.avatar = Declared::Absent;
            person.show_avatar();
            self.people.save(owner);
            self.want_no_more(owner, before, None);
            self.images.hold(owner, before, Held::default());
        }
    }

    /// A contact has left the roster, with their pictures.
    pub(crate) fn let_images_go(&mut self, owner: &BareJid, person: &Person) {
        self.want_no_more(owner, held(person), None);
        self.images.hold(owner, held(person), Held::default());
    }
}
