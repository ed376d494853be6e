//! Subscriptions: cursors on the event log that write to a WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use jsonrpsee::ConnectionId;
use jsonrpsee::core::SubscriptionError;
use jsonrpsee::core::server::{
    BoundedSubscriptions, MethodCallback, MethodSink, Methods, PendingSubscriptionSink, RpcModule,
    SubscriptionMessage, SubscriptionSink, SubscriptionState,
};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::RegisterMethodError;
use jsonrpsee::types::error::TOO_MANY_SUBSCRIPTIONS_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Extensions, Id, Params, SubscriptionId};
use prosed_protocol::api::{SUBSCRIPTIONS as INFOS, SubscriptionInfo};
use prosed_protocol::{ApiError, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::answer::Answer;
use super::connection::Connection;
use super::envelope::PeerId;
use super::limits::{self, SUBSCRIPTIONS};
use super::methods::filter;
use super::metrics::DoorMetrics;
use crate::events::{Cursor, EventLog};

/// The name of a subscription to several events in the message that ends it. Each event has its own name.
const SEVERAL: &str = "subscription";

/// The subscriptions of one WebSocket.
pub(super) struct Subscriptions {
    methods: Methods,
    ids: Arc<Ids>,
    room: BoundedSubscriptions,
    sink: MethodSink,
}

impl Subscriptions {
    /// Subscriptions opened with `methods` and numbered by `ids`, both of one door, that write to `sink`.
    pub(super) fn new(methods: Methods, ids: Arc<Ids>, sink: MethodSink) -> Self {
        Self { methods, ids, room: BoundedSubscriptions::new(SUBSCRIPTIONS), sink }
    }

    /// Opens one immediately. The future ends when the call is answered: through the sink, so that no event can
    /// precede the answer.
    pub(super) fn open(
        &self,
        method: &str,
        params: Option<&RawValue>,
        id: PeerId,
        connection: Arc<Connection>,
        permit: OwnedSemaphorePermit,
    ) -> BoxFuture<'static, Answer> {
        let Some(MethodCallback::Subscription(open)) = self.methods.method(method) else {
            return ready(Answer::error(&id, ApiError::new(ErrorKind::InternalError))).boxed();
        };
        let Some(subscription_permit) = self.room.acquire() else {
            let limit = "subscriptions of one connection";
            let error = limits::exceeded(TOO_MANY_SUBSCRIPTIONS_CODE, limit, SUBSCRIPTIONS);
            return ready(Answer::error(&id, error)).boxed();
        };
        // Ids are unique per door, so connections need no numbers of their own.
        let state =
            SubscriptionState { conn_id: ConnectionId(0), id_provider: &*self.ids, subscription_permit };
        let mut extensions = Extensions::new();
        extensions.insert(connection);
        let params = Params::new(params.map(RawValue::get));
        let opened = match known_to_jsonrpsee(&id) {
            Some(known) => open(known, params, self.sink.clone(), state, extensions),
            None => open(Id::Null, params, answering(id, self.sink.clone()), state, extensions),
        };
        async move {
            let answer = opened.await;
            drop(permit);
            Answer::sent(answer.as_error_code())
        }
        .boxed()
    }
}

/// The id, if jsonrpsee writes it exactly as received.
fn known_to_jsonrpsee(id: &PeerId) -> Option<Id<'static>> {
    let json = id.as_json().get();
    let known = serde_json::from_str::<Id<'_>>(json).ok()?.into_owned();
    (serde_json::to_string(&known).ok()? == json).then_some(known)
}

/// A separate sink for one subscription, which sets this id in its first message, the answer.
fn answering(id: PeerId, sink: MethodSink) -> MethodSink {
    let (own, mut messages) = mpsc::channel(1);
    tokio::spawn(async move {
        let Some(answer) = messages.recv().await else { return };
        let mut next = Some(with_id(&id, answer));
        while let Some(message) = next {
            if sink.send(message).await.is_err() {
                return;
            }
            next = messages.recv().await;
        }
    });
    MethodSink::new(own)
}

/// The same answer, with another id.
fn with_id(id: &PeerId, answer: Box<RawValue>) -> Box<RawValue> {
    #[derive(Serialize, Deserialize)]
    struct Response<'a> {
        jsonrpc: &'a str,
        #[serde(borrow)]
        id: &'a RawValue,
        #[serde(borrow, skip_serializing_if = "Option::is_none")]
        result: Option<&'a RawValue>,
        #[serde(borrow, skip_serializing_if = "Option::is_none")]
        error: Option<&'a RawValue>,
    }
    let renamed = serde_json::from_str::<Response<'_>>(answer.get())
        .and_then(|response| serde_json::value::to_raw_value(&Response { id: id.as_json(), ..response }));
    // jsonrpsee wrote it, so it can be parsed.
    renamed.unwrap_or(answer)
}

/// Numbers subscriptions.
#[derive(Debug, Default)]
pub(super) struct Ids(AtomicU64);

impl IdProvider for Ids {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Num(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The methods that open subscriptions.
///
/// # Errors
/// If two have the same name.
pub(super) fn register(log: &Arc<EventLog>, counts: &DoorMetrics) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(log));
    for info in INFOS {
        let name = info.event.map_or(SEVERAL, |event| event.as_str());
        let counts = counts.clone();
        module.register_subscription(
            info.subscribe,
            name,
            info.unsubscribe,
            move |params, pending, log, extensions| {
                // Immediately, so that no event between the call and its answer is missed.
                let opened = open(info, params.as_str(), &log);
                let connection = extensions.get::<Arc<Connection>>().cloned();
                let counts = counts.clone();
                async move {
                    match (opened, connection) {
                        (Ok(cursor), Some(connection)) => serve(cursor, pending, &connection, &counts).await,
                        (Err(error), _) => {
                            pending.reject(error).await;
                            Ok(())
                        }
                        (Ok(_), None) => {
                            pending.reject(ApiError::new(ErrorKind::InternalError)).await;
                            Ok(())
                        }
                    }
                }
            },
        )?;
    }
    Ok(module.into())
}

fn open(
    info: &SubscriptionInfo,
    params: Option<&str>,
    log: &Arc<EventLog>,
) -> Result<Cursor, ErrorObjectOwned> {
    let params = info.parse(params)?;
    let since = params.since;
    Ok(log.subscribe(filter(params)?, since).map_err(ApiError::from)?)
}

/// Answers the call, then writes events until the subscription ends.
async fn serve(
    cursor: Cursor,
    pending: PendingSubscriptionSink,
    connection: &Connection,
    counts: &DoorMetrics,
) -> Result<(), SubscriptionError> {
    let SubscriptionId::Num(id) = pending.subscription_id() else {
        pending.reject(ApiError::new(ErrorKind::InternalError)).await;
        return Ok(());
    };
    // Before the answer, so that it can be ended as soon as its id is known.
    let ended = connection.open_subscription(id);
    let result = match pending.accept().await {
        Ok(sink) => follow(cursor, &sink, ended, counts).await,
        Err(_) => Ok(()),
    };
    connection.close_subscription(id);
    result
}

async fn follow(
    mut cursor: Cursor,
    sink: &SubscriptionSink,
    ended: oneshot::Receiver<()>,
    counts: &DoorMetrics,
) -> Result<(), SubscriptionError> {
    let write = async {
        loop {
            let event = cursor.next().await.inspect_err(|_| counts.lagged()).map_err(ApiError::from)?;
            // Copies the event's JSON into the message; nothing is serialized again.
            let Ok(message) =
                SubscriptionMessage::new(event.name.as_str(), sink.subscription_id(), &event.json)
            else {
                return Ok(());
            };
            // Waits for a slow reader, which delays only this subscription.
            if sink.send(message).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        biased;
        _ = ended => Ok(()),
        () = sink.closed() => Ok(()),
        result = write => result.map_err(|error: ApiError| match serde_json::value::to_raw_value(&error) {
            Ok(json) => SubscriptionError::from_json(json),
            Err(_) => SubscriptionError::from(error.message),
        }),
    }
}
