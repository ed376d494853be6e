//! The daemon's answers as text for people. Every string of a peer goes through [`Table`] or
//! [`line`], which make it harmless.

use prosed_protocol::api::Version;
use prosed_protocol::{
    Account, ConnectionState, Contact, Event, EventPayload, Profile, Subscription, Warning,
};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::plain;

/// No cell of a table is wider, in columns: a long status shall not push the rest off the screen.
const MAX_CELL_COLUMNS: usize = 60;

pub(crate) fn logged_in(account: &Account) -> String {
    line(&match &account.jid {
        Some(jid) => format!("{} is {} as {jid}.", account.account, word(&account.state)),
        None => format!("{} is {}.", account.account, word(&account.state)),
    })
}

pub(crate) fn accounts(accounts: &[Account]) -> String {
    if accounts.is_empty() {
        return "No accounts yet: log in with `prosectl login JID`.\n".to_owned();
    }
    let mut table = Table::new(&["ACCOUNT", "STATE", "SINCE", "AVAILABILITY", "STATUS"]);
    for account in accounts {
        let status = match (&account.error, &account.status) {
            (Some(error), _) if account.state != ConnectionState::Online => error.message.clone(),
            (_, status) => status.clone().unwrap_or_default(),
        };
        table.row([
            account.account.clone(),
            word(&account.state),
            account.since.clone(),
            word(&account.availability),
            status,
        ]);
    }
    table.to_text()
}

pub(crate) fn roster(contacts: &[Contact]) -> String {
    if contacts.is_empty() {
        return "No contacts.\n".to_owned();
    }
    let mut table = Table::new(&["JID", "NAME", "AVAILABILITY", "STATUS", "SUBSCRIPTION"]);
    for contact in contacts {
        table.row([
            format!("{}{}", contact.jid, warnings(&contact.warnings)),
            contact.name.clone(),
            word(&contact.availability),
            contact.status.clone().unwrap_or_default(),
            subscription(contact),
        ]);
    }
    table.to_text()
}

pub(crate) fn contact(contact: &Contact) -> String {
    let mut table = Table::new(&[]).wide();
    let mut tell = |what: &str, text: String| {
        if !text.is_empty() {
            table.row([what.to_owned(), text]);
        }
    };
    tell("jid", format!("{}{}", contact.jid, warnings(&contact.warnings)));
    tell("name", contact.name.clone());
    tell("groups", contact.groups.join(", "));
    tell("subscription", subscription(contact));
    tell("availability", word(&contact.availability));
    tell("status", contact.status.clone().unwrap_or_default());
    for resource in &contact.resources {
        let mut about = vec![word(&resource.availability)];
        about.extend(resource.status.clone());
        about.extend(resource.client.as_ref().map(|client| {
            format!("{} ({} {})", client.name.as_deref().unwrap_or("unnamed"), client.category, client.r#type)
        }));
        about.push(format!("priority {}", resource.priority));
        about.push(format!("since {}", resource.since));
        about.extend(resource.idle_since.as_ref().map(|since| format!("idle since {since}")));
        tell(&format!("resource {}", resource.resource), about.join(", "));
        tell("  features", resource.features.as_ref().map(|features| features.join(" ")).unwrap_or_default());
    }
    if let Some(avatar) = &contact.avatar {
        let size = format!("{} × {}, {} bytes", avatar.width, avatar.height, avatar.bytes);
        tell("avatar", format!("{} ({}, {size})", avatar.id, avatar.r#type));
    }
    for (what, text) in contact.profile.iter().flat_map(profile) {
        tell(what, text);
    }
    table.to_text()
}

fn profile(profile: &Profile) -> Vec<(&'static str, String)> {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let address = profile.address.as_ref().map(|address| {
        let parts =
            [&address.street, &address.postal_code, &address.locality, &address.region, &address.country];
        parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
    });
    vec![
        ("full name", given(&profile.full_name)),
        ("nickname", given(&profile.nickname)),
        ("organization", given(&profile.organization)),
        ("title", given(&profile.title)),
        ("role", given(&profile.role)),
        ("e-mail", profile.emails.join(", ")),
        ("phone", profile.phones.join(", ")),
        ("web", profile.urls.join(", ")),
        ("address", given(&address)),
        ("birthday", given(&profile.birthday)),
        ("note", given(&profile.note)),
    ]
}

/// One line an event, but a line for each contact.
pub(crate) fn event(event: &Event) -> String {
    let start = format!("{} #{} {}", event.time, event.seq, event.account);
    match &event.payload {
        EventPayload::ContactChanged(change) => {
            let changed = change.contacts.iter().map(|contact| {
                let name = if contact.name == contact.jid {
                    String::new()
                } else {
                    format!(" «{}»", contact.name)
                };
                let status = contact.status.as_ref().map(|status| format!(": {status}")).unwrap_or_default();
                let warnings = warnings(&contact.warnings);
                format!("{start}  {}{warnings}{name} is {}{status}", contact.jid, word(&contact.availability))
            });
            let removed = change.removed.iter().map(|jid| format!("{start}  {jid} is a contact no more"));
            changed.chain(removed).map(|text| line(&text)).collect()
        }
        EventPayload::AccountChanged(change) => match &change.info {
            Some(info) => {
                let error =
                    info.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
                line(&format!("{start}  is {}, {}{error}", word(&info.state), word(&info.availability)))
            }
            None => line(&format!("{start}  is an account no more")),
        },
        EventPayload::RosterLoaded(loaded) => {
            line(&format!("{start}  roster loaded, contacts that differ: {}", loaded.changed))
        }
        EventPayload::SubscriptionRequested(asked) => {
            let name = asked.nick.as_ref().map(|nick| format!(" ({nick})")).unwrap_or_default();
            let status = asked.status.as_ref().map(|status| format!(": {status}")).unwrap_or_default();
            line(&format!("{start}  {}{name} wants to see our presence{status}", asked.jid))
        }
        EventPayload::SubscriptionResolved(resolved) => {
            line(&format!("{start}  {} has an answer, or asks no more", resolved.jid))
        }
        EventPayload::Unknown => line(&format!("{start}  something newer than this prosectl: see --json")),
    }
}

pub(crate) fn version(daemon: &Version) -> String {
    line(&format!("prosectl {}", env!("CARGO_PKG_VERSION")))
        + &line(&format!("{} {} (API {})", daemon.name, daemon.version, daemon.api_level))
}

fn subscription(contact: &Contact) -> String {
    let ask = match (contact.subscription, contact.ask) {
        (Subscription::None | Subscription::From, true) => ", asked",
        _ => "",
    };
    format!("{}{ask}", word(&contact.subscription))
}

fn warnings(warnings: &[Warning]) -> String {
    let words: Vec<_> = warnings.iter().map(word).collect();
    if words.is_empty() { String::new() } else { format!(" [beware: {}]", words.join(", ")) }
}

/// An enumeration's word as it is on the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn line(text: &str) -> String {
    plain(text) + "\n"
}

struct Table {
    rows: Vec<Vec<String>>,
    max_columns: usize,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new(), max_columns: MAX_CELL_COLUMNS };
        if !head.is_empty() {
            table.row(head.iter().map(|&cell| cell.to_owned()));
        }
        table
    }

    fn wide(mut self) -> Self {
        self.max_columns = usize::MAX;
        self
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| shorten(plain(&cell), self.max_columns)).collect());
    }

    fn to_text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max())
            .map(Option::unwrap_or_default)
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn shorten(text: String, columns: usize) -> String {
    if text.width() <= columns {
        return text;
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= columns
    });
    kept.collect::<String>() + "…"
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
