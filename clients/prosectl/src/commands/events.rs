//! Events, past ones and those that come.

use prosed_protocol::ErrorKind;
use prosed_protocol::api::{self, Method};
use prosed_protocol::client::{ClientError, Follower};
use serde_json::{Map, Value};

use super::Prosed;
use crate::arguments::Events;
use crate::failure::Failure;
use crate::output::Output;
use crate::people;

pub(crate) async fn events(prosed: &Prosed, asked: Events, output: &mut Output) -> Result<(), Failure> {
    // As plain JSON, so that events which are newer than this program can be asked for.
    let mut params = Map::new();
    params.extend(prosed.account().map(|account| ("account".to_owned(), account.into())));
    params.extend(asked.since.map(|since| ("since".to_owned(), since.into())));
    if !asked.events.is_empty() {
        params.insert("events".to_owned(), asked.events.into());
    }
    if asked.follow { follow(prosed, params, output).await } else { past(prosed, params, output).await }
}

async fn follow(prosed: &Prosed, params: Map<String, Value>, output: &mut Output) -> Result<(), Failure> {
    let mut follower = Follower::<Value>::start_raw(prosed.dir()?, params).await?;
    loop {
        match follower.next().await {
            Ok(event) => output.one(event, people::events::one)?,
            // The daemon has started anew. What it has told since then comes next; who keeps a picture
            // of the contacts has to draw it anew.
            Err(error) if error.kind() == Some(ErrorKind::CursorExpired) => output.failure(&error.into()),
            Err(ClientError::Unexpected(error)) => output.failure(&Failure::Damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn past(prosed: &Prosed, mut params: Map<String, Value>, output: &mut Output) -> Result<(), Failure> {
    let client = prosed.client().await?;
    loop {
        let since = params.get("since").cloned();
        let mut page: Value = client.call_raw(api::GetEvents::NAME, &params).await?;
        let events = page.get_mut("events").map(Value::take).unwrap_or_default();
        let seq = page.get_mut("seq").map(Value::take);
        if events.as_array().is_none_or(Vec::is_empty) || seq == since {
            return Ok(());
        }
        output.list(events, |events, look| {
            events.iter().map(|event| people::events::one(event, look)).collect()
        })?;
        params.extend(seq.map(|seq| ("since".to_owned(), seq)));
    }
}
