//! Accounts, their sessions, and our own presence.

use std::pin::pin;

use prosed_protocol::api::{self, Done, NoParams};
use prosed_protocol::client::Client;
use prosed_protocol::{
    AccountParams, ConnectionState, ErrorKind, EventName, LoginParams, LogoutParams, SetPresenceParams,
    SubscribeParams,
};
use serde_json::Value;

use super::{Prosed, ask};
use crate::arguments::{Login, Presence};
use crate::failure::Failure;
use crate::output::Output;
use crate::{password, render};

pub(crate) async fn login(prosed: &Prosed, login: Login, output: &mut Output) -> Result<(), Failure> {
    let mut params = LoginParams::new(login.jid);
    params.resource = login.resource;
    params.remember = !login.no_remember;
    params.accept_downgrade = login.accept_downgrade;
    params.host = login.host;
    params.port = login.port;
    params.tls = login.tls.map(Into::into);
    if login.password_stdin {
        params.password = Some(password::from_stdin()?);
    } else if let Some(command) = login.password_command {
        params.password = Some(password::from_command(&command).await?);
    }
    let client = prosed.client().await?;
    let mut answer = login_with_progress(&client, params.clone(), output).await;
    // Without asking, if there is a session or a remembered password.
    let asks_for_password = |failure: &Failure| {
        matches!(failure.kind(), Some(ErrorKind::CredentialsMissing | ErrorKind::NotAuthorized))
    };
    if params.password.is_none()
        && answer.as_ref().is_err_and(asks_for_password)
        && let Some(password) = password::ask(&params.jid)?
    {
        params.password = Some(password);
        answer = login_with_progress(&client, params, output).await;
    }
    output.one(answer?, render::accounts::logged_in)
}

/// Logs in, which may take half a minute. On a terminal, it says meanwhile why it is still waiting.
async fn login_with_progress(
    client: &Client,
    params: LoginParams,
    output: &Output,
) -> Result<Value, Failure> {
    let jid = params.jid.clone();
    let login = ask::<api::Login>(client, params);
    if !output.is_terminal() {
        return login.await;
    }
    let only =
        SubscribeParams { events: Some(vec![EventName::AccountChanged]), ..SubscribeParams::default() };
    let mut events = client.subscribe(only).await?;
    let mut login = pin!(login);
    let mut said = String::new();
    loop {
        tokio::select! {
            answer = &mut login => return answer,
            Some(Ok(event)) = events.next() => {
                let line = render::accounts::obstacle(&event, &jid).unwrap_or_default();
                if !line.is_empty() && line != said {
                    output.progress(&line);
                    said = line;
                }
            }
        }
    }
}

pub(crate) async fn logout(
    prosed: &Prosed,
    jid: Option<String>,
    forget: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let account = jid.or_else(|| prosed.account());
    let answer = prosed.ask::<api::Logout>(LogoutParams { account, forget }).await?;
    output.one(answer, |_: &Done, _| "Logged out.\n".to_owned())
}

pub(crate) async fn state(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let state = prosed.client().await?.load_state_raw(prosed.account().as_deref()).await?;
    output.one(state, render::accounts::everything)
}

pub(crate) async fn reconnect(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let params = AccountParams { account: prosed.account() };
    let client = prosed.client().await?;
    let mut said = "Connecting now.\n";
    if output.is_terminal()
        && client.call::<api::GetAccount>(params.clone()).await?.state == ConnectionState::Online
    {
        said = "Online; checking the connection.\n";
    }
    let answer = ask::<api::Reconnect>(&client, params).await?;
    output.one(answer, |_: &Done, _| said.to_owned())
}

pub(crate) async fn all(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    output.list(prosed.ask::<api::ListAccounts>(NoParams {}).await?, render::accounts::all)
}

pub(crate) async fn one(prosed: &Prosed, output: &mut Output) -> Result<(), Failure> {
    let params = AccountParams { account: prosed.account() };
    output.one(prosed.ask::<api::GetAccount>(params).await?, render::accounts::one)
}

pub(crate) async fn presence(
    prosed: &Prosed,
    availability: Presence,
    status: Option<String>,
    priority: Option<i8>,
    output: &mut Output,
) -> Result<(), Failure> {
    let availability = availability.into();
    let params = SetPresenceParams { account: prosed.account(), availability, status, priority };
    let answer = prosed.ask::<api::SetPresence>(params).await?;
    output.one(answer, |_: &Done, look| render::accounts::present(availability, look))
}
