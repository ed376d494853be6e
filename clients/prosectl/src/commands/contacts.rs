//! The roster.

use prosed_protocol::api::{self, Done};
use prosed_protocol::{AccountParams, AddContactParams, ContactParams, UpdateContactParams};
use serde_json::Value;

use super::Prosed;
use crate::failure::Failure;
use crate::output::Output;
use crate::people;

pub(crate) async fn roster(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let mut roster = prosed.ask::<api::LoadRoster>(AccountParams { account: prosed.account() }).await?;
    let contacts = roster.get_mut("contacts").map(Value::take).unwrap_or_default();
    output.list(contacts, people::contacts::roster)
}

pub(crate) async fn one(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::GetContact>(params).await?, people::contacts::one)
}

pub(crate) async fn add(
    prosed: &Prosed,
    jid: String,
    name: Option<String>,
    groups: Vec<String>,
    subscribe: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = AddContactParams { account: prosed.account(), jid, name, groups, subscribe };
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

pub(crate) async fn remove(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = people::line(&format!("{jid} is a contact no more."));
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::RemoveContact>(params).await?, |_: &Done, _| done)
}
