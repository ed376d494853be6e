//! The doors as HTTP: `/rpc`, `/challenge`, `/healthz`, `/metrics`, `/openrpc.json`, `/avatars`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    Entry, HeaderName, IF_NONE_MATCH, SEC_WEBSOCKET_PROTOCOL, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jsonrpsee::core::server::MethodSink;
use jsonrpsee::server::ws::is_upgrade_request;
use jsonrpsee::server::{ConnectionGuard, Methods, RegisterMethodError, StopHandle};
use jsonrpsee::types::error::OVERSIZED_REQUEST_CODE;
use prosed_protocol::{WEBSOCKET_PROTOCOL, challenge, openrpc};
use prosed_session::ImageId;
use soketto::handshake::http::Server as Handshake;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::answer::Answer;
use super::calls::Calls;
use super::connection::Connection;
use super::console;
use super::envelope::PeerId;
use super::guard::{Guard, Refusal, offers_subprotocol};
use super::limits::{self, MESSAGES_UNDER_WAY, REQUEST_BYTES, Shares, Timeouts};
use super::methods::Api;
use super::metrics::DoorMetrics;
use super::subscriptions::{self, Subscriptions};
use super::visitors::Visitor;
use super::websocket::WebSocket;
use crate::cache::ThumbnailSize;
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;

/// What is behind one door, which counts its own connections.
pub(super) struct Door {
    api: Arc<Api>,
    subscriptions: Methods,
    ids: Arc<subscriptions::Ids>,
    patience: Timeouts,
    /// WebSockets, and POSTs in flight.
    room: ConnectionGuard,
    stop: StopHandle,
}

/// Marks a response that must not be sent: the socket closes without a word.
#[derive(Clone, Debug, thiserror::Error)]
#[error("turned away without a word")]
pub(super) struct NoAnswer;

impl Door {
    pub(super) fn new(
        api: Arc<Api>,
        patience: Timeouts,
        shares: Shares,
        stop: StopHandle,
    ) -> Result<Self, RegisterMethodError> {
        // Separate, like its numbers: jsonrpsee identifies a subscription by both.
        let subscriptions = subscriptions::register(&api.log, &api.counts)?;
        let room = ConnectionGuard::new(shares.websockets as usize);
        Ok(Self { api, subscriptions, ids: Arc::default(), patience, room, stop })
    }

    /// What is behind the door with this guard.
    pub(super) fn router(self: &Arc<Self>, guard: Guard) -> Router {
        let entrance = Arc::new(Entrance { guard, counts: self.api.counts.clone() });
        Router::new()
            .route("/rpc", any(rpc))
            .route(challenge::PATH, get(prove).with_state(Arc::clone(&entrance)))
            .route("/healthz", get(async || "ok\n"))
            .route("/metrics", get(metrics))
            .route("/openrpc.json", get(description))
            .route("/avatars/{key}/{id}", get(avatar))
            .fallback(console::serve)
            .layer(from_fn_with_state(entrance, enter))
            .with_state(Arc::clone(self))
    }
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Anything that is not a page loads nothing, and cannot be framed.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Marks a response with a picture.
#[derive(Clone)]
struct IsPicture;

/// One door, as seen by its visitors.
struct Entrance {
    guard: Guard,
    counts: DoorMetrics,
}

/// Admits requests that pass the guard, and answers CORS as it says.
async fn enter(State(entrance): State<Arc<Entrance>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    conceal(&mut parts.headers);
    // A WebSocket's request outlives this: it must not keep the visitor's seat.
    let visitor = parts.extensions.remove::<Visitor>();
    let recognize = || visitor.as_ref().is_none_or(Visitor::recognize);
    let (mut response, cors_origin) = match entrance.guard.check(&parts) {
        Err(refusal) => {
            entrance.counts.refused(refusal);
            (refuse(refusal), None)
        }
        Ok(admission) if admission.preflight => (preflight(&parts.headers), admission.cors_origin),
        Ok(admission) if admission.known && !recognize() => {
            (StatusCode::TOO_MANY_REQUESTS.into_response(), admission.cors_origin)
        }
        Ok(admission) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            let is_answer = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
            if admission.foreign && !is_answer {
                response.extensions_mut().insert(NoAnswer);
            }
            (response, admission.cors_origin)
        }
    };
    // Callers who know a picture's address have it from somebody with the token.
    if response.extensions().get::<IsPicture>().is_some() {
        recognize();
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NO_PAGE));
    headers.append(VARY, HeaderValue::from_static("origin, sec-fetch-site"));
    if let Some(origin) = cors_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Proves to a client, before it sends anything, that it has reached the daemon.
async fn prove(State(entrance): State<Arc<Entrance>>, headers: HeaderMap) -> Response {
    match entrance.guard.answer(&headers) {
        Some(answer) => answer.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Libraries that log requests omit what is marked this way.
fn conceal(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL] {
        if let Entry::Occupied(mut values) = headers.entry(name) {
            values.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

fn refuse(refusal: Refusal) -> Response {
    tracing::debug!(%refusal, "a request was turned away");
    let Some(status) = refusal.status() else {
        let mut response = Response::default();
        response.extensions_mut().insert(NoAnswer);
        return response;
    };
    let mut response = (status, format!("{refusal}\n")).into_response();
    if refusal == Refusal::WrongToken {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Fetch §3.3.3, and Private Network Access for pages from elsewhere.
fn preflight(request: &HeaderMap) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, prosed-nonce"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if request.contains_key("access-control-request-private-network") {
        let allow = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(allow, HeaderValue::from_static("true"));
    }
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// JSON-RPC: a WebSocket, or one POST.
async fn rpc(State(door): State<Arc<Door>>, request: Request) -> Response {
    let is_websocket = is_upgrade_request(&request);
    if !is_websocket && request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, POST")], "POST, or open a WebSocket\n")
            .into_response();
    }
    let Some(place) = door.room.try_acquire() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many connections\n").into_response();
    };
    if is_websocket { upgrade(&door, request, place) } else { post(&door, request).await }
}

/// Opens a WebSocket; it keeps its place until it closes.
fn upgrade(door: &Door, mut request: Request, place: OwnedSemaphorePermit) -> Response {
    let mut handshake = Handshake::new();
    let mut response = match handshake.receive_request(&request) {
        Ok(response) => response.map(|()| Body::empty()),
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("this is no WebSocket handshake: {error}\n"))
                .into_response();
        }
    };
    if offers_subprotocol(request.headers()) {
        let chosen = HeaderValue::from_static(WEBSOCKET_PROTOCOL);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let (outgoing, messages) = mpsc::channel(MESSAGES_UNDER_WAY);
    let sink = MethodSink::new(outgoing.clone());
    let calls = Calls {
        api: Arc::clone(&door.api),
        connection: Arc::new(Connection::new(Some(door.api.counts.websocket()), door.api.activity.viewer())),
        subscriptions: Some(Subscriptions::new(door.subscriptions.clone(), Arc::clone(&door.ids), sink)),
    };
    let websocket = WebSocket { calls, outgoing, messages, patience: door.patience, stop: door.stop.clone() };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        websocket.serve(upgrade, handshake).await;
        drop(place);
    });
    response
}

/// Answers one POST: with 200 if there is something to say, even an error, and with 204 to notifications.
async fn post(door: &Door, request: Request) -> Response {
    let message = match Limited::new(request.into_body(), REQUEST_BYTES as usize).collect().await {
        Ok(message) => message.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let error = limits::exceeded(OVERSIZED_REQUEST_CODE, "bytes of a request", REQUEST_BYTES);
            let answer = json(Answer::error(&PeerId::null(), error));
            return (StatusCode::PAYLOAD_TOO_LARGE, answer).into_response();
        }
        // Unreadable chunks, such as those of a request with two lengths (RFC 9112 §6.1). Or the connection broke,
        // and nobody reads this.
        Err(_) => return (StatusCode::BAD_REQUEST, "the body can't be read\n").into_response(),
    };
    let connection = Arc::new(Connection::new(None, door.api.activity.viewer()));
    let calls = Calls { api: Arc::clone(&door.api), connection, subscriptions: None };
    match calls.begin(&message).await {
        Some(answer) => json(answer).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

fn json(answer: Answer) -> impl IntoResponse {
    let (json, _) = answer.into_parts();
    ([(CONTENT_TYPE, "application/json")], String::from(Box::<str>::from(json)))
}

/// The daemon's metrics, for Prometheus.
async fn metrics(State(door): State<Arc<Door>>) -> Response {
    let metrics = Arc::clone(&door.api.metrics);
    // It reads the disk, which must not delay any call.
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        failed => {
            tracing::error!(?failed, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The API, for programs: the same as `rpc.discover`.
async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], openrpc().to_string()).into_response()
}

/// A picture, for `<img>`: anybody who knows the key may load it. `?size=64`: a square thumbnail.
async fn avatar(
    State(door): State<Arc<Door>>,
    Path((key, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !door.api.translator.is_picture_key(&key) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(id) = id.parse::<ImageId>() else { return StatusCode::NOT_FOUND.into_response() };
    let size = match query.as_deref().map(|query| query.strip_prefix("size=").map(str::parse)) {
        None => None,
        Some(Some(Ok(size))) => Some(ThumbnailSize::fitting(size)),
        Some(_) => return (StatusCode::BAD_REQUEST, "size is a number of pixels\n").into_response(),
    };
    // Ids and sizes determine the bytes: they never change.
    let tag = size.map_or_else(|| format!("\"{id}\""), |size| format!("\"{id}-{}\"", size.pixels()));
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|tags| {
        let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|known| known.trim_start_matches("W/") == tag)
    });
    let headers = [
        (ETAG, tag.as_str()),
        (CACHE_CONTROL, "private, max-age=31536000, immutable"),
        // For the listed pages.
        (RESOURCE_POLICY, "cross-origin"),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, Extension(IsPicture), headers).into_response();
    }
    match (door.api.images)(id, size).await {
        Some((kind, bytes)) => {
            (Extension(IsPicture), headers, [(CONTENT_TYPE, kind.media_type())], bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_request_shows_no_token() {
        let mut headers = HeaderMap::new();
        for name in [AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL] {
            headers.append(name.clone(), HeaderValue::from_static("prosed.v1, secret"));
            headers.append(name, HeaderValue::from_static("Bearer secret"));
        }
        conceal(&mut headers);
        assert!(!format!("{headers:?}").contains("secret"));
        assert!(offers_subprotocol(&headers));
    }
}
