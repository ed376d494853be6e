//! Events that continue across reconnects.

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

/// The first wait for a daemon that is gone: it may be restarting at this very moment.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait: checking for a file costs next to nothing, and a user may be watching.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Events that continue when the connection is lost or the daemon restarts. Each new connection requests what came
/// after the last event returned, so that nothing is lost or repeated.
///
/// If the daemon no longer has those events, as after a restart, it returns the error `cursorExpired`: load what you
/// show again, and [resume from](Follower::resume_from) the `seq` of that answer. If you don't, it continues with what
/// the daemon still has.
///
/// `examples/follow.rs` is a complete program.
#[derive(Debug)]
pub struct Follower<T = Event> {
    dir: PathBuf,
    filter: Map<String, Value>,
    since: u64,
    /// Kept because dropping the client closes the connection.
    connection: Option<(Client, EventStream<Box<RawValue>>)>,
    /// Attempts to connect since the last event.
    attempts: u32,
    retry_at: Option<Instant>,
    item: PhantomData<fn() -> T>,
}

impl Follower {
    /// Follows events of the daemon whose runtime directory is `dir`: those after `params.since`, or only future
    /// ones.
    ///
    /// # Errors
    ///
    /// As for [`Client::find`] and [`Client::subscribe`]: it does not wait for a daemon that is not there.
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
    /// Follows events that may be newer than this crate, each read as a `T`: a `serde_json::Value`, for example.
    /// `params` are those of `subscribe`.
    ///
    /// # Errors
    ///
    /// As for [`Follower::start`].
    pub async fn start_raw(dir: &Path, mut params: Map<String, Value>) -> Result<Self, ClientError> {
        let client = Client::find(dir).await?;
        let since = match params.remove("since") {
            Some(since) => serde_json::from_value(since)?,
            // Set to a number, so that nothing is missed if the very first connection is lost.
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

    /// Waits for the next event. If the daemon is away, it waits for it, however long. Cancel safe: you can stop
    /// waiting and call this again later (`select!`, `timeout`) without losing anything.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with `cursorExpired` if events are gone; with another kind if the daemon refuses the
    /// subscription. [`ClientError::Token`] or [`ClientError::Refused`] if it refuses the connection.
    /// [`ClientError::Unexpected`] for an event that is not a `T`. You can call this again after any of them.
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

    /// The `seq` of the last event returned, or of the start: a `since` for later.
    pub fn seq(&self) -> u64 {
        self.since
    }

    /// Continues with the events after `seq`, as given by a snapshot.
    pub fn resume_from(&mut self, seq: u64) {
        if self.since != seq {
            self.since = seq;
            self.connection = None;
        }
    }

    fn lost(&mut self) {
        self.connection = None;
        self.retry_at = Some(Instant::now() + wait(self.attempts, &mut rand::rng()));
    }

    /// One attempt, once it is due.
    async fn connect(&mut self) -> Result<(), ClientError> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
        }
        // Before the attempt, so that a cancelled one counts as well.
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

/// The fields that all events have, including those newer than this crate.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Whether the error goes away once the daemon is back, or once we have caught up.
fn mends_itself(error: &ClientError) -> bool {
    match error {
        ClientError::Endpoint(error) => {
            matches!(error, EndpointError::Absent(_) | EndpointError::Stale(_))
        }
        // Nothing was sent, and the daemon may be back with a token that we have yet to read.
        ClientError::Impostor(_)
        | ClientError::Unreachable(_)
        | ClientError::Disconnected(_)
        | ClientError::TimedOut
        | ClientError::TooSlow => true,
        // It is busy, or about to stop.
        ClientError::Refused(status) => *status == 429 || *status >= 500,
        ClientError::Call(_) => error.kind() == Some(ErrorKind::Lagged),
        ClientError::Token(_) | ClientError::Unexpected(_) => false,
    }
}

/// The ceiling doubles; the wait is random within its upper half, so that not all UIs reconnect at once.
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
