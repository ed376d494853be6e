//! Accounts and our own presence.

use prosed_protocol::{Account, AccountChanged, Availability, ConnectionState, Event, EventPayload, State};

use super::{availability, contacts, line, time, word};
use crate::table::{self, BAD, Cell, FAINT, GOOD, Look, MIDDLING, Table};

pub(crate) fn logged_in(account: &Account, look: Look) -> String {
    let end = account.jid.as_ref().map_or_else(|| ".".to_owned(), |jid| format!(" as {jid}."));
    let cells = [format!("{} is ", account.account).into(), state(account.state), end.into()];
    table::line(cells, look)
}

/// Why an account is not online yet, if prosed will try again.
pub(crate) fn obstacle(event: &Event, account: &str) -> Option<String> {
    let EventPayload::AccountChanged(AccountChanged { info: Some(info), .. }) = &event.payload else {
        return None;
    };
    let error = info.error.as_ref().filter(|_| event.account == account)?;
    let why = error.data.text.as_deref().or(error.data.condition.as_deref()).unwrap_or(&error.message);
    let next = info.retry_at.as_deref().map(|at| format!("; next attempt at {}", time(at)));
    Some(format!("Not yet: {why}{}", next?))
}

pub(crate) fn present(availability: Availability, look: Look) -> String {
    table::line(["You are ".into(), super::availability(availability), ".".into()], look)
}

/// All accounts, then the contacts of each.
pub(crate) fn everything(state: &State, look: Look) -> String {
    let accounts: Vec<_> = state.accounts.iter().map(|account| account.info.clone()).collect();
    let mut text = all(&accounts, look);
    for account in &state.accounts {
        let contacts = account.roster.as_ref().map_or(&[][..], |roster| &roster.contacts);
        text += &line("");
        text += &line(&account.info.account);
        text += &contacts::roster(contacts, look);
        for request in &account.subscription_requests {
            text += &line(&format!("{} wants to see your presence.", request.jid));
        }
    }
    text
}

pub(crate) fn all(accounts: &[Account], look: Look) -> String {
    if accounts.is_empty() {
        return line("No accounts yet: log in with `prosectl login JID`.");
    }
    let mut table = Table::new(&["ACCOUNT", "STATE", "SINCE", "AVAILABILITY", "STATUS"]);
    for account in accounts {
        let status = match (&account.error, &account.status) {
            (Some(error), _) if account.state != ConnectionState::Online => Cell::styled(&error.message, BAD),
            (_, status) => status.as_deref().unwrap_or_default().into(),
        };
        table.row([
            Cell::from(&account.account),
            state(account.state),
            Cell::from(time(&account.since)),
            shown_availability(account).unwrap_or_else(|| "".into()),
            status,
        ]);
    }
    table.to_text(look)
}

pub(crate) fn one(account: &Account, look: Look) -> String {
    let mut table = Table::of_facts();
    table.fact("account", &account.account);
    table.fact("jid", account.jid.as_deref().unwrap_or_default());
    table.fact("state", state(account.state));
    table.fact("since", time(&account.since));
    if let Some(error) = &account.error {
        let text = error.data.text.as_ref().or(error.data.condition.as_ref());
        let text = text.map(|text| format!(" ({text})")).unwrap_or_default();
        table.fact("error", Cell::styled(format!("{}{text}", error.message), BAD));
    }
    table.fact("next attempt", account.retry_at.as_deref().map(time).unwrap_or_default());
    table.fact("last heard of", account.last_stanza_at.as_deref().map(time).unwrap_or_default());
    table.fact("availability", shown_availability(account).unwrap_or_else(|| "".into()));
    table.fact("status", account.status.as_deref().unwrap_or_default());
    table.fact("remembered", if account.remembered { "yes" } else { "no" });
    table.fact("secret", account.secret_store.as_ref().map(word).unwrap_or_default());
    contacts::resources(&mut table, &account.resources);
    contacts::picture_and_profile(&mut table, account.avatar.as_ref(), account.profile.as_ref());
    table.to_text(look)
}

/// The availability that contacts see; absent if the account is logged out.
pub(super) fn shown_availability(account: &Account) -> Option<Cell> {
    (account.state != ConnectionState::Offline).then(|| availability(account.availability))
}

pub(super) fn state(state: ConnectionState) -> Cell {
    let style = match state {
        ConnectionState::Online => GOOD,
        ConnectionState::Connecting | ConnectionState::Suspended => MIDDLING,
        ConnectionState::Failed => BAD,
        ConnectionState::Offline | ConnectionState::Unknown => FAINT,
    };
    Cell::styled(word(&state), style)
}
