//! Subscriptions: cursors on the event log that write to a WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::core::server::{
    Methods, PendingSubscriptionSink, RpcModule, SubscriptionMessage, SubscriptionSink,
};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::RegisterMethodError;
use jsonrpsee::types::error::ErrorCode;
use jsonrpsee::types::{ErrorObjectOwned, SubscriptionId};
use prosed_protocol::ApiError;
use prosed_protocol::api::{SUBSCRIPTIONS, SubscriptionInfo};
use tokio::sync::oneshot;

use super::connection::Connection;
use super::methods::filter;
use super::metrics::DoorMetrics;
use crate::events::{Cursor, EventLog};

/// What a subscription to several events is called in the message that ends it. Each event goes
/// under its own name.
const SEVERAL: &str = "subscription";

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
/// When two have one name.
pub(super) fn register(log: &Arc<EventLog>, counts: &DoorMetrics) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(log));
    for info in SUBSCRIPTIONS {
        let name = info.event.map_or(SEVERAL, |event| event.as_str());
        let counts = counts.clone();
        module.register_subscription(
            info.subscribe,
            name,
            info.unsubscribe,
            move |params, pending, log, extensions| {
                // At once, so that no event between the call and its answer is missed.
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
                            pending.reject(ErrorObjectOwned::from(ErrorCode::InternalError)).await;
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

/// Answers the call, then writes events until somebody ends it.
async fn serve(
    cursor: Cursor,
    pending: PendingSubscriptionSink,
    connection: &Connection,
    counts: &DoorMetrics,
) -> Result<(), SubscriptionError> {
    let SubscriptionId::Num(id) = pending.subscription_id() else {
        pending.reject(ErrorObjectOwned::from(ErrorCode::InternalError)).await;
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
            // Copies the event's JSON into the message; nothing is serialised again.
            let Ok(message) =
                SubscriptionMessage::new(event.name.as_str(), sink.subscription_id(), &event.json)
            else {
                return Ok(());
            };
            // Waits for a slow reader. Only this subscription does.
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
