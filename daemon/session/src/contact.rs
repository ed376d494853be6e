//! Everything known about a contact, merged from roster, presence, avatar and profile.

use std::collections::BTreeSet;
use std::sync::Arc;

use jid::{BareJid, FullJid};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::failure::Failure;
use crate::snapshot::{CapsRecord, ImageId, ImageType};
use crate::time::Timestamp;
use crate::xml::{fitting, some_text};

/// A roster item and everything known about its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Their bare JID.
    pub jid: BareJid,
    /// The name to show: roster name, else profile nickname or full name, else the JID's local part.
    pub name: String,
    /// The name that we gave the contact.
    pub roster_name: Option<String>,
    /// The groups that we put the contact in.
    pub groups: Arc<BTreeSet<String>>,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// We requested their presence, and have no answer yet.
    pub ask: bool,
    /// We approved their request in advance.
    pub approved: bool,
    /// That of the best resource.
    pub availability: Availability,
    /// That of the best resource.
    pub status: Option<String>,
    /// Resources that are online, best first.
    pub resources: Vec<Resource>,
    /// If unavailable: when they were last known to be available.
    pub last_seen: Option<Timestamp>,
    /// Their name or JID looks like somebody else's, and is a different one.
    pub look_alike: bool,
    /// The picture, once it is saved.
    pub avatar: Option<Avatar>,
    /// The vCard.
    pub profile: Option<Arc<Profile>>,
}

/// Our own state.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Our bare JID.
    pub account: BareJid,
    /// Our full JID, while bound.
    pub jid: Option<FullJid>,
    /// The state of the session.
    pub state: ConnectionState,
    /// When this state began.
    pub since: Timestamp,
    /// When the server was last heard from.
    pub last_stanza_at: Option<Timestamp>,
    /// When the next attempt to connect is due.
    pub retry_at: Option<Timestamp>,
    /// Why it failed, or why the last attempt did.
    pub failure: Option<Failure>,
    /// As last set by `set_presence`.
    pub availability: Availability,
    /// As last set by `set_presence`.
    pub status: Option<String>,
    /// Our vCard.
    pub profile: Option<Arc<Profile>>,
    /// Our picture, once it is saved.
    pub avatar: Option<Avatar>,
    /// Our other devices that are online, best first.
    pub resources: Vec<Resource>,
    /// The server's roster exceeds [`bounds::ROSTER_CONTACTS`] or [`bounds::ROSTER_BYTES`]: some contacts are left
    /// out.
    pub roster_truncated: bool,
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Connecting, or waiting for the next attempt.
    Connecting,
    /// Bound.
    Online,
    /// The connection is lost, and the stream may yet resume.
    Suspended,
    /// Down because a user asked for it.
    Offline,
    /// Down until a user acts.
    Failed,
}

/// One connected device of a contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The JID's resource part; empty for the bare JID, which gateways use.
    pub resource: String,
    /// Never [`Availability::Unavailable`].
    pub availability: Availability,
    /// Status text.
    pub status: Option<String>,
    /// RFC 6121 §4.7.2.3.
    pub priority: i8,
    /// When this presence arrived, or was sent if the server says so (XEP-0203).
    pub since: Timestamp,
    /// Idle since (XEP-0319).
    pub idle_since: Option<Timestamp>,
    /// The program and its features, if announced (XEP-0115).
    pub client: Option<Arc<CapsRecord>>,
}

/// A saved picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avatar {
    /// The SHA-1 of its bytes.
    pub id: ImageId,
    /// By its magic bytes.
    pub kind: ImageType,
    /// In bytes.
    pub bytes: u32,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// Who sees whose presence (RFC 6121 §2.1.2.5), from our point of view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subscription {
    /// Nobody.
    #[default]
    None,
    /// We see theirs.
    To,
    /// They see ours.
    From,
    /// Both.
    Both,
}

/// Availability (RFC 6121 §4.7.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    /// Wants to talk.
    Chat,
    /// Available.
    #[default]
    Available,
    /// Away for a moment.
    Away,
    /// Away for longer.
    Xa,
    /// Does not want to be disturbed.
    Dnd,
    /// Unavailable.
    Unavailable,
}

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
