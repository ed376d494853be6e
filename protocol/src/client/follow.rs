//! Events that go on by themselves.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use super::{Client, ClientError, EventStream};
use crate::api;
use crate::endpoint::EndpointError;
use crate::error::ErrorKind;
use crate::event::{Event, GetEventsParams, SubscribeParams};

/// The first wait for a daemon that went away: it may be starting anew this very moment.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest: looking for a file costs next to nothing, and somebody may be watching.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Events that go on when the connection is lost or the daemon starts anew. With each new connection
/// it asks for what came after the last event that it handed on, so that nothing is lost and
/// nothing comes twice.
///
/// Where the daemon no longer has what came then, as after it has restarted, there is the error
/// `cursorExpired`: load what you show anew, and [go on from](Follower::go_on_from) the `seq` of
/// that answer. If you don't, it goes on with whatever the daemon still has.
///
/// `examples/follow.rs` is a whole program.
#[derive(Debug)]
pub struct Follower<T = Event> {
    dir: PathBuf,
    filter: Map<String, Value>,
    since: u64,
    /// The client is kept because its end is the connection's.
    connection: Option<(Client, EventStream<Box<RawValue>>)>,
    /// Attempts to connect since the last event.
    attempts: u32,
    retry_at: Option<Instant>,
    item: PhantomData<fn() -> T>,
}

impl Follower {
    /// Follows events of the daemon whose runtime directory is `dir`: those after `params.since`, or
    /// those that come from now on.
    ///
    /// # Errors
    ///
    /// As [`Client::find`] and [`Client::subscribe`]: it does not wait for a daemon that is not there.
    pub async fn start(dir: &Path, params: SubscribeParams) -> Result<Self, ClientError> {
        let SubscribeParams { events, account, since } = params;
        let mut raw = Map::new();
        if let Some(events) = events {
            raw.insert("events".to_owned(), serde_json::to_value(events)?);
        }
        raw.extend(account.map(|account| ("account".to_owned(), account.into())));
        raw.extend(since.map(|since| ("since".to_owned(), since.into())));
        Self::start_raw(dir, raw).await
    }
}

impl<T: DeserializeOwned> Follower<T> {
    /// Follows events that may be newer than this crate, each read as a `T`: a `serde_json::Value`,
    /// for example. `params` are those of `subscribe`.
    ///
    /// # Errors
    ///
    /// As [`Follower::start`].
    pub async fn start_raw(dir: &Path, mut params: Map<String, Value>) -> Result<Self, ClientError> {
        let client = Client::find(dir).await?;
        let since = match params.remove("since") {
            Some(since) => serde_json::from_value(since)?,
            // A number, so that what comes while the very first connection is lost is not.
            None => client.call::<api::GetEvents>(GetEventsParams::default()).await?.seq,
        };
        let mut follower = Self {
            dir: dir.to_owned(),
            filter: params,
            since,
            connection: None,
            attempts: 0,
            retry_at: None,
            item: PhantomData,
        };
        follower.subscribe(client).await?;
        Ok(follower)
    }

    /// The next event, when it comes. Where the daemon is away, it waits for it, however long. It is
    /// fine to stop waiting and to call this again later (`select!`, `timeout`): nothing is lost.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with `cursorExpired` where events are gone; with another kind where the
    /// daemon refuses the subscription. [`ClientError::Token`] or [`ClientError::Refused`] where it
    /// doesn't let us in. [`ClientError::Unexpected`] for an event that is no `T`. It is fine to call
    /// this again.
    pub async fn next(&mut self) -> Result<T, ClientError> {
        loop {
            let Some((_, stream)) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            match stream.next().await {
                Some(Ok(event)) => {
                    self.attempts = 0;
                    let Numbered { seq } = serde_json::from_str(event.get())?;
                    self.since = seq;
                    return Ok(serde_json::from_str(event.get())?);
                }
                Some(Err(error)) if !mends_itself(&error) => {
                    self.lost();
                    return Err(error);
                }
                _ => self.lost(),
            }
        }
    }

    /// The `seq` of the last event that was handed on, or of where this began: a `since` for later.
    pub fn seq(&self) -> u64 {
        self.since
    }

    /// Goes on with the events after `seq`, as a snapshot says.
    pub fn go_on_from(&mut self, seq: u64) {
        if self.since != seq {
            self.since = seq;
            self.connection = None;
        }
    }

    fn lost(&mut self) {
        self.connection = None;
        self.retry_at = Some(Instant::now() + wait(self.attempts, &mut rand::rng()));
    }

    /// One attempt, once it is time for one.
    async fn connect(&mut self) -> Result<(), ClientError> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
        }
        // Before the attempt, so that one that nobody waited for counts as well.
        self.attempts = self.attempts.saturating_add(1);
        self.lost();
        let result = match Client::find(&self.dir).await {
            Ok(client) => self.subscribe(client).await,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.kind() == Some(ErrorKind::CursorExpired) => {
                let oldest = error.data().and_then(|data| data.oldest);
                self.since = oldest.map_or(self.since, |oldest| oldest.saturating_sub(1));
                self.retry_at = None;
                Err(error)
            }
            Err(error) if mends_itself(&error) => Ok(()),
            result => result,
        }
    }

    async fn subscribe(&mut self, client: Client) -> Result<(), ClientError> {
        let mut params = self.filter.clone();
        params.insert("since".to_owned(), self.since.into());
        let stream = client.subscribe_raw(params).await?;
        self.connection = Some((client, stream));
        Ok(())
    }
}

/// What all events have. Those who are newer than this crate, too.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Whether it is over once the daemon is back, or once we have caught up.
fn mends_itself(error: &ClientError) -> bool {
    match error {
        ClientError::Endpoint(error) => {
            matches!(error, EndpointError::Absent(_) | EndpointError::Stale(_))
        }
        // Nothing was said to it, and the daemon may be back with a token that we have yet to read.
        ClientError::Impostor(_)
        | ClientError::Unreachable(_)
        | ClientError::Disconnected(_)
        | ClientError::TimedOut
        | ClientError::TooSlow => true,
        // It is busy, or about to go.
        ClientError::Refused(status) => *status == 429 || *status >= 500,
        ClientError::Call(_) => error.kind() == Some(ErrorKind::Lagged),
        ClientError::Token(_) | ClientError::Unexpected(_) => false,
    }
}

/// The ceiling doubles; the wait is anywhere in its upper half, so that not all UIs come at once.
fn wait(attempts: u32, random: &mut impl Rng) -> Duration {
    let ceiling = (SHORTEST_WAIT * (1 << attempts.min(16))).min(LONGEST_WAIT);
    random.random_range(ceiling / 2..=ceiling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let mut random = rand::rng();
        assert!((SHORTEST_WAIT / 2..=SHORTEST_WAIT).contains(&wait(0, &mut random)));
        let waits: Vec<_> = (0..100).map(|attempts| wait(attempts, &mut random)).collect();
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert!(waits[20..].iter().all(|wait| *wait >= LONGEST_WAIT / 2));
        assert!(waits[20..].iter().any(|wait| *wait != waits[20]), "they are random");
    }
}
