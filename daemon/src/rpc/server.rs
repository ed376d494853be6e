//! The listeners, on their own thread and runtime.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use futures::future::join_all;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::server::{ServerHandle, stop_channel};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::Service as _;

use super::guard::{Guard, is_us};
use super::http::{Door, NoAnswer};
use super::limits::{HEAD_BYTES, Shares, Timeouts};
use super::listeners::Listeners;
use super::methods::{Api, Images};
use super::metrics::DoorMetrics;
use super::muted_socket::{MutedSocket, Voice};
use super::picture::Decoder;
use super::sessions::Sessions;
use super::token::Token;
use super::translate::Translator;
use super::visitors::{Visitor, Visitors};
use crate::accounts::Accounts;
use crate::activity::Activity;
use crate::events::EventLog;
use crate::metrics::Metrics;
use crate::watchdog::Pulse;

/// How long to wait after a failed `accept`: it fails when file descriptors run out, and keeps failing until some are
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything behind the doors.
pub(crate) struct Services {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) log: Arc<EventLog>,
    pub(crate) activity: Arc<Activity>,
    /// The one used for events, so that its picture addresses match ours.
    pub(crate) translator: Translator,
    pub(crate) images: Images,
    /// The doors' own counters, which are registered in `metrics`.
    pub(crate) counts: DoorMetrics,
    /// What `/metrics` serves.
    pub(crate) metrics: Metrics,
    pub(crate) token: Token,
    /// `allowed_origins` from the configuration, as in `app://prose`.
    pub(crate) allowed_origins: Vec<String>,
    /// How many files the process may have open.
    pub(crate) descriptors: u64,
}

/// The open doors. They close when this is dropped; [`Doors::close`] waits for it.
pub(crate) struct Doors {
    close: oneshot::Sender<()>,
    /// Resolves when the thread has ended.
    ended: oneshot::Receiver<Infallible>,
    runtime: Handle,
}

impl Doors {
    /// Closes all connections cleanly; takes about a second at most.
    pub(crate) async fn close(self) {
        drop(self.close);
        let _ = self.ended.await;
    }

    /// Waits until the doors have closed on their own, which only a bug can cause.
    pub(crate) async fn failed(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Shows whether the doors' thread is alive.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse::of(self.runtime.clone())
    }
}

/// Opens the doors on the bound sockets.
///
/// Futures of [`Accounts`] are polled on the doors' own runtime, which ends with them: what must outlive a call must
/// be spawned on the daemon's.
///
/// # Errors
/// If a listener, the runtime or the thread cannot be set up.
pub(crate) fn serve(listeners: Listeners, services: Services) -> io::Result<Doors> {
    let Services {
        accounts,
        log,
        activity,
        translator,
        images,
        counts,
        metrics,
        token,
        allowed_origins,
        descriptors,
    } = services;
    let metrics = Arc::new(metrics);
    let decoder = Decoder::default();
    let api = Api {
        sessions: Sessions::Real(accounts),
        log,
        activity,
        translator,
        images,
        decoder,
        counts,
        metrics,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut doors = Vec::new();
    for listener in listeners.tcp {
        let guard = Guard::port(listener.local_addr()?, allowed_origins.clone(), token.clone());
        listener.set_nonblocking(true)?;
        doors.push((Listener::Tcp(TcpListener::from_std(listener)?), guard));
    }
    for listener in listeners.unix {
        listener.set_nonblocking(true)?;
        doors.push((Listener::Unix(UnixListener::from_std(listener)?), Guard::Socket));
    }
    drop(entered);
    let shares = Shares::of(descriptors, doors.len());
    let (close, closed) = oneshot::channel::<()>();
    let (alive, ended) = oneshot::channel();
    let handle = runtime.handle().clone();
    thread::Builder::new().name("rpc".to_owned()).spawn(move || {
        let _alive = alive;
        let closed = async move { drop(closed.await) };
        if let Err(error) = runtime.block_on(run(doors, api, Timeouts::USUAL, shares, closed)) {
            tracing::error!(%error, "the doors could not be opened");
        }
        // Calls that are still pending end here.
        runtime.shutdown_background();
    })?;
    Ok(Doors { close, ended, runtime: handle })
}

/// Serves until `shutdown` resolves, then closes all connections cleanly.
pub(super) async fn run(
    doors: Vec<(Listener, Guard)>,
    api: Api,
    patience: Timeouts,
    shares: Shares,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, websockets) = stop_channel();
    let api = Arc::new(api);
    let (closing, closed) = watch::channel(());
    let mut sockets: Vec<_> = doors.iter().map(|_| JoinSet::new()).collect();
    let mut accepting = Vec::new();
    for ((listener, guard), sockets) in doors.into_iter().zip(&mut sockets) {
        let door = Door::new(Arc::clone(&api), patience, shares, stop.clone()).map_err(io::Error::other)?;
        let router = Arc::new(door).router(guard);
        accepting.push(accept(listener, router, patience, Visitors::new(shares), sockets, closed.clone()));
    }
    tokio::select! {
        _ = join_all(accepting) => {}
        () = shutdown => {}
    }
    drop((api, stop, closing));
    let farewell = async {
        for mut sockets in sockets {
            while sockets.join_next().await.is_some() {}
        }
        say_goodbye(websockets).await;
    };
    let _ = tokio::time::timeout(patience.farewell, farewell).await;
    Ok(())
}

/// WebSockets get a close frame once their calls are answered.
async fn say_goodbye(websockets: ServerHandle) {
    // Fails only when there are none.
    let _ = websockets.stop();
    websockets.stopped().await;
}

/// A door's listener.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection's socket.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(socket, _)| Socket::Tcp(socket)),
            Self::Unix(listener) => listener.accept().await.map(|(socket, _)| Socket::Unix(socket)),
        }
    }
}

impl Socket {
    /// A file's mode and systemd's unit can be changed; the kernel's information about the peer (SO_PEERCRED) cannot.
    fn may_enter(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Unix(socket) => socket.peer_cred().is_ok_and(|peer| is_us(peer.uid())),
        }
    }
}

/// Accepts connections, without end.
async fn accept(
    listener: Listener,
    router: Router,
    patience: Timeouts,
    visitors: Arc<Visitors>,
    sockets: &mut JoinSet<()>,
    closed: watch::Receiver<()>,
) {
    let mut is_failing = false;
    loop {
        // At a port, everybody is a stranger at first. At the socket, the kernel says who they are.
        let known = match listener {
            Listener::Tcp(_) => None,
            Listener::Unix(_) => Some(visitors.known().await),
        };
        let accepted = listener.accept().await;
        let was_failing = std::mem::replace(&mut is_failing, accepted.is_err());
        match accepted {
            Ok(socket) if !socket.may_enter() => {
                tracing::warn!("another user was turned away from the socket");
            }
            Ok(socket) => {
                let (router, closed) = (router.clone(), closed.clone());
                let visitor = known.unwrap_or_else(|| visitors.stranger());
                sockets.spawn(async move {
                    match socket {
                        Socket::Tcp(socket) => {
                            let _ = socket.set_nodelay(true);
                            talk(socket, router, patience, visitor, closed).await;
                        }
                        Socket::Unix(socket) => talk(socket, router, patience, visitor, closed).await,
                    }
                });
            }
            Err(error) => {
                if !was_failing {
                    tracing::warn!(%error, "connections can't be accepted: trying again until they can");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while sockets.try_join_next().is_some() {}
        // Gives a new connection a chance to be read before the next is accepted: in a crowd of strangers it would
        // otherwise be closed with its request unread.
        tokio::task::yield_now().await;
    }
}

/// HTTP/1.1 on one socket, until it closes, becomes a WebSocket, or the daemon stops.
async fn talk<S>(
    socket: S,
    router: Router,
    patience: Timeouts,
    visitor: Visitor,
    mut closed: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    // A peer that accepts no data for this long is gone, even if its TCP still answers: otherwise it would keep its
    // connection, and everything queued on it, indefinitely.
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(patience.gone_after));
    let voice = Voice::default();
    let socket = MutedSocket::new(Box::pin(socket), voice.clone());
    let guest = visitor.clone();
    let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(guest.clone());
        let (mut router, voice) = (router.clone(), voice.clone());
        async move {
            let Ok(response) = router.call(request).await;
            if response.extensions().get::<NoAnswer>().is_some() {
                return Err(NoAnswer);
            }
            voice.allow();
            Ok(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head_within)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), answer)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = visitor.dismissed(patience.strange_for) => return,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}
