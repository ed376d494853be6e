//! Profiles (vCards), their sources, and changes to them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::xml::{fitting, some_text};

/// A vCard (RFC 6350 by XEP-0292, or XEP-0054).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Whether it is within the bound for a contact's profile.
    pub(crate) fn is_bounded(&self) -> bool {
        *self == self.clone().bounded()
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The cache may come from a time with other bounds.
    pub(crate) fn bound(&mut self) {
        for profile in [&mut self.vcard4, &mut self.prose, &mut self.temp] {
            *profile = profile.take().map(|profile| match profile.is_bounded() {
                true => profile,
                false => Arc::new(Profile::clone(&profile).bounded()),
            });
        }
    }

    /// Their total size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let Self { vcard4, prose, temp } = self;
        let all = [vcard4, prose, temp].into_iter().flatten();
        all.map(|profile| size_of::<Profile>() + profile.bytes()).sum()
    }

    /// The profile to show: the standard node's, else the Prose clients', else the old vCard.
    pub(crate) fn best(&self) -> Option<&Arc<Profile>> {
        self.vcard4.as_ref().or(self.prose.as_ref()).or(self.temp.as_ref())
    }
}
