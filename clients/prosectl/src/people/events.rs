//! Events: a line each, and a line for each contact.

use prosed_protocol::{Contact, Event, EventPayload};

use super::accounts::state;
use super::{availability, jid};
use crate::table::{BAD, Cell, FAINT, Look, line};

pub(crate) fn one(event: &Event, look: Look) -> String {
    let start = Cell::styled(format!("{} #{} {}  ", event.time, event.seq, event.account), FAINT);
    let told = |cells: Vec<Cell>| line(std::iter::once(start.clone()).chain(cells), look);
    match &event.payload {
        EventPayload::ContactChanged(change) => {
            let gone = |jid: &String| told(vec![jid.into(), " is a contact no more".into()]);
            let changed = change.contacts.iter().map(|contact| told(changed(contact)));
            changed.chain(change.removed.iter().map(gone)).collect()
        }
        EventPayload::AccountChanged(change) => match &change.info {
            Some(info) => {
                let error = info.error.as_ref().map(|error| format!(": {}", error.message));
                told(vec![
                    "is ".into(),
                    state(info.state),
                    ", ".into(),
                    availability(info.availability),
                    Cell::styled(error.unwrap_or_default(), BAD),
                ])
            }
            None => told(vec!["is an account no more".into()]),
        },
        EventPayload::RosterLoaded(loaded) => {
            told(vec![format!("roster loaded, contacts that differ: {}", loaded.changed).into()])
        }
        EventPayload::SubscriptionRequested(asked) => {
            let name = asked.nick.as_ref().map(|nick| format!(" ({nick})")).unwrap_or_default();
            let status = asked.status.as_ref().map(|status| format!(": {status}")).unwrap_or_default();
            told(vec![format!("{}{name} wants to see our presence{status}", asked.jid).into()])
        }
        EventPayload::SubscriptionResolved(resolved) => {
            told(vec![format!("{} has an answer, or asks no more", resolved.jid).into()])
        }
        EventPayload::Unknown => told(vec!["something newer than this prosectl: see --json".into()]),
    }
}

fn changed(contact: &Contact) -> Vec<Cell> {
    let name = if contact.name == contact.jid { String::new() } else { format!(" «{}»", contact.name) };
    let status = contact.status.as_ref().map(|status| format!(": {status}")).unwrap_or_default();
    vec![
        jid(&contact.jid, &contact.warnings),
        name.into(),
        " is ".into(),
        availability(contact.availability),
        status.into(),
    ]
}
