//! The listener, on a thread and a runtime of its own.
//!
//! One thread, because jsonrpsee spawns a task for each message: on one thread they are first
//! polled in the order in which the messages came, and that is what the order of calls stands on.

use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jsonrpsee::server::{ServerHandle, stop_channel};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use super::guard::Guard;
use super::http::Door;
use super::limits::{Patience, SOCKETS};
use super::methods::{Api, Images};
use super::sessions::Sessions;
use super::subscriptions;
use super::token::Token;
use super::translate::Translator;
use crate::accounts::Accounts;
use crate::events::EventLog;

/// How long to wait after a failed `accept`: it fails for want of file descriptors, and goes on
/// failing until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything that the doors lead to.
pub(crate) struct Services {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) log: Arc<EventLog>,
    /// The same one that publishes, so that its URLs of images are ours.
    pub(crate) translator: Translator,
    pub(crate) images: Images,
    pub(crate) token: Token,
    /// `allowed_origins` of the configuration, as in `app://prose`.
    pub(crate) allowed_origins: Vec<String>,
}

/// Opens the doors on a bound listener, until `shutdown` resolves; the thread then ends within
/// about a second.
///
/// Futures of [`Accounts`] are polled on this thread's runtime, which ends with it: what has to
/// outlive a call must be spawned on the daemon's own.
///
/// # Errors
/// When the listener, the runtime or the thread can't be set up.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    services: Services,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let Services { accounts, log, translator, images, token, allowed_origins } = services;
    let guard = Guard::new(listener.local_addr()?, allowed_origins, token);
    let api = Api { sessions: Sessions::Real(accounts), log, translator, images };
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("rpc".to_owned()).spawn(move || {
        let result = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            run(listener, guard, api, Patience::USUAL, shutdown).await
        });
        if let Err(error) = result {
            tracing::error!(%error, "the doors could not be opened");
        }
        // Calls that are still waited for end here.
        runtime.shutdown_background();
    })
}

/// Serves until `shutdown` resolves, and says farewell to those who are connected.
pub(super) async fn run(
    listener: TcpListener,
    guard: Guard,
    api: Api,
    patience: Patience,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, websockets) = stop_channel();
    let methods = subscriptions::register(&api.log).map_err(io::Error::other)?;
    let router = Door::new(guard, Arc::new(api), methods, patience, stop).into_router();
    let (closing, closed) = watch::channel(());
    let mut sockets = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &router, patience, &mut sockets, &closed) => {}
        () = shutdown => {}
    }
    drop((listener, router, closing));
    let farewell = async {
        while sockets.join_next().await.is_some() {}
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

/// Takes in sockets, for ever.
async fn accept(
    listener: &TcpListener,
    router: &Router,
    patience: Patience,
    sockets: &mut JoinSet<()>,
    closed: &watch::Receiver<()>,
) {
    let room = Arc::new(Semaphore::new(SOCKETS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let (router, closed) = (router.clone(), closed.clone());
                sockets.spawn(async move {
                    let _permit = permit;
                    talk(socket, router, patience, closed).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while sockets.try_join_next().is_some() {}
    }
}

/// HTTP/1.1 on one socket, until it ends, becomes a WebSocket, or the daemon stops.
async fn talk(socket: TcpStream, router: Router, patience: Patience, mut closed: watch::Receiver<()>) {
    let _ = socket.set_nodelay(true);
    // A peer that takes nothing for so long is gone, though its TCP still answers: else it would
    // keep its connection, and all that waits to be sent on it, for ever.
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(patience.gone_after));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head_within)
        .serve_connection(TokioIo::new(Box::pin(socket)), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}
