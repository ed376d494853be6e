//! A small client for Rust programs: typed calls, and events as a stream.

mod door;
mod events;
mod follow;
mod paging;

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonrpsee::client_transport::ws::{Url, WsHandshakeError, WsTransportClientBuilder};
use jsonrpsee::core::client::{
    ClientBuilder, ClientT, Error as RpcError, SubscriptionClientT, TransportReceiverT, TransportSenderT,
};
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee_types::ErrorObjectOwned;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::api::{Method, Subscribe, Unsubscribe};
use crate::endpoint::{Endpoint, EndpointError, SOCKET_NAME, read_token};
use crate::error::{ErrorData, ErrorKind};
use crate::event::SubscribeParams;

use self::door::{OpenError, open_port, open_socket};

pub use self::events::EventStream;
pub use self::follow::Follower;

/// The daemon's own bound on requests: an avatar fits.
const MAX_REQUEST_BYTES: u32 = 2 << 20;
/// The daemon's own bound on answers: a roster of 10,000 contacts fits.
const MAX_RESPONSE_BYTES: u32 = 16 << 20;
/// Longer than any call of the API may take: `get_events` waits for a minute at most, `login` for half of one.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// The daemon is on this machine: it answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many events may wait for a reader before its subscription is dropped. It can subscribe again from the last
/// `seq` that it saw.
const MAX_WAITING_EVENTS: usize = 1024;

/// Why a client's operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No endpoint was found.
    #[error("prosed is not running: {0}")]
    Endpoint(#[from] EndpointError),
    /// The daemon can't be reached, though it left an endpoint.
    #[error("prosed does not answer: {0}")]
    Unreachable(String),
    /// The program that listens at this address or socket is not the daemon, or does not have the token. Nothing was
    /// sent to it.
    #[error("what listens at {0} does not prove to be prosed, and was told nothing")]
    Impostor(String),
    /// The token can't be read.
    #[error("the token can't be read: {0}")]
    Token(std::io::Error),
    /// The daemon refused the connection with this HTTP status; 401: the token is wrong.
    #[error("prosed refused the connection (HTTP status {0})")]
    Refused(u16),
    /// The daemon answered with an error.
    #[error("{}", .0.message())]
    Call(ErrorObjectOwned),
    /// The connection is lost, and all its subscriptions with it.
    #[error("the connection to prosed is lost: {0}")]
    Disconnected(String),
    /// No answer arrived in time.
    #[error("prosed did not answer in time")]
    TimedOut,
    /// The events arrived faster than they were read, and the subscription is over. Subscribe again from the last
    /// `seq` that was read.
    #[error("events came faster than they were read")]
    TooSlow,
    /// The answer is not of the expected type: the daemon has a different version.
    #[error("prosed answered with something else than expected: {0}")]
    Unexpected(#[from] serde_json::Error),
}

impl From<RpcError> for ClientError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Call(error) => Self::Call(error),
            RpcError::ParseError(error) => Self::Unexpected(error),
            RpcError::RequestTimeout => Self::TimedOut,
            other => Self::Disconnected(other.to_string()),
        }
    }
}

impl ClientError {
    /// What went wrong, if the daemon said so with a kind that this crate knows.
    pub fn kind(&self) -> Option<ErrorKind> {
        let Self::Call(error) = self else { return None };
        ErrorKind::ALL.iter().copied().find(|kind| kind.code() == error.code())
    }

    /// The daemon's details for programs, if any.
    pub fn data(&self) -> Option<ErrorData> {
        let Self::Call(error) = self else { return None };
        serde_json::from_str(error.data()?.get()).ok()
    }
}

/// A connection to the daemon. Several tasks may call at the same time through an [`std::sync::Arc`].
#[derive(Debug)]
pub struct Client(jsonrpsee::core::client::Client);

impl Client {
    /// Connects to the daemon whose runtime directory is `dir` (see [`runtime_dir`](crate::endpoint::runtime_dir)),
    /// or makes systemd start it if its `prosed.socket` is enabled.
    ///
    /// # Errors
    ///
    /// [`ClientError::Endpoint`] if no daemon is running, else as for [`Client::connect`].
    pub async fn find(dir: &Path) -> Result<Self, ClientError> {
        let absent = match Endpoint::read(dir) {
            Err(absent @ EndpointError::Absent(_)) => absent,
            found => return Self::connect(&found?).await,
        };
        // If systemd holds the socket, the first connection starts the daemon.
        match soon(open_socket(&dir.join(SOCKET_NAME))).await? {
            Err(error) if error.is_absence() => Err(absent.into()),
            opened => Self::connect_unix(opened?).await,
        }
    }

    /// Connects over the Unix socket; if the endpoint names none, over TCP with the token. Sends nothing to another
    /// user's program, which may have taken the place of a daemon that has ended.
    ///
    /// # Errors
    ///
    /// [`ClientError::Endpoint`] if nobody is listening any more, [`ClientError::Impostor`] if another program is;
    /// [`ClientError::Unreachable`], [`ClientError::Token`], [`ClientError::Refused`] or [`ClientError::TimedOut`].
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, ClientError> {
        let here = |error: OpenError| match error.is_absence() {
            true => EndpointError::Stale(endpoint.pid).into(),
            false => ClientError::from(error),
        };
        if let Some(socket) = &endpoint.socket {
            return Self::connect_unix(soon(open_socket(socket)).await?.map_err(here)?).await;
        }
        let url = endpoint
            .url
            .as_deref()
            .ok_or_else(|| ClientError::Unreachable("it has neither a socket nor a port".to_owned()))?;
        let token = read_token(&endpoint.token_file).map_err(ClientError::Token)?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ClientError::Token(std::io::ErrorKind::InvalidData.into()))?;
        bearer.set_sensitive(true);
        let stream = soon(open_port(url, &token)).await?.map_err(here)?;
        // The connection that has passed the challenge.
        Self::upgrade(url, HeaderMap::from_iter([(AUTHORIZATION, bearer)]), stream).await
    }

    /// The kernel tells the daemon who we are: no token. The host in the address is ignored.
    async fn connect_unix(stream: impl Stream) -> Result<Self, ClientError> {
        Self::upgrade("ws://localhost/rpc", HeaderMap::new(), stream).await
    }

    async fn upgrade(url: &str, headers: HeaderMap, stream: impl Stream) -> Result<Self, ClientError> {
        let transport = transport(headers).build_with_stream(parse_url(url)?, stream);
        Ok(Self::over(soon(transport).await?.map_err(refused)?))
    }

    fn over<S, R>((sender, receiver): (S, R)) -> Self
    where
        S: TransportSenderT + Send,
        R: TransportReceiverT + Send,
    {
        let builder = ClientBuilder::default()
            .request_timeout(CALL_TIMEOUT)
            .max_buffer_capacity_per_subscription(MAX_WAITING_EVENTS);
        Self(builder.build_with_tokio(sender, events::EndsAsItems(receiver)))
    }

    /// Calls `M`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with the daemon's error, or the error of the connection.
    pub async fn call<M: Method>(&self, params: M::Params) -> Result<M::Result, ClientError> {
        self.call_raw(M::NAME, params).await
    }

    /// Calls a method that may be newer than this crate.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn call_raw<R: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Serialize + Send,
    ) -> Result<R, ClientError> {
        Ok(self.0.request(method, ByName(to_raw_value(&params)?)).await?)
    }

    /// Subscribes to events. Dropping the stream ends the subscription.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn subscribe(&self, params: SubscribeParams) -> Result<EventStream, ClientError> {
        self.subscribe_raw(params).await
    }

    /// Subscribes to events that may be newer than this crate, each read as a `T`: a `serde_json::Value`, for
    /// example.
    ///
    /// # Errors
    ///
    /// As for [`Client::call`].
    pub async fn subscribe_raw<T: DeserializeOwned>(
        &self,
        params: impl Serialize + Send,
    ) -> Result<EventStream<T>, ClientError> {
        let params = ByName(to_raw_value(&params)?);
        let subscription = self.0.subscribe(Subscribe::NAME, params, Unsubscribe::NAME).await?;
        Ok(EventStream::of(subscription))
    }
}

fn transport(headers: HeaderMap) -> WsTransportClientBuilder {
    WsTransportClientBuilder {
        headers,
        max_request_size: MAX_REQUEST_BYTES,
        max_response_size: MAX_RESPONSE_BYTES,
        ..WsTransportClientBuilder::default()
    }
}

fn parse_url(url: &str) -> Result<Url, ClientError> {
    Url::parse(url).map_err(|error| ClientError::Unreachable(format!("{url}: {error}")))
}

fn refused(error: WsHandshakeError) -> ClientError {
    match error {
        WsHandshakeError::Rejected { status_code } | WsHandshakeError::Redirected { status_code, .. } => {
            ClientError::Refused(status_code)
        }
        other => ClientError::Unreachable(other.to_string()),
    }
}

/// For what the daemon does immediately, or not at all.
async fn soon<T>(work: impl Future<Output = T>) -> Result<T, ClientError> {
    timeout(CONNECT_TIMEOUT, work).await.map_err(|_| ClientError::TimedOut)
}

/// A connection to the daemon.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

struct ByName(Box<RawValue>);

impl ToRpcParams for ByName {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}
