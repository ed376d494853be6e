//! From a message to its answer: parameters, place, limits.
//!
//! All of [`Calls::begin`] runs when the message is read, so calls take their places in order of arrival; what it
//! returns may run in any order.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, ready};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{OVERSIZED_RESPONSE_CODE, TOO_BIG_BATCH_RESPONSE_CODE};
use prosed_protocol::api::{self, CallName, Done, Method, SUBSCRIPTIONS};
use prosed_protocol::{ApiError, ErrorKind, SubscriptionId, parse_params};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Answer;
use super::connection::Connection;
use super::envelope::{self, Entry, Message, PeerId, Refused, Request};
use super::limits::{self, CALLS_IN_FLIGHT, RESPONSE_BYTES};
use super::methods::{self, Answered, Api, bare_jid};
use super::nearest;
use super::order::{Pace, Place};
use super::state;
use super::subscriptions::Subscriptions;

/// Answers the calls of one connection.
pub(super) struct Calls {
    pub(super) api: Arc<Api>,
    pub(super) connection: Arc<Connection>,
    /// Absent if events cannot be pushed: for a POST.
    pub(super) subscriptions: Option<Subscriptions>,
}

/// Whether a call came alone. The answer to a subscription cannot be part of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Alone,
    InBatch,
}

/// Resolves to the answer; to none for a notification, or if a subscription has answered.
pub(super) type Answering = BoxFuture<'static, Option<Answer>>;

impl Calls {
    /// Reads a message and takes the places of its calls immediately; the future does the rest.
    pub(super) fn begin(&self, message: &[u8]) -> Answering {
        match envelope::read(message) {
            Ok(Message::Single(entry)) => self.begin_entry(entry, Came::Alone),
            Ok(Message::Batch(entries)) => {
                // All take their places before any is awaited.
                let begun: Vec<_> =
                    entries.into_iter().map(|entry| self.begin_entry(entry, Came::InBatch)).collect();
                async move { batch(join_all(begun).await.into_iter().flatten().collect()) }.boxed()
            }
            Err(error) => ready(Some(Answer::error(&PeerId::null(), error))).boxed(),
        }
    }

    fn begin_entry(&self, entry: Entry<'_>, came: Came) -> Answering {
        match entry {
            Ok(request) => self.begin_request(request, came),
            Err(Refused { id, error }) => ready(Some(Answer::error(&id, error))).boxed(),
        }
    }

    /// Checks the call, takes its place, and counts it once it is answered.
    fn begin_request(&self, request: Request<'_>, came: Came) -> Answering {
        let counts = self.api.counts.clone();
        let method = request.method.clone();
        let wanted = request.id.is_some();
        let begun = self.begin_uncounted(request, came);
        async move {
            let answer = begun.await;
            counts.answered(&method, answer.code());
            answer.sendable().filter(|_| wanted)
        }
        .boxed()
    }

    fn begin_uncounted(&self, request: Request<'_>, came: Came) -> BoxFuture<'static, Answer> {
        if request.method != api::SetActivity::NAME {
            self.connection.viewer().calls();
        }
        let came = if request.id.is_some() { came } else { Came::InBatch };
        let id = request.id.unwrap_or_else(PeerId::null);
        let Some(permit) = self.connection.try_begin_call() else {
            let error = ApiError::limit_exceeded("calls in flight on one connection", CALLS_IN_FLIGHT as u64);
            return ready(Answer::error(&id, error)).boxed();
        };
        if SUBSCRIPTIONS.iter().any(|info| info.subscribe == request.method) {
            return match self.may_subscribe(came) {
                Ok(subscriptions) => subscriptions.open(
                    &request.method,
                    request.params,
                    id,
                    Arc::clone(&self.connection),
                    permit,
                ),
                Err(error) => ready(Answer::error(&id, error)).boxed(),
            };
        }
        let call = Call {
            id,
            params: request.params.map(RawValue::get),
            permit,
            api: &self.api,
            connection: &self.connection,
        };
        call.dispatch(&request.method)
    }

    fn may_subscribe(&self, came: Came) -> Result<&Subscriptions, ApiError> {
        let Some(subscriptions) = &self.subscriptions else {
            return Err(ApiError::new(ErrorKind::SubscriptionNeedsWebSocket));
        };
        if came == Came::InBatch {
            let message =
                "A subscription can't be part of a batch, nor a notification: send it as a call of its own.";
            return Err(ApiError::new(ErrorKind::InvalidRequest).message(message));
        }
        Ok(subscriptions)
    }
}

/// The answers of a batch in one, if there are any.
fn batch(answers: Vec<Answer>) -> Option<Answer> {
    if answers.is_empty() {
        return None;
    }
    let too_large =
        || limits::exceeded(TOO_BIG_BATCH_RESPONSE_CODE, "bytes of a batch's answer", RESPONSE_BYTES);
    Some(Answer::batch(answers).unwrap_or_else(|| Answer::error(&PeerId::null(), too_large())))
}

/// A call that has been read.
struct Call<'a> {
    id: PeerId,
    params: Option<&'a str>,
    permit: OwnedSemaphorePermit,
    api: &'a Arc<Api>,
    connection: &'a Arc<Connection>,
}

impl Call<'_> {
    /// Every method with a single answer; a method of the table that is missing here does not compile.
    fn dispatch(self, method: &str) -> BoxFuture<'static, Answer> {
        use Pace::{AtOnce, Login, Logout, Usual};
        let Some(name) = CallName::of(method) else {
            return if SUBSCRIPTIONS.iter().any(|info| info.unsubscribe == method) {
                self.unsubscribe()
            } else {
                self.refuse(nearest::unknown_method(method))
            };
        };
        match name {
            CallName::Login => self.concerning(api::Login, Login, |p| Some(&p.jid), methods::login),
            CallName::Logout => {
                self.concerning(api::Logout, Logout, |p| p.account.as_deref(), methods::logout)
            }
            CallName::Reconnect => {
                self.concerning(api::Reconnect, AtOnce, |p| p.account.as_deref(), methods::reconnect)
            }
            CallName::ListAccounts => self.answer(api::ListAccounts, |api, _| methods::list_accounts(api)),
            CallName::GetAccount => {
                self.concerning(api::GetAccount, AtOnce, |p| p.account.as_deref(), methods::get_account)
            }
            CallName::LoadRoster => {
                self.concerning(api::LoadRoster, AtOnce, |p| p.account.as_deref(), methods::load_roster)
            }
            CallName::LoadState => self.answer(api::LoadState, state::load_state),
            CallName::GetContact => {
                self.concerning(api::GetContact, AtOnce, |p| p.account.as_deref(), methods::get_contact)
            }
            CallName::ShowContacts => {
                self.concerning(api::ShowContacts, AtOnce, |p| p.account.as_deref(), methods::show_contacts)
            }
            CallName::SetActivity => self.set_activity(),
            CallName::AddContact => {
                self.concerning(api::AddContact, Usual, |p| p.account.as_deref(), methods::add_contact)
            }
            CallName::UpdateContact => {
                self.concerning(api::UpdateContact, Usual, |p| p.account.as_deref(), methods::update_contact)
            }
            CallName::RenameGroup => {
                self.concerning(api::RenameGroup, Usual, |p| p.account.as_deref(), methods::rename_group)
            }
            CallName::RemoveContact => {
                self.concerning(api::RemoveContact, Usual, |p| p.account.as_deref(), methods::remove_contact)
            }
            CallName::ListSubscriptionRequests => self.concerning(
                api::ListSubscriptionRequests,
                AtOnce,
                |p| p.account.as_deref(),
                methods::list_subscription_requests,
            ),
            CallName::ApproveSubscription => self.concerning(
                api::ApproveSubscription,
                Usual,
                |p| p.account.as_deref(),
                methods::approve_subscription,
            ),
            CallName::DenySubscription => self.concerning(
                api::DenySubscription,
                Usual,
                |p| p.account.as_deref(),
                methods::deny_subscription,
            ),
            CallName::RequestSubscription => self.concerning(
                api::RequestSubscription,
                Usual,
                |p| p.account.as_deref(),
                methods::request_subscription,
            ),
            CallName::CancelSubscription => self.concerning(
                api::CancelSubscription,
                Usual,
                |p| p.account.as_deref(),
                methods::cancel_subscription,
            ),
            CallName::SetAvatar => {
                self.concerning(api::SetAvatar, Usual, |p| p.account.as_deref(), methods::set_avatar)
            }
            CallName::SetProfile => {
                self.concerning(api::SetProfile, Usual, |p| p.account.as_deref(), methods::set_profile)
            }
            CallName::LoadAvatar => {
                self.concerning(api::LoadAvatar, Usual, |p| p.account.as_deref(), methods::load_avatar)
            }
            CallName::LoadProfile => {
                self.concerning(api::LoadProfile, Usual, |p| p.account.as_deref(), methods::load_profile)
            }
            CallName::SetPresence => {
                self.concerning(api::SetPresence, Usual, |p| p.account.as_deref(), methods::set_presence)
            }
            CallName::GetEvents => self.answer(api::GetEvents, methods::get_events),
            CallName::GetVersion => self.answer(api::GetVersion, |api, _| methods::get_version(api)),
            CallName::Discover => self.answer(api::Discover, |api, _| methods::discover(api)),
        }
    }

    /// A call with a place in its account's order.
    fn concerning<M: Method, T, F>(
        self,
        _: M,
        pace: Pace,
        named: fn(&M::Params) -> Option<&str>,
        method: fn(Arc<Api>, Place, M::Params) -> F,
    ) -> BoxFuture<'static, Answer>
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
                respond(M::NAME, self.id, self.permit, answer).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    /// A call outside any account's order.
    fn answer<M: Method, T, F>(self, _: M, method: fn(Arc<Api>, M::Params) -> F) -> BoxFuture<'static, Answer>
    where
        T: Serialize + Send + Sync + 'static,
        F: Future<Output = Answered<T>> + Send + 'static,
    {
        match parse_params::<M>(self.params) {
            Ok(params) => {
                respond(M::NAME, self.id, self.permit, method(Arc::clone(self.api), params)).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    /// It concerns this connection alone.
    fn set_activity(self) -> BoxFuture<'static, Answer> {
        if !self.connection.is_websocket() {
            let message = "Activity belongs to a WebSocket connection: a POST request has none.";
            return self.refuse(ApiError::new(ErrorKind::SubscriptionNeedsWebSocket).message(message));
        }
        match parse_params::<api::SetActivity>(self.params) {
            Ok(params) => {
                self.connection.viewer().says(params.active);
                respond(api::SetActivity::NAME, self.id, self.permit, ready(Ok(Done {}))).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    /// Regardless of the method's name: each ends any subscription of its connection.
    fn unsubscribe(self) -> BoxFuture<'static, Answer> {
        if !self.connection.is_websocket() {
            return self.refuse(ApiError::new(ErrorKind::SubscriptionNeedsWebSocket));
        }
        match parse_params::<api::Unsubscribe>(self.params) {
            Ok(params) => {
                let SubscriptionId(id) = params.id;
                let was_open = self.connection.close_subscription(id);
                respond(api::Unsubscribe::NAME, self.id, self.permit, ready(Ok(was_open))).boxed()
            }
            Err(error) => self.refuse(error),
        }
    }

    fn refuse(self, error: impl Into<ErrorObjectOwned>) -> BoxFuture<'static, Answer> {
        ready(Answer::error(&self.id, error)).boxed()
    }
}

/// The call's answer. The call counts as in flight until its answer is being written to the socket, so that a
/// connection that never reads cannot pile up answers.
async fn respond<T: Serialize>(
    method: &str,
    id: PeerId,
    permit: OwnedSemaphorePermit,
    answer: impl Future<Output = Answered<T>>,
) -> Answer {
    let answer = match answer.await {
        Ok(result) => {
            Answer::result(&id, &result).unwrap_or_else(|bytes| Answer::error(&id, too_large(method, bytes)))
        }
        Err(error) => Answer::error(&id, error),
    };
    answer.holding(permit)
}

/// The answer is too large to send: its size, and what to do.
fn too_large(method: &str, bytes: usize) -> ApiError {
    let remedy = match method {
        api::LoadRoster::NAME => " Load it in pages: set `limit`, then `after` to the last JID of each page.",
        api::LoadState::NAME => {
            " Set `limit`, and load the rest in pages with `load_roster`; or name an `account`."
        }
        _ => "",
    };
    limits::exceeded(OVERSIZED_RESPONSE_CODE, "bytes of an answer", RESPONSE_BYTES)
        .text(format!("The answer has {bytes} bytes.{remedy}"))
}
