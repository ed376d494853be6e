//! Keeps contacts and accounts small in rosters, lists and events, whatever their devices, servers and profiles say:
//! a UI may hold thousands, and the event log must have room for everybody's.
//!
//! Text written by others is cut first, ours last. JIDs, resources and groups are never shortened, since part of one
//! would name something else: they are kept whole or left out.

use std::io::{self, Write};

use prosed_protocol::{Account, Contact, ProfileSummary, Resource, SubscriptionRequested};
use serde::Serialize;

/// The end of a shortened text.
const MARK: char = '…';

/// How much is shown. Texts in characters, including the mark.
struct Level {
    devices: usize,
    groups: usize,
    /// Of a status.
    status: usize,
    /// Of a profile's texts, and of a device's description of its program.
    theirs: usize,
    /// Of a name.
    names: usize,
}

/// The first applies to everybody, and nearly everybody fits. A test shows that everybody fits the last.
const LEVELS: [Level; 8] = [
    Level { devices: 4, groups: 100, status: 1_000, theirs: 256, names: 256 },
    Level { devices: 4, groups: 100, status: 256, theirs: 128, names: 256 },
    Level { devices: 4, groups: 100, status: 128, theirs: 64, names: 256 },
    Level { devices: 2, groups: 100, status: 64, theirs: 32, names: 256 },
    Level { devices: 1, groups: 32, status: 64, theirs: 32, names: 128 },
    Level { devices: 0, groups: 16, status: 32, theirs: 16, names: 64 },
    Level { devices: 0, groups: 4, status: 0, theirs: 0, names: 32 },
    Level { devices: 0, groups: 0, status: 0, theirs: 0, names: 16 },
];

/// Cuts what does not fit into [`Contact::MAX_BYTES`], and marks the contact.
pub(super) fn contact(contact: &mut Contact) {
    for level in &LEVELS {
        contact.truncated |= level.cut_contact(contact);
        if contact_bound(contact) <= Contact::MAX_BYTES || json_bytes(contact) <= Contact::MAX_BYTES {
            return;
        }
    }
}

/// The same for an account and [`Account::MAX_BYTES`]. Our own status is not cut: nobody else writes it.
pub(super) fn account(account: &mut Account) {
    for level in &LEVELS {
        account.truncated |= level.cut_others(&mut account.resources, &mut account.profile);
        if json_bytes(account) <= Account::MAX_BYTES {
            return;
        }
    }
}

/// A stranger's message in a request, for its event: strangers get the least room.
pub(super) fn request(words: &mut SubscriptionRequested) {
    for text in [&mut words.nick, &mut words.message].into_iter().flatten() {
        cut_text(text, LEVELS[0].theirs);
    }
}

/// A value's length as JSON, in bytes.
pub(super) fn json_bytes(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // Counting cannot fail, and the API has no maps with keys other than strings.
    drop(serde_json::to_writer(&mut counted, value));
    counted.0
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An upper bound of the contact's length as JSON. Nearly everybody is far below the limit, and this takes a tenth of
/// the time of writing it.
fn contact_bound(contact: &Contact) -> usize {
    /// In JSON, for one byte of text: `\u0001`.
    const ESCAPED: usize = 6;
    /// Field names, enum values, numbers, times, and the picture's path.
    const CONTACT: usize = 840;
    const RESOURCE: usize = 300;
    let some = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let resource = |resource: &Resource| {
        let client = resource.client.as_ref();
        let client =
            client.map_or(0, |client| some(&client.name) + client.category.len() + client.r#type.len());
        ESCAPED * (resource.resource.len() + some(&resource.status) + client) + RESOURCE
    };
    let profile = |profile: &ProfileSummary| {
        let ProfileSummary { full_name, nickname, organization, title } = profile;
        [full_name, nickname, organization, title].into_iter().map(some).sum()
    };
    let texts = contact.jid.len()
        + contact.name.len()
        + some(&contact.roster_name)
        + some(&contact.status)
        + contact.profile.as_ref().map_or(0, profile)
        + contact.groups.iter().map(|group| group.len() + 1).sum::<usize>();
    CONTACT + ESCAPED * texts + contact.resources.iter().map(resource).sum::<usize>()
}

impl Level {
    /// Whether there was anything to cut.
    fn cut_contact(&self, contact: &mut Contact) -> bool {
        let mut cut = self.cut_others(&mut contact.resources, &mut contact.profile);
        cut |= self.cut_status(&mut contact.status);
        cut |= contact.groups.len() > self.groups;
        contact.groups.truncate(self.groups);
        cut |= cut_text(&mut contact.name, self.names);
        cut | contact.roster_name.as_mut().is_some_and(|name| cut_text(name, self.names))
    }

    /// Text written by others.
    fn cut_others(&self, resources: &mut Vec<Resource>, profile: &mut Option<ProfileSummary>) -> bool {
        let mut cut = resources.len() > self.devices;
        resources.truncate(self.devices);
        for resource in resources {
            cut |= self.cut_status(&mut resource.status);
            if let Some(client) = &mut resource.client {
                cut |= client.name.as_mut().is_some_and(|name| cut_text(name, self.theirs));
                cut |=
                    cut_text(&mut client.category, self.theirs) | cut_text(&mut client.r#type, self.theirs);
            }
        }
        if self.theirs == 0 {
            return cut | profile.take().is_some();
        }
        if let Some(ProfileSummary { full_name, nickname, organization, title }) = profile {
            for text in [full_name, nickname, organization, title].into_iter().flatten() {
                cut |= cut_text(text, self.theirs);
            }
        }
        cut
    }

    fn cut_status(&self, status: &mut Option<String>) -> bool {
        if self.status == 0 {
            return status.take().is_some();
        }
        status.as_mut().is_some_and(|status| cut_text(status, self.status))
    }
}

/// Keeps at most this many characters, including the mark, but at least one; returns whether there were more.
fn cut_text(text: &mut String, most: usize) -> bool {
    // A character has at least one byte.
    if text.len() <= most || text.chars().nth(most).is_none() {
        return false;
    }
    let at = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    text.truncate(at);
    text.push(MARK);
    true
}

#[cfg(test)]
mod tests;
