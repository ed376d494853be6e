//! From a call as it is read to its answer: parameters, place, limits.
//!
//! jsonrpsee reads the messages, and spawns a task for each. All of [`Calls::begin`] runs when that
//! task is first polled, which on a runtime of one thread is in the order of the messages; what it
//! returns may run in any order.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, ready};
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::core::server::{BatchResponseBuilder, MethodResponse, ResponsePayload};
use jsonrpsee::types::error::{
    ErrorCode, INVALID_REQUEST_CODE, OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG,
};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Id, Request};
use prosed_protocol::api::{self, Method, SUBSCRIPTIONS};
use prosed_protocol::{ApiError, ErrorKind, SubscriptionId, parse_params};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use super::fit::json_bytes;
use super::limits::{CALLS_IN_FLIGHT, RESPONSE_BYTES};
use super::methods::{self, Answered, Api, bare_jid};
use super::order::{Pace, Place};

/// Answers the calls of one connection. `inner` is jsonrpsee's own service, for subscriptions.
#[derive(Clone)]
pub(super) struct Calls<S> {
    pub(super) inner: S,
    pub(super) api: Arc<Api>,
    pub(super) connection: Arc<Connection>,
}

/// Whether a call came alone. A subscription's answer can't be part of a batch's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Alone,
    InBatch,
}

impl<S> RpcServiceT for Calls<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse>,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.begin(request, Came::Alone)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        // All take their places before any is waited for.
        let begun: Vec<_> = batch.into_iter().map(|entry| self.begin_entry(entry)).collect();
        async move {
            let notified = begun.iter().any(|(wanted, _)| !wanted);
            let (wanted, answers): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
            let answers = join_all(answers).await;
            let mut batch = BatchResponseBuilder::new_with_limit(RESPONSE_BYTES as usize);
            for (_, answer) in wanted.into_iter().zip(answers).filter(|(wanted, _)| *wanted) {
                if let Err(too_big) = batch.append(answer) {
                    return too_big;
                }
            }
            if batch.is_empty() && notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(batch.finish())
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        let begun = self.begin(without_id(notification), Came::InBatch);
        async move {
            begun.await;
            MethodResponse::notification()
        }
    }
}

impl<S> Calls<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse>,
{
    /// A batch's entry, and whether its answer is wanted.
    fn begin_entry<'a>(
        &self,
        entry: Result<BatchEntry<'a>, jsonrpsee::core::middleware::BatchEntryErr<'a>>,
    ) -> (bool, BoxFuture<'a, MethodResponse>) {
        match entry {
            Ok(BatchEntry::Call(request)) => (true, self.begin(request, Came::InBatch)),
            Ok(BatchEntry::Notification(notification)) => {
                (false, self.begin(without_id(notification), Came::InBatch))
            }
            Err(error) => {
                let (error, id) = error.into_parts();
                (true, ready(MethodResponse::error(id, error)).boxed())
            }
        }
    }

    /// Checks the call and takes its place, here and now; the future does the rest.
    fn begin<'a>(&self, request: Request<'a>, came: Came) -> BoxFuture<'a, MethodResponse> {
        let counts = self.api.counts.clone();
        let method = request.method.clone();
        let begun = self.begin_uncounted(request, came);
        async move {
            let answer = begun.await;
            counts.answered(&method, answer.as_error_code());
            answer
        }
        .boxed()
    }

    fn begin_uncounted<'a>(&self, mut request: Request<'a>, came: Came) -> BoxFuture<'a, MethodResponse> {
        let Some(permit) = self.connection.try_begin_call() else {
            let error = ApiError::limit_exceeded("calls in flight on one connection", CALLS_IN_FLIGHT as u64);
            return ready(MethodResponse::error(request.id, ErrorObjectOwned::from(error))).boxed();
        };
        if SUBSCRIPTIONS.iter().any(|info| info.subscribe == request.method) {
            return match self.check_subscription(came) {
                Ok(()) => {
                    request.extensions.insert(Arc::clone(&self.connection));
                    let begun = self.inner.call(request);
                    async move {
                        let _permit = permit;
                        begun.await
                    }
                    .boxed()
                }
                Err(error) => ready(MethodResponse::error(request.id, error)).boxed(),
            };
        }
        let call = Call {
            id: request.id.clone().into_owned(),
            params: request.params.as_ref().map(|raw| raw.get()),
            permit,
            api: &self.api,
            connection: &self.connection,
        };
        call.dispatch(&request.method)
    }

    fn check_subscription(&self, came: Came) -> Result<(), ErrorObjectOwned> {
        if !self.connection.is_websocket() {
            return Err(ApiError::new(ErrorKind::SubscriptionNeedsWebSocket).into());
        }
        if came == Came::InBatch {
            let message =
                "A subscription can't be part of a batch, nor a notification: send it as a call of its own.";
            return Err(ErrorObject::owned(INVALID_REQUEST_CODE, message, None::<()>));
        }
        Ok(())
    }
}

/// A call that has been read.
struct Call<'a> {
    id: Id<'static>,
    params: Option<&'a str>,
    permit: OwnedSemaphorePermit,
    api: &'a Arc<Api>,
    connection: &'a Arc<Connection>,
}

impl Call<'_> {
    /// Every method that answers once.
    fn dispatch(self, method: &str) -> BoxFuture<'static, MethodResponse> {
        use Pace::{Login, Logout, Roster, Usual};
        match method {
            api::Login::NAME => self.concerning::<api::Login, _, _>(Login, |p| Some(&p.jid), methods::login),
            api::Logout::NAME => {
                self.concerning::<api::Logout, _, _>(Logout, |p| p.account.as_deref(), methods::logout)
            }
            api::ListAccounts::NAME => {
                self.answer::<api::ListAccounts, _, _>(|api, _| methods::list_accounts(api))
            }
            api::GetAccount::NAME => self.concerning::<api::GetAccount, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::get_account,
            ),
            api::LoadRoster::NAME => self.concerning::<api::LoadRoster, _, _>(
                Roster,
                |p| p.account.as_deref(),
                methods::load_roster,
            ),
            api::GetContact::NAME => self.concerning::<api::GetContact, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::get_contact,
            ),
            api::AddContact::NAME => self.concerning::<api::AddContact, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::add_contact,
            ),
            api::UpdateContact::NAME => self.concerning::<api::UpdateContact, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::update_contact,
            ),
            api::RemoveContact::NAME => self.concerning::<api::RemoveContact, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::remove_contact,
            ),
            api::ListSubscriptionRequests::NAME => self.concerning::<api::ListSubscriptionRequests, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::list_subscription_requests,
            ),
            api::ApproveSubscription::NAME => self.concerning::<api::ApproveSubscription, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::approve_subscription,
            ),
            api::DenySubscription::NAME => self.concerning::<api::DenySubscription, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::deny_subscription,
            ),
            api::RequestSubscription::NAME => self.concerning::<api::RequestSubscription, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::request_subscription,
            ),
            api::CancelSubscription::NAME => self.concerning::<api::CancelSubscription, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::cancel_subscription,
            ),
            api::SetAvatar::NAME => {
                self.concerning::<api::SetAvatar, _, _>(Usual, |p| p.account.as_deref(), methods::set_avatar)
            }
            api::SetProfile::NAME => self.concerning::<api::SetProfile, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::set_profile,
            ),
            api::LoadAvatar::NAME => self.concerning::<api::LoadAvatar, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::load_avatar,
            ),
            api::LoadProfile::NAME => self.concerning::<api::LoadProfile, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::load_profile,
            ),
            api::SetPresence::NAME => self.concerning::<api::SetPresence, _, _>(
                Usual,
                |p| p.account.as_deref(),
                methods::set_presence,
            ),
            api::GetEvents::NAME => self.answer::<api::GetEvents, _, _>(methods::get_events),
            api::GetVersion::NAME => self.answer::<api::GetVersion, _, _>(|api, _| methods::get_version(api)),
            api::Discover::NAME => self.answer::<api::Discover, _, _>(|api, _| methods::discover(api)),
            _ if SUBSCRIPTIONS.iter().any(|info| info.unsubscribe == method) => self.unsubscribe(),
            _ => self.refuse(ErrorObject::from(ErrorCode::MethodNotFound)),
        }
    }

    /// A call with a place in its account's order.
    fn concerning<M: Method, T, F>(
        self,
        pace: Pace,
        named: fn(&M::Params) -> Option<&str>,
        method: fn(Arc<Api>, Place, M::Params) -> F,
    ) -> BoxFuture<'static, MethodResponse>
    where
        T: Serialize + Send + Sync + 'static,
        F: Future<Output = Answered<T>> + Send + 'static,
    {
        let params = match parse_params::<M>(self.params) {
            Ok(params) => params,
            Err(error) => return self.refuse(error),
        };
        let account = match named(&params) {
            Some(text) => bare_jid(text),
            None => self.connection.only_account(&self.api.sessions.list()),
        };
        match account {
            Ok(account) => {
                let place = self.connection.order.take_place(account, pace);
                let answer = method(Arc::clone(self.api), place, params);
                respond(self.id, self.permit, answer).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    /// A call that concerns no account's order.
    fn answer<M: Method, T, F>(
        self,
        method: fn(Arc<Api>, M::Params) -> F,
    ) -> BoxFuture<'static, MethodResponse>
    where
        T: Serialize + Send + Sync + 'static,
        F: Future<Output = Answered<T>> + Send + 'static,
    {
        match parse_params::<M>(self.params) {
            Ok(params) => respond(self.id, self.permit, method(Arc::clone(self.api), params)).boxed(),
            Err(error) => self.refuse(error),
        }
    }

    /// Whatever the name of the method: each ends any subscription of its connection.
    fn unsubscribe(self) -> BoxFuture<'static, MethodResponse> {
        if !self.connection.is_websocket() {
            return self.refuse(ApiError::new(ErrorKind::SubscriptionNeedsWebSocket).into());
        }
        match parse_params::<api::Unsubscribe>(self.params) {
            Ok(params) => {
                let SubscriptionId(id) = params.id;
                let was_open = self.connection.close_subscription(id);
                respond(self.id, self.permit, ready(Ok(was_open))).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(self, error: ErrorObjectOwned) -> BoxFuture<'static, MethodResponse> {
        respond(self.id, self.permit, ready(Err::<(), _>(error))).boxed()
    }
}

/// The call's answer. The call counts as in flight until its answer is on its way to the socket,
/// so that a connection that never reads can't pile up answers.
async fn respond<T: Serialize>(
    id: Id<'static>,
    permit: OwnedSemaphorePermit,
    answer: impl Future<Output = Answered<T>>,
) -> MethodResponse {
    let answer = answer.await.map(Arc::new);
    let payload = match &answer {
        Ok(result) => ResponsePayload::success(Arc::clone(result)),
        Err(error) => ResponsePayload::error(error.clone()),
    };
    let (payload, gone) = payload.notify_on_completion();
    tokio::spawn(async move {
        let _ = gone.await;
        drop(permit);
    });
    let response = MethodResponse::response(id.clone(), payload, RESPONSE_BYTES as usize);
    match answer {
        Ok(result) if response.as_error_code() == Some(OVERSIZED_RESPONSE_CODE) => {
            MethodResponse::error(id, too_large(json_bytes(&*result)))
        }
        _ => response,
    }
}

/// The answer is too large to be sent, and this is how large.
fn too_large(bytes: usize) -> ErrorObjectOwned {
    let error = ApiError::limit_exceeded("bytes of an answer", RESPONSE_BYTES.into())
        .text(format!("The answer has {bytes} bytes."))
        .retryable(false);
    ErrorObject::owned(OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, Some(error.data))
}

fn without_id(notification: Notification<'_>) -> Request<'_> {
    let Notification { method, params, extensions, .. } = notification;
    let mut request = Request::borrowed("", None, Id::Null);
    request.method = method;
    request.params = params;
    request.extensions = extensions;
    request
}
