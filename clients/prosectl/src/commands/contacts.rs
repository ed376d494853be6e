//! The roster.

use std::num::NonZeroU32;

use prosed_protocol::api::{self, Done};
use prosed_protocol::client::Client;
use prosed_protocol::{
    AddContactParams, ContactParams, LoadRosterParams, RenameGroupParams, ShowContactsParams,
    UpdateContactParams,
};
use serde_json::Value;

use super::{Prosed, ask};
use crate::failure::Failure;
use crate::output::Output;
use crate::people;

/// Contacts in a page: some 4 MiB at most.
const PAGE: u32 = 1_000;

pub(crate) async fn roster(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let contacts = all(&prosed.client().await?, prosed.account()).await?;
    output.list(contacts, people::contacts::roster)
}

/// All contacts, page by page: a roster may be larger than an answer.
pub(super) async fn all(client: &Client, account: Option<String>) -> Result<Value, Failure> {
    let mut params = LoadRosterParams { account, limit: NonZeroU32::new(PAGE), after: None };
    let mut contacts = Vec::new();
    loop {
        let mut page = ask::<api::LoadRoster>(client, params.clone()).await?;
        if let Some(Value::Array(more)) = page.get_mut("contacts").map(Value::take) {
            contacts.extend(more);
        }
        let last = contacts.last().and_then(|contact: &Value| contact["jid"].as_str()).map(str::to_owned);
        if page["complete"] != false || last == params.after {
            return Ok(contacts.into());
        }
        params.after = last;
    }
}

pub(crate) async fn one(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::GetContact>(params).await?, people::contacts::one)
}

pub(crate) async fn show(prosed: &Prosed, jids: Vec<String>, output: &mut Output) -> Result<(), Failure> {
    let params = ShowContactsParams { account: prosed.account(), jids };
    output.one(prosed.ask::<api::ShowContacts>(params).await?, |_: &Done, _| {
        people::line("Their pictures and profiles are fetched first.")
    })
}

pub(crate) async fn add(
    prosed: &Prosed,
    jid: String,
    name: Option<String>,
    groups: Vec<String>,
    subscribe: bool,
    message: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = AddContactParams { account: prosed.account(), jid, name, groups, subscribe, message };
    output.one(prosed.ask::<api::AddContact>(params).await?, people::contacts::one)
}

pub(crate) async fn update(
    prosed: &Prosed,
    jid: String,
    name: Option<String>,
    groups: Option<Vec<String>>,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = UpdateContactParams { account: prosed.account(), jid, name, groups };
    output.one(prosed.ask::<api::UpdateContact>(params).await?, people::contacts::one)
}

pub(crate) async fn rename_group(
    prosed: &Prosed,
    from: String,
    to: String,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = RenameGroupParams { account: prosed.account(), group: from, name: to };
    output.one(prosed.ask::<api::RenameGroup>(params).await?, people::contacts::group_renamed)
}

pub(crate) async fn remove(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = people::line(&format!("{jid} is a contact no more."));
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::RemoveContact>(params).await?, |_: &Done, _| done)
}
