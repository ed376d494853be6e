//! One person that we know, and their devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use jid::{BareJid, Jid};

use crate::known_profile::{KnownProfile, KnownProfiles};
use crate::lookalike::Looks;
use crate::model::{
    Availability, Avatar, AvatarRecord, CapsKey, CapsRecord, Contact, Declared, ImageId, PersonRecord,
    PersonUpdate, Profile, ProfileRecord, ProfileSummary, Resource, RosterItem,
};
use crate::time::Timestamp;

/// Everything known about one JID.
#[derive(Debug, Default)]
pub(crate) struct Person {
    /// Absent only for ourselves.
    pub(crate) item: Option<RosterItem>,
    /// By resource part; an empty one is the bare JID itself, which gateways use (XEP-0100 §4.4).
    pub(crate) online: BTreeMap<String, Online>,
    /// Their metadata.
    pub(crate) avatar: Declared<AvatarRecord>,
    /// The picture to show: the old one while a new one is being fetched.
    pub(crate) shown: Option<Avatar>,
    /// The picture's hash in their presence (XEP-0153), if there is one.
    pub(crate) photo: Option<ImageId>,
    pub(crate) profile: KnownProfiles,
    pub(crate) asked_at: Option<Timestamp>,
    /// The server has said, since we became available, that they or one of their devices are gone.
    pub(crate) has_left: bool,
    /// When they were last known to be available. Not updated while they are.
    pub(crate) last_seen: Option<Timestamp>,
    /// The looks of their JID and name at the last comparison, and whether somebody else looks the same.
    pub(crate) looks: Option<Looks>,
    pub(crate) look_alike: bool,
}

/// One available resource of somebody.
#[derive(Debug)]
pub(crate) struct Online {
    pub(crate) availability: Availability,
    pub(crate) status: Option<String>,
    pub(crate) priority: i8,
    pub(crate) since: Timestamp,
    pub(crate) idle_since: Option<Timestamp>,
    pub(crate) caps: Option<CapsKey>,
    /// The size of the hash, its node, and its meaning if that counts for this device only.
    pub(crate) caps_bytes: usize,
    /// It was queried for its hash, and could not explain it.
    pub(crate) is_clueless: bool,
    pub(crate) client: Option<Arc<CapsRecord>>,
    /// From an earlier stream, and not yet confirmed.
    pub(crate) stale: bool,
}

/// The device that a JID refers to, as in [`Person::online`].
pub(crate) fn resource(jid: &Jid) -> &str {
    jid.resource().map_or("", |resource| resource.as_str())
}

/// The JID of a device, or the bare JID of a gateway.
pub(crate) fn device(owner: &BareJid, resource: &str) -> Option<Jid> {
    match resource {
        "" => Some(owner.clone().into()),
        _ => owner.with_resource_str(resource).ok().map(Jid::from),
    }
}

impl Online {
    /// Its size in memory, for [`crate::bounds::ONLINE_BYTES`]. A device that shows an unknown hash is also stored by
    /// full JID.
    pub(crate) fn bytes(&self, owner: &BareJid, resource: &str) -> usize {
        let status = self.status.as_ref().map_or(0, String::len);
        size_of::<Self>() + owner.as_str().len() + 2 * resource.len() + status + self.caps_bytes
    }

    /// It shows another hash, or none; returns the previous one.
    pub(crate) fn forget_caps(&mut self) -> Option<CapsKey> {
        (self.client, self.caps_bytes, self.is_clueless) = (None, 0, false);
        self.caps.take()
    }

    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        (self.availability, self.priority, self.idle_since)
            == (other.availability, other.priority, other.idle_since)
            && self.status == other.status
    }
}

impl Person {
    pub(crate) fn from_record(record: PersonRecord, summary: impl Fn(&Profile) -> ProfileSummary) -> Self {
        let known = |whole: Option<Arc<Profile>>| KnownProfile::stored(whole.as_deref().map(&summary));
        let ProfileRecord { vcard4, prose, temp } = record.profile;
        let mut person = Self {
            avatar: record.avatar,
            profile: KnownProfiles { vcard4: known(vcard4), prose: known(prose), temp: known(temp) },
            asked_at: record.asked_at,
            ..Self::default()
        };
        person.show_avatar();
        person
    }

    pub(crate) fn update(&self) -> PersonUpdate {
        PersonUpdate { avatar: self.avatar.clone(), profile: self.profile.update(), asked_at: self.asked_at }
    }

    /// Which image is theirs, saved or not.
    pub(crate) fn avatar_id(&self) -> Option<ImageId> {
        self.avatar.present().map(|record| record.id)
    }

    /// What is known about their avatar: its image, or that there is none.
    pub(crate) fn avatar_known(&self) -> Declared<ImageId> {
        match self.avatar {
            Declared::Unknown => Declared::Unknown,
            Declared::Absent => Declared::Absent,
            Declared::Present(AvatarRecord { id, .. }) => Declared::Present(id),
        }
    }

    /// Their XEP-0084 picture, if it is not saved.
    pub(crate) fn wanted_avatar(&self) -> Option<ImageId> {
        match &self.avatar {
            Declared::Present(AvatarRecord { id, image: None, legacy: false, .. }) => Some(*id),
            _ => None,
        }
    }

    /// The size of all their devices.
    pub(crate) fn online_bytes(&self, owner: &BareJid) -> usize {
        self.online.iter().map(|(resource, online)| online.bytes(owner, resource)).sum()
    }

    /// Whether their picture is the old vCard's (XEP-0153).
    pub(crate) fn is_legacy(&self) -> bool {
        matches!(self.avatar, Declared::Present(AvatarRecord { legacy: true, .. }))
    }

    /// Shows the picture that the metadata names, if it is saved; removes it if there is none.
    pub(crate) fn show_avatar(&mut self) {
        match &self.avatar {
            Declared::Present(AvatarRecord { id, image: Some(image), .. }) => {
                let (kind, bytes) = (image.kind, image.bytes);
                self.shown = Some(Avatar { id: *id, kind, bytes, width: image.width, height: image.height });
            }
            Declared::Present(_) => {}
            Declared::Absent | Declared::Unknown => self.shown = None,
        }
    }

    /// Best first: highest priority, then the most inviting availability, then the newest.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let mut resources: Vec<Resource> = self
            .online
            .iter()
            .map(|(resource, online)| Resource {
                resource: resource.clone(),
                availability: online.availability,
                status: online.status.clone(),
                priority: online.priority,
                since: online.since,
                idle_since: online.idle_since,
                client: online.client.clone(),
            })
            .collect();
        resources.sort_by_key(|r| {
            (std::cmp::Reverse(r.priority), rank(r.availability), std::cmp::Reverse(r.since))
        });
        resources
    }

    pub(crate) fn contact(&self) -> Option<Contact> {
        let item = self.item.as_ref()?;
        let profile = self.profile.summary();
        let resources = self.resources();
        let best = resources.first();
        Some(Contact {
            jid: item.jid.clone(),
            name: name(item, profile.map(Arc::as_ref)),
            roster_name: item.name.clone(),
            groups: item.groups.clone(),
            subscription: item.subscription,
            ask: item.ask,
            approved: item.approved,
            availability: best.map_or(Availability::Unavailable, |best| best.availability),
            status: best.and_then(|best| best.status.clone()),
            avatar: self.shown,
            profile: profile.cloned(),
            look_alike: self.look_alike,
            last_seen: self.last_seen.filter(|_| resources.is_empty()),
            resources,
        })
    }

    pub(crate) fn name(&self) -> Option<String> {
        Some(name(self.item.as_ref()?, self.profile.summary().map(Arc::as_ref)))
    }
}

fn name(item: &RosterItem, profile: Option<&ProfileSummary>) -> String {
    let from_profile =
        || profile.and_then(|profile| profile.nickname.clone().or_else(|| profile.full_name.clone()));
    let from_jid = || item.jid.node().map_or_else(|| item.jid.to_string(), |node| node.to_string());
    item.name.clone().or_else(from_profile).unwrap_or_else(from_jid)
}

fn rank(availability: Availability) -> u8 {
    match availability {
        Availability::Chat => 0,
        Availability::Available => 1,
        Availability::Away => 2,
        Availability::Xa => 3,
        Availability::Dnd => 4,
        Availability::Unavailable => 5,
    }
}
