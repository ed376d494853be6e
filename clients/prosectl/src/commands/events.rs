//! Past and future events.

use prosed_protocol::api::{self, Method, NoParams};
use prosed_protocol::client::{Client, ClientError, Follower};
use prosed_protocol::{Account, ErrorKind};
use serde_json::{Map, Value};

use super::Prosed;
use crate::arguments::Events;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::events::Known;

pub(crate) async fn events(prosed: &Prosed, asked: Events, output: &mut Output) -> Result<(), Failure> {
    // As plain JSON, so that newer events can be requested.
    let mut params = Map::new();
    params.extend(prosed.account().map(|account| ("account".to_owned(), account.into())));
    params.extend(asked.since.map(|since| ("since".to_owned(), since.into())));
    if !asked.events.is_empty() {
        params.insert("events".to_owned(), asked.events.into());
    }
    if asked.follow { follow(prosed, params, output).await } else { past(prosed, params, output).await }
}

async fn follow(prosed: &Prosed, params: Map<String, Value>, output: &mut Output) -> Result<(), Failure> {
    let from_now = !params.contains_key("since");
    let mut follower = Follower::<Value>::start_raw(prosed.dir()?, params).await?;
    let mut known = Known::default();
    // For past events, the contacts' earlier states are unknown.
    if from_now && output.is_terminal() {
        learn(&prosed.client().await?, &mut known).await?;
    }
    loop {
        match follower.next().await {
            Ok(event) => output.one(event, |event, look| known.tell(event, look))?,
            // The daemon has restarted. Its events since then come next, compared with the state before.
            Err(error) if error.kind() == Some(ErrorKind::CursorExpired) => output.failure(&error.into()),
            Err(ClientError::Unexpected(error)) => output.failure(&Failure::Damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Loads the contacts of all accounts that have a roster.
async fn learn(client: &Client, known: &mut Known) -> Result<(), Failure> {
    for Account { account, .. } in client.call::<api::ListAccounts>(NoParams {}).await? {
        match client.load_roster(Some(&account)).await {
            Ok(roster) => known.learn(&account, roster.contacts),
            Err(error) if error.kind().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn past(prosed: &Prosed, mut params: Map<String, Value>, output: &mut Output) -> Result<(), Failure> {
    let client = prosed.client().await?;
    let mut known = Known::default();
    loop {
        let since = params.get("since").cloned();
        let mut page: Value = client.call_raw(api::GetEvents::NAME, &params).await?;
        let events = page.get_mut("events").map(Value::take).unwrap_or_default();
        let seq = page.get_mut("seq").map(Value::take);
        if events.as_array().is_none_or(Vec::is_empty) || seq == since {
            return Ok(());
        }
        output.list(events, |events, look| events.iter().map(|event| known.tell(event, look)).collect())?;
        params.extend(seq.map(|seq| ("since".to_owned(), seq)));
    }
}
