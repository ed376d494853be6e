//! The events of one subscription.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use jsonrpsee::core::client::{ReceivedMessage, Subscription, SubscriptionCloseReason, TransportReceiverT};
use jsonrpsee_types::{ErrorObjectOwned, SubscriptionId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ClientError;
use crate::event::Event;

/// Events as they happen. It ends after its first error.
#[derive(Debug)]
pub struct EventStream<T = Event> {
    subscription: Subscription<Box<RawValue>>,
    over: bool,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> EventStream<T> {
    pub(super) fn of(subscription: Subscription<Box<RawValue>>) -> Self {
        Self { subscription, over: false, item: PhantomData }
    }

    /// The next event; absent after an error.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with the reason (kind `lagged`) if the daemon ended the subscription, or the error of
    /// the connection.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        futures::StreamExt::next(self).await
    }

    fn read(&self, item: Option<Result<Box<RawValue>, serde_json::Error>>) -> Result<T, ClientError> {
        match item {
            Some(item) => {
                let item = item?;
                match serde_json::from_str::<End<ErrorObjectOwned>>(item.get()) {
                    Ok(End { error }) => Err(ClientError::Call(error)),
                    Err(_) => Ok(serde_json::from_str(item.get())?),
                }
            }
            None => match self.subscription.close_reason() {
                Some(SubscriptionCloseReason::Lagged) => Err(ClientError::TooSlow),
                _ => Err(ClientError::Disconnected("the daemon went away".to_owned())),
            },
        }
    }
}

impl<T: DeserializeOwned> Stream for EventStream<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = ready!(Pin::new(&mut self.subscription).poll_next(cx));
        let item = self.read(item);
        self.over = item.is_err();
        Poll::Ready(Some(item))
    }
}

/// jsonrpsee drops the reason why a server ends a subscription. This delivers it as the subscription's last item.
pub(super) struct EndsAsItems<R>(pub(super) R);

impl<R: TransportReceiverT + Send> TransportReceiverT for EndsAsItems<R> {
    type Error = R::Error;

    async fn receive(&mut self) -> Result<ReceivedMessage, Self::Error> {
        Ok(match self.0.receive().await? {
            ReceivedMessage::Text(text) => ReceivedMessage::Text(end_as_item(&text).unwrap_or(text)),
            other => other,
        })
    }
}

/// Such a message is small: large ones need not be parsed.
const MAX_END_BYTES: usize = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End<E> {
    #[serde(rename = "prosed:end")]
    error: E,
}

fn end_as_item(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Notification<'a> {
        method: &'a str,
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        subscription: SubscriptionId<'a>,
        #[serde(borrow)]
        error: &'a RawValue,
    }
    if text.len() > MAX_END_BYTES {
        return None;
    }
    let Notification { method, params } = serde_json::from_str(text).ok()?;
    let message = serde_json::json!({
        "jsonrpc": "2.0",
        "method": method,
        "params": {"subscription": params.subscription, "result": End { error: params.error }},
    });
    Some(message.to_string())
}
