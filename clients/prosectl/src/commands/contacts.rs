//! The roster.

use prosed_protocol::api::{self, Done};
use prosed_protocol::{
    AddContactParams, ContactParams, RenameGroupParams, ShowContactsParams, UpdateContactParams,
};

use super::Prosed;
use crate::failure::Failure;
use crate::output::Output;
use crate::render;

pub(crate) async fn roster(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let mut roster = prosed.client().await?.load_roster_raw(prosed.account().as_deref()).await?;
    output.list(roster["contacts"].take(), render::contacts::roster)
}

pub(crate) async fn one(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::GetContact>(params).await?, render::contacts::one)
}

pub(crate) async fn show(prosed: &Prosed, jids: Vec<String>, output: &mut Output) -> Result<(), Failure> {
    let params = ShowContactsParams { account: prosed.account(), jids };
    output.one(prosed.ask::<api::ShowContacts>(params).await?, |_: &Done, _| {
        render::line("Their pictures and profiles will be fetched first.")
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
    output.one(prosed.ask::<api::AddContact>(params).await?, render::contacts::one)
}

pub(crate) async fn update(
    prosed: &Prosed,
    jid: String,
    name: Option<String>,
    groups: Option<Vec<String>>,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = UpdateContactParams { account: prosed.account(), jid, name, groups };
    output.one(prosed.ask::<api::UpdateContact>(params).await?, render::contacts::one)
}

pub(crate) async fn rename_group(
    prosed: &Prosed,
    from: String,
    to: String,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = RenameGroupParams { account: prosed.account(), group: from, name: to };
    output.one(prosed.ask::<api::RenameGroup>(params).await?, render::contacts::group_renamed)
}

pub(crate) async fn remove(prosed: &Prosed, jid: String, output: &mut Output) -> Result<(), Failure> {
    let done = render::line(&format!("{jid} is no longer a contact."));
    let params = ContactParams { account: prosed.account(), jid };
    output.one(prosed.ask::<api::RemoveContact>(params).await?, |_: &Done, _| done)
}
