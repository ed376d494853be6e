//! What each command asks of the daemon.

use std::io::Read;
use std::path::Path;

use prosed_protocol::api::{self, Method, NoParams};
use prosed_protocol::client::Client;
use prosed_protocol::{AccountParams, ContactParams, ErrorKind, LoginParams, LogoutParams};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::{Events, Login, password, people};

/// Calls `M`, and keeps its answer as the daemon wrote it: a newer one may say more than we know.
async fn ask<M: Method>(client: &Client, params: M::Params) -> Result<Value, Failure> {
    Ok(client.call_raw(M::NAME, params).await?)
}

pub(crate) async fn login(dir: &Path, login: Login, output: &mut Output) -> Result<(), Failure> {
    let mut params = LoginParams::new(login.jid);
    params.resource = login.resource;
    params.remember = !login.no_remember;
    params.host = login.host;
    params.port = login.port;
    params.tls = login.tls.map(Into::into);
    if login.password_stdin {
        params.password = Some(password::from_stdin()?);
    } else if let Some(command) = login.password_command {
        params.password = Some(password::from_command(&command).await?);
    }
    let client = Client::find(dir).await?;
    let mut answer = ask::<api::Login>(&client, params.clone()).await;
    // A live session or a remembered password needs no question.
    let asks_for_password = |failure: &Failure| {
        matches!(failure.kind(), Some(ErrorKind::CredentialsMissing | ErrorKind::NotAuthorized))
    };
    if params.password.is_none()
        && answer.as_ref().is_err_and(asks_for_password)
        && let Some(password) = password::ask(&params.jid)?
    {
        params.password = Some(password);
        answer = ask::<api::Login>(&client, params).await;
    }
    output.one(answer?, people::logged_in)
}

pub(crate) async fn logout(
    dir: &Path,
    account: Option<String>,
    forget: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = Client::find(dir).await?;
    let answer = ask::<api::Logout>(&client, LogoutParams { account, forget }).await?;
    output.one(answer, |_: &api::Done| "Logged out.\n".to_owned())
}

pub(crate) async fn accounts(dir: &Path, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(dir).await?;
    output.list(ask::<api::ListAccounts>(&client, NoParams {}).await?, people::accounts)
}

pub(crate) async fn roster(dir: &Path, account: Option<String>, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(dir).await?;
    let mut roster = ask::<api::LoadRoster>(&client, AccountParams { account }).await?;
    output.list(roster.get_mut("contacts").map(Value::take).unwrap_or_default(), people::roster)
}

pub(crate) async fn contact(
    dir: &Path,
    account: Option<String>,
    jid: String,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = Client::find(dir).await?;
    output.one(ask::<api::GetContact>(&client, ContactParams { account, jid }).await?, people::contact)
}

pub(crate) async fn events(
    dir: &Path,
    account: Option<String>,
    events: Events,
    output: &mut Output,
) -> Result<(), Failure> {
    // As plain JSON, so that events which are newer than this program can be asked for.
    let mut params = Map::new();
    params.extend(account.map(|account| ("account".to_owned(), account.into())));
    params.extend(events.since.map(|since| ("since".to_owned(), since.into())));
    if !events.events.is_empty() {
        params.insert("events".to_owned(), events.events.into());
    }
    let client = Client::find(dir).await?;
    if events.follow {
        let mut stream = client.subscribe_raw::<Value>(params).await?;
        while let Some(event) = stream.next().await {
            output.one(event?, people::event)?;
        }
        return Ok(());
    }
    loop {
        let since = params.get("since").cloned();
        let mut page: Value = client.call_raw(api::GetEvents::NAME, &params).await?;
        let events = page.get_mut("events").map(Value::take).unwrap_or_default();
        let seq = page.get_mut("seq").map(Value::take);
        if events.as_array().is_none_or(Vec::is_empty) || seq == since {
            return Ok(());
        }
        output.list(events, |events| events.iter().map(people::event).collect())?;
        params.extend(seq.map(|seq| ("since".to_owned(), seq)));
    }
}

pub(crate) async fn call(
    dir: &Path,
    method: &str,
    params: Option<String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let params = match params.as_deref() {
        None => json!({}),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::Params(error.to_string()))?;
            parse(&text)?
        }
        Some(text) => parse(text)?,
    };
    let client = Client::find(dir).await?;
    output.raw(&client.call_raw(method, params).await?)
}

/// Where the text is wrong is said, and not what stands there: it could be a password.
fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Params(format!("line {}, column {}", error.line(), error.column())))
}

pub(crate) async fn version(dir: &Path, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(dir).await?;
    output.one(ask::<api::GetVersion>(&client, NoParams {}).await?, people::version)
}
