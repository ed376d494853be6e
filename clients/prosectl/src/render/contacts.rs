//! Contacts, subscription requests, pictures and profiles.

use prosed_protocol::{
    Avatar, Contact, GroupRenamed, Profile, ProfileSummary, PublishedAvatar, Resource, Subscription,
    SubscriptionRequest,
};

use super::{availability, jid, line, time, word};
use crate::table::{Cell, Look, Table};

pub(crate) fn roster(contacts: &[Contact], look: Look) -> String {
    if contacts.is_empty() {
        return line("No contacts.");
    }
    let mut table = Table::new(&["JID", "NAME", "AVAILABILITY", "STATUS", "SUBSCRIPTION", "GROUPS"]);
    for contact in contacts {
        table.row([
            jid(&contact.jid, &contact.warnings),
            Cell::from(&contact.name),
            availability(contact.availability),
            Cell::from(contact.status.as_deref().unwrap_or_default()),
            Cell::from(subscription(contact)),
            Cell::from(contact.groups.join(", ")),
        ]);
    }
    table.to_text(look)
}

pub(crate) fn one(contact: &Contact, look: Look) -> String {
    let mut table = Table::of_facts();
    table.fact("jid", jid(&contact.jid, &contact.warnings));
    table.fact("name", &contact.name);
    table.fact("groups", contact.groups.join(", "));
    table.fact("subscription", subscription(contact));
    table.fact("availability", availability(contact.availability));
    table.fact("status", contact.status.as_deref().unwrap_or_default());
    table.fact("last seen", contact.last_seen.as_deref().map(time).unwrap_or_default());
    resources(&mut table, &contact.resources);
    picture_and_profile(&mut table, contact.avatar.as_ref(), contact.profile.as_ref());
    table.to_text(look)
}

pub(super) fn resources(table: &mut Table, resources: &[Resource]) {
    for resource in resources {
        let mut about = vec![word(&resource.availability)];
        about.extend(resource.status.clone());
        about.extend(resource.client.as_ref().map(|client| {
            format!("{} ({} {})", client.name.as_deref().unwrap_or("unnamed"), client.category, client.r#type)
        }));
        about.push(format!("priority {}", resource.priority));
        about.push(format!("since {}", time(&resource.since)));
        about.extend(resource.idle_since.as_ref().map(|since| format!("idle since {}", time(since))));
        table.fact(&format!("resource {}", resource.resource), about.join(", "));
        let features = resource.features.as_ref().map(|features| features.join(" "));
        table.fact("  features", features.unwrap_or_default());
    }
}

pub(super) fn picture_and_profile(
    table: &mut Table,
    avatar: Option<&Avatar>,
    profile: Option<&ProfileSummary>,
) {
    if let Some(avatar) = avatar {
        table.fact("avatar", format!("{} ({}, {})", avatar.id, avatar.r#type, size(avatar)));
    }
    if let Some(ProfileSummary { full_name, nickname, organization, title }) = profile.cloned() {
        facts(table, &Profile { full_name, nickname, organization, title, ..Profile::default() });
    }
}

fn facts(table: &mut Table, profile: &Profile) {
    for (name, text) in parts(profile) {
        table.fact(name, text);
    }
}

/// Only its properties: a terminal can't show a picture.
pub(crate) fn avatar(avatar: &Avatar, look: Look) -> String {
    let mut table = Table::of_facts();
    table.fact("id", &avatar.id);
    table.fact("type", &avatar.r#type);
    table.fact("size", size(avatar));
    table.fact("url", &avatar.url);
    table.to_text(look)
}

pub(crate) fn group_renamed(done: &GroupRenamed, _: Look) -> String {
    let mut text = line(&format!("{} renamed, {} not.", done.renamed, done.failed_count));
    for member in &done.failed {
        text.push_str(&line(&format!("{}: {}", member.jid, member.error.message)));
    }
    text
}

pub(crate) fn published(avatar: &PublishedAvatar, _: Look) -> String {
    line(&match &avatar.id {
        Some(id) => format!("The picture is published as {id}."),
        None => "The picture is removed.".to_owned(),
    })
}

pub(crate) fn profile(profile: &Profile, look: Look) -> String {
    let mut table = Table::of_facts();
    facts(&mut table, profile);
    let text = table.to_text(look);
    if text.is_empty() { line("An empty profile.") } else { text }
}

pub(crate) fn requests(requests: &[SubscriptionRequest], look: Look) -> String {
    if requests.is_empty() {
        return line("There are no requests.");
    }
    let mut table = Table::new(&["JID", "NICK", "SINCE", "STATUS"]);
    for request in requests {
        table.row([
            jid(&request.jid, &request.warnings),
            Cell::from(request.nick.as_deref().unwrap_or_default()),
            Cell::from(time(&request.received_at)),
            Cell::from(request.message.as_deref().unwrap_or_default()),
        ]);
    }
    table.to_text(look)
}

fn size(avatar: &Avatar) -> String {
    format!("{} × {}, {} bytes", avatar.width, avatar.height, avatar.bytes)
}

fn parts(profile: &Profile) -> Vec<(&'static str, String)> {
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

pub(super) fn subscription(contact: &Contact) -> String {
    let mut words = vec![word(&contact.subscription)];
    if contact.ask && matches!(contact.subscription, Subscription::None | Subscription::From) {
        words.push("approval pending".to_owned());
    }
    if contact.approved && matches!(contact.subscription, Subscription::None | Subscription::To) {
        words.push("approved in advance".to_owned());
    }
    words.join(", ")
}
