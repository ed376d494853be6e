//! Events: one line each, or one line per contact.

use std::collections::HashMap;

use prosed_protocol::{Availability, Contact, ContactChanged, Event, EventPayload};

use super::accounts::{shown_availability, state};
use super::contacts::subscription;
use super::{availability, jid, time};
use crate::table::{BAD, Cell, FAINT, Look, line};

/// The last known state of each contact, by account, so that a line can say what has changed.
#[derive(Default)]
pub(crate) struct Known(HashMap<String, HashMap<String, Contact>>);

impl Known {
    /// Takes the contacts of a roster.
    pub(crate) fn learn(&mut self, account: &str, contacts: Vec<Contact>) {
        let contacts = contacts.into_iter().map(|contact| (contact.jid.clone(), contact));
        self.0.entry(account.to_owned()).or_default().extend(contacts);
    }

    pub(crate) fn tell(&mut self, event: &Event, look: Look) -> String {
        let start = Cell::styled(format!("{} #{} {}  ", time(&event.time), event.seq, event.account), FAINT);
        let told = |cells: Vec<Cell>| line(std::iter::once(start.clone()).chain(cells), look);
        match &event.payload {
            EventPayload::ContactChanged(change) => {
                let known = self.0.entry(event.account.clone()).or_default();
                let mut text = String::new();
                if change.initial {
                    text.push_str(&told(vec![found(change).into()]));
                    known
                        .extend(change.contacts.iter().map(|contact| (contact.jid.clone(), contact.clone())));
                    return text;
                }
                for contact in &change.contacts {
                    let before = known.insert(contact.jid.clone(), contact.clone());
                    text.push_str(&told(changed(before.as_ref(), contact)));
                }
                for gone in &change.removed {
                    known.remove(gone);
                    text.push_str(&told(vec![gone.into(), " is no longer a contact".into()]));
                }
                text
            }
            EventPayload::AccountChanged(change) => match &change.info {
                Some(info) => {
                    let error = info.error.as_ref().map(|error| format!(": {}", error.message));
                    let mut cells = vec!["is ".into(), state(info.state)];
                    if let Some(availability) = shown_availability(info) {
                        cells.extend([", ".into(), availability]);
                    }
                    cells.push(Cell::styled(error.unwrap_or_default(), BAD));
                    told(cells)
                }
                None => {
                    self.0.remove(&event.account);
                    told(vec![if change.removed { "is forgotten" } else { "is no account" }.into()])
                }
            },
            EventPayload::RosterLoaded(loaded) => {
                told(vec![format!("roster loaded, contacts changed: {}", loaded.changed).into()])
            }
            EventPayload::SubscriptionRequested(asked) => {
                let name = asked.nick.as_ref().map(|nick| format!(" ({nick})")).unwrap_or_default();
                let message =
                    asked.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                let wish = format!("{name} wants to see our presence{message}");
                told(vec![jid(&asked.jid, &asked.warnings), wish.into()])
            }
            EventPayload::SubscriptionResolved(resolved) => {
                told(vec![format!("the request of {} is answered or withdrawn", resolved.jid).into()])
            }
            EventPayload::Unknown => {
                told(vec!["an event that is newer than this prosectl: see --json".into()])
            }
        }
    }
}

/// What a login found. It did not happen just now, so contacts are only counted.
fn found(change: &ContactChanged) -> String {
    let online = change.contacts.iter().filter(|contact| contact.availability != Availability::Unavailable);
    let online = online.count();
    match change.contacts.len() - online {
        0 => format!("contacts online at login: {online}"),
        gone => format!("contacts online at login: {online}, no longer online: {gone}"),
    }
}

/// A contact and what has changed. Their presence if they were unknown, or if nothing visible has changed.
fn changed(before: Option<&Contact>, now: &Contact) -> Vec<Cell> {
    let name = if now.name == now.jid { String::new() } else { format!(" «{}»", now.name) };
    let mut cells = vec![jid(&now.jid, &now.warnings), name.into()];
    let changes = before.map(|before| changes(before, now)).filter(|changes| !changes.is_empty());
    for (position, change) in changes.unwrap_or_else(|| vec![presence(now)]).into_iter().enumerate() {
        cells.push(if position == 0 { " " } else { "; " }.into());
        cells.extend(change);
    }
    cells
}

fn presence(contact: &Contact) -> Vec<Cell> {
    let status = contact.status.as_ref().map(|status| format!(": {status}")).unwrap_or_default();
    vec!["is ".into(), availability(contact.availability), status.into()]
}

/// Each change.
fn changes(before: &Contact, now: &Contact) -> Vec<Vec<Cell>> {
    let mut changes = Vec::new();
    if (before.availability, &before.status) != (now.availability, &now.status) {
        changes.push(presence(now));
    }
    let mut say = |text: String| changes.push(vec![text.into()]);
    if before.name != now.name {
        say(format!("was «{}»", before.name));
    }
    if before.avatar.as_ref().map(|avatar| &avatar.id) != now.avatar.as_ref().map(|avatar| &avatar.id) {
        say(if now.avatar.is_some() { "has a new picture" } else { "has no picture any more" }.to_owned());
    }
    if before.profile != now.profile {
        say(if now.profile.is_some() { "has a new profile" } else { "has no profile any more" }.to_owned());
    }
    if before.groups != now.groups {
        say(match now.groups.as_slice() {
            [] => "is in no group".to_owned(),
            groups => format!("is in {}", groups.join(", ")),
        });
    }
    if (before.subscription, before.ask) != (now.subscription, now.ask) {
        say(format!("subscription: {}", subscription(now)));
    }
    let devices = |contact: &Contact| -> Vec<_> {
        let resources = contact.resources.iter();
        resources.map(|resource| (resource.resource.clone(), resource.client.clone())).collect()
    };
    if changes.is_empty() && devices(before) != devices(now) {
        let names = now.resources.iter().map(|resource| {
            let name = resource.client.as_ref().and_then(|client| client.name.clone());
            name.unwrap_or_else(|| resource.resource.clone())
        });
        let names = names.collect::<Vec<_>>().join(" and ");
        changes.push(vec![format!("is on {}", if names.is_empty() { "nothing" } else { &names }).into()]);
    }
    changes
}
