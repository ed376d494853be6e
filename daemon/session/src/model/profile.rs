//! Profiles (vCards), their sources, and changes to them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::xml::{fitting, some_text};

/// A vCard (RFC 6350 by XEP-0292, or XEP-0054).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RFC 6350's")]
pub struct Profile {
    pub full_name: Option<String>,
    pub nickname: Option<String>,
    pub organization: Option<String>,
    pub title: Option<String>,
    pub role: Option<String>,
    pub emails: Vec<String>,
    pub phones: Vec<String>,
    pub urls: Vec<String>,
    pub address: Option<Address>,
    pub birthday: Option<String>,
    pub note: Option<String>,
}

impl Profile {
    /// How many bytes its texts have.
    pub(crate) fn bytes(&self) -> usize {
        let Self { full_name, nickname, organization, title, role, birthday, note, address, .. } = self;
        let address = address.iter().flat_map(|address| {
            let Address { street, locality, region, postal_code, country } = address;
            [street, locality, region, postal_code, country]
        });
        let single = [full_name, nickname, organization, title, role, birthday, note];
        let lists = [&self.emails, &self.phones, &self.urls];
        single.into_iter().chain(address).flatten().map(String::len).sum::<usize>()
            + lists.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// As much of it as fits into [`bounds::PROFILE_BYTES`]: the rest is left out, and a note is shortened.
    pub(crate) fn bounded(mut self) -> Self {
        let mut room = bounds::PROFILE_BYTES;
        let mut fits = |text: &String| {
            let left = room.checked_sub(size_of::<String>() + text.len());
            room = left.unwrap_or(room);
            left.is_some()
        };
        let mut address = self.address.unwrap_or_default();
        for text in [
            &mut self.full_name,
            &mut self.nickname,
            &mut self.organization,
            &mut self.title,
            &mut self.role,
            &mut self.birthday,
            &mut address.street,
            &mut address.locality,
            &mut address.region,
            &mut address.postal_code,
            &mut address.country,
        ] {
            text.take_if(|text| !fits(text));
        }
        for list in [&mut self.emails, &mut self.phones, &mut self.urls] {
            list.retain(&mut fits);
            list.shrink_to_fit();
        }
        self.address = (address != Address::default()).then_some(address);
        self.note = self.note.and_then(|note| some_text(fitting(&note, room), bounds::TEXT_CHARS));
        self
    }
}

/// What happens to one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Left unchanged.
    #[default]
    Keep,
    /// Removed.
    Remove,
    /// Set to this.
    Set(T),
}

/// Changes to a [`Profile`]. An empty list removes the field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are RFC 6350's")]
pub struct ProfilePatch {
    pub full_name: Change<String>,
    pub nickname: Change<String>,
    pub organization: Change<String>,
    pub title: Change<String>,
    pub role: Change<String>,
    pub emails: Change<Vec<String>>,
    pub phones: Change<Vec<String>>,
    pub urls: Change<Vec<String>>,
    pub address: Change<AddressPatch>,
    pub birthday: Change<String>,
    pub note: Change<String>,
}

/// Changes to an [`Address`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are RFC 6350's")]
pub struct AddressPatch {
    pub street: Change<String>,
    pub locality: Change<String>,
    pub region: Change<String>,
    pub postal_code: Change<String>,
    pub country: Change<String>,
}

impl From<Option<String>> for Change<String> {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Remove, Self::Set)
    }
}

/// Sets the whole profile.
impl From<Profile> for ProfilePatch {
    fn from(profile: Profile) -> Self {
        Self {
            full_name: profile.full_name.into(),
            nickname: profile.nickname.into(),
            organization: profile.organization.into(),
            title: profile.title.into(),
            role: profile.role.into(),
            emails: Change::Set(profile.emails),
            phones: Change::Set(profile.phones),
            urls: Change::Set(profile.urls),
            address: profile.address.map_or(Change::Remove, |address| {
                Change::Set(AddressPatch {
                    street: address.street.into(),
                    locality: address.locality.into(),
                    region: address.region.into(),
                    postal_code: address.postal_code.into(),
                    country: address.country.into(),
                })
            }),
            birthday: profile.birthday.into(),
            note: profile.note.into(),
        }
    }
}

/// A postal address (RFC 6350 §6.3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RFC 6350's")]
pub struct Address {
    pub street: Option<String>,
    pub locality: Option<String>,
    pub region: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

/// Profiles by source, kept apart so that a late event on a less preferred node overwrites nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// From `urn:xmpp:vcard4` (XEP-0292); takes precedence.
    pub vcard4: Option<Arc<Profile>>,
    /// From `urn:ietf:params:xml:ns:vcard-4.0`, the node of the Prose clients.
    pub prose: Option<Arc<Profile>>,
    /// From vcard-temp (XEP-0054), if there is neither.
    pub temp: Option<Arc<Profile>>,
}

impl ProfileRecord {
    /// Makes these changes.
    pub fn update(&mut self, update: &ProfileUpdate) {
        let ProfileUpdate { vcard4, prose, temp } = update;
        for (known, change) in [(&mut self.vcard4, vcard4), (&mut self.prose, prose), (&mut self.temp, temp)]
        {
            match change {
                Change::Keep => {}
                Change::Remove => *known = None,
                Change::Set(profile) => *known = Some(Arc::clone(profile)),
            }
        }
    }
}

/// Changes to a [`ProfileRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in the record")]
pub struct ProfileUpdate {
    pub vcard4: Change<Arc<Profile>>,
    pub prose: Change<Arc<Profile>>,
    pub temp: Change<Arc<Profile>>,
}

impl ProfileUpdate {
    /// How many bytes their texts have.
    pub(crate) fn bytes(&self) -> usize {
        let Self { vcard4, prose, temp } = self;
        let bytes = |change: &Change<Arc<Profile>>| match change {
            Change::Keep | Change::Remove => 0,
            Change::Set(profile) => profile.bytes(),
        };
        [vcard4, prose, temp].into_iter().map(bytes).sum()
    }
}

/// The part of a [`Profile`] that is shown with a contact or an account. Two are equal only if the whole profiles are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are RFC 6350's")]
pub struct ProfileSummary {
    pub full_name: Option<String>,
    pub nickname: Option<String>,
    pub organization: Option<String>,
    pub title: Option<String>,
    /// The whole profile's hash, with a seed that peers don't know.
    hash: u64,
    /// How many bytes the whole profile's texts have.
    whole_bytes: u32,
}

impl ProfileSummary {
    /// `seed` must be unpredictable to peers, who could otherwise construct profiles with equal hashes.
    pub(crate) fn of(profile: &Profile, seed: u64) -> Self {
        Self {
            full_name: profile.full_name.clone(),
            nickname: profile.nickname.clone(),
            organization: profile.organization.clone(),
            title: profile.title.clone(),
            hash: hash(profile, seed),
            whole_bytes: u32::try_from(profile.bytes()).unwrap_or(u32::MAX),
        }
    }

    /// Whether it is the summary of this profile.
    pub(crate) fn is_of(&self, profile: &Profile, seed: u64) -> bool {
        self.hash == hash(profile, seed)
    }

    /// As much of it as a contact may keep in memory: what does not fit into [`bounds::SUMMARY_BYTES`] is cut.
    pub(crate) fn bounded(mut self) -> Self {
        let mut room = bounds::SUMMARY_BYTES;
        for text in [&mut self.nickname, &mut self.full_name, &mut self.organization, &mut self.title] {
            if let Some(long) = text.take_if(|text| text.len() > room) {
                *text = some_text(fitting(&long, room), bounds::NAME_CHARS);
            }
            room -= text.as_ref().map_or(0, String::len);
        }
        self
    }

    /// The size of the whole profile on disk, in bytes.
    pub(crate) fn whole_bytes(&self) -> usize {
        self.whole_bytes as usize
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let Self { full_name, nickname, organization, title, hash: _, whole_bytes: _ } = self;
        let texts = [full_name, nickname, organization, title].into_iter().flatten();
        size_of::<Self>() + texts.map(String::len).sum::<usize>()
    }
}

fn hash(profile: &Profile, seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, profile).hash(&mut hasher);
    hasher.finish()
}
