//! A TCP proxy that fails on command, between prosed, which is given its port, and a server. TLS passes through
//! untouched, since a certificate is for a domain and not for an address.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::challenge;
use crate::server::Server;

/// Bytes read at once: what our own pipe holds is little compared with the kernel's buffers.
const CHUNK: usize = 8 * 1024;

/// A direction, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Where and how a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The direction in which bytes are counted.
    pub way: Way,
    /// This many bytes get through, and not one more.
    pub after: u64,
    /// With a reset (RST) towards the client, not an orderly end (FIN).
    pub reset: bool,
}

/// The proxy's current behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Bytes flow.
    Flow,
    /// A black hole: connections stay up, new ones are accepted, and no byte gets through.
    Stall,
    /// New connections are reset at once.
    Refuse,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    mood: watch::Sender<Mood>,
    /// Counts the calls of [`Proxy::cut`].
    cuts: watch::Sender<u64>,
    /// For the next connection.
    cut: Mutex<Option<Cut>>,
    /// The most bytes forwarded at once; 0: as they come.
    pieces: AtomicUsize,
    accepted: Mutex<Vec<Instant>>,
    live: AtomicUsize,
    broken: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
    /// Of the daemon behind us.
    token_file: Mutex<Option<PathBuf>>,
}

/// A proxy on a free port of 127.0.0.1. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of a server's port that wants STARTTLS.
    pub async fn before(server: &Server) -> Self {
        Self::to(SocketAddr::from(([127, 0, 0, 1], server.port))).await
    }

    /// A proxy in front of an address. If nobody listens there, connections are reset.
    pub async fn to(upstream: SocketAddr) -> Self {
        Self::with(|_| upstream).await
    }

    /// A proxy in front of its own port on another loopback address, where a daemon will listen: a daemon admits only
    /// visitors who name its own port.
    pub async fn beside(host: Ipv4Addr) -> Self {
        Self::with(|port| SocketAddr::from((host, port))).await
    }

    async fn with(upstream: impl FnOnce(u16) -> SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared {
            upstream: upstream(port),
            mood: watch::Sender::new(Mood::Flow),
            cuts: watch::Sender::new(0),
            cut: Mutex::new(None),
            pieces: AtomicUsize::new(0),
            accepted: Mutex::new(Vec::new()),
            live: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            token_file: Mutex::new(None),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Self { port, shared, task }
    }

    /// Answers challenges in place of the daemon behind it, with its token: the daemon's own answers are for its own
    /// address. Such a connection counts from the request after the challenge.
    pub fn answer_challenges(&self, token_file: PathBuf) {
        *lock(&self.shared.token_file) = Some(token_file);
    }

    /// Parameters of prosed's `login` through this proxy.
    pub fn login(&self, server: &Server, name: &str) -> Value {
        let mut parameters = server.login(name);
        parameters["port"] = self.port.into();
        parameters
    }

    /// Breaks all connections now, with a reset.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks the next connection at a byte; only that one.
    pub fn cut_next(&self, cut: Cut) {
        *lock(&self.shared.cut) = Some(cut);
    }

    /// Whether [`Proxy::cut_next`] still waits for its connection.
    pub fn is_armed(&self) -> bool {
        lock(&self.shared.cut).is_some()
    }

    /// Lets nothing through in either direction, and closes nothing: a black hole. What arrives in the meantime is
    /// kept, as a network's retransmissions would.
    pub fn stall(&self) {
        self.shared.mood.send_replace(Mood::Stall);
    }

    /// Resets new connections, and breaks existing ones.
    pub fn refuse(&self) {
        self.shared.mood.send_replace(Mood::Refuse);
        self.cut();
    }

    /// Undoes [`Proxy::stall`] and [`Proxy::refuse`].
    pub fn flow(&self) {
        self.shared.mood.send_replace(Mood::Flow);
    }

    /// Forwards at most this many bytes at once, so that every stanza, tag and TLS record is split; 0: as they come.
    pub fn split(&self, bytes: usize) {
        self.shared.pieces.store(bytes, Ordering::Relaxed);
    }

    /// When each connection arrived, including refused ones.
    pub fn accepted(&self) -> Vec<Instant> {
        lock(&self.shared.accepted).clone()
    }

    /// How many connections arrived, including refused ones.
    pub fn connections(&self) -> usize {
        lock(&self.shared.accepted).len()
    }

    /// How many connections are open now.
    pub fn live(&self) -> usize {
        self.shared.live.load(Ordering::Relaxed)
    }

    /// How many connections were broken here, by [`Proxy::cut`], [`Proxy::cut_next`] or
    /// [`Proxy::refuse`].
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Bytes that got through in a direction.
    pub fn bytes(&self, way: Way) -> u64 {
        self.shared.counter(way).load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn counter(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task, and so do its connections.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        lock(&shared.accepted).push(Instant::now());
        if *shared.mood.borrow() == Mood::Refuse {
            reset(&client);
            continue;
        }
        let token_file = lock(&shared.token_file).clone();
        // Immediately, so that connections take their cuts in order of arrival.
        let cut = token_file.is_none().then(|| lock(&shared.cut).take());
        let shared = shared.clone();
        let mut client = client;
        connections.spawn(async move {
            if let Some(token_file) = token_file
                && answer_challenges(&mut client, &token_file, &shared).await.is_err()
            {
                return;
            }
            let cut = cut.unwrap_or_else(|| lock(&shared.cut).take());
            shared.live.fetch_add(1, Ordering::Relaxed);
            carry(client, cut, &shared).await;
            shared.live.fetch_sub(1, Ordering::Relaxed);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers challenges until another request comes.
///
/// # Errors
/// None came.
async fn answer_challenges(client: &mut TcpStream, token_file: &Path, shared: &Shared) -> io::Result<()> {
    let mut mood = shared.mood.subscribe();
    loop {
        let mut seen = [0; challenge::REQUEST.len()];
        let length = client.peek(&mut seen).await?;
        match challenge::REQUEST.as_bytes().strip_prefix(seen.get(..length).unwrap_or_default()) {
            _ if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => return Ok(()),
            Some(b"") => {}
            // The rest is on its way.
            Some(_) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let token = fs::read_to_string(token_file)?;
        let head = String::from_utf8_lossy(&head);
        let answer = challenge::answer(token.trim(), client.local_addr()?, challenge::nonce(&head));
        drop(mood.wait_for(|mood| *mood != Mood::Stall).await);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        client.write_all(answer.as_bytes()).await?;
    }
}

/// Forwards bytes until both sides have ended, or something is cut.
async fn carry(mut client: TcpStream, cut: Option<Cut>, shared: &Shared) {
    // Before any wait: a cut at this moment applies to us, too.
    let mut cuts = shared.cuts.subscribe();
    let connected = async {
        let mut mood = shared.mood.subscribe();
        drop(mood.wait_for(|mood| *mood != Mood::Stall).await);
        TcpStream::connect(shared.upstream).await
    };
    let server = tokio::select! {
        server = connected => server,
        _ = cuts.changed() => Err(cut_error()),
    };
    let mut server = match server {
        Ok(server) => server,
        Err(error) => {
            shared.broken.fetch_add(usize::from(is_cut(&error)), Ordering::Relaxed);
            return reset(&client);
        }
    };
    // Otherwise the kernel would merge what we split.
    let _best_effort = (client.set_nodelay(true), server.set_nodelay(true));
    let limit = |way| cut.filter(|cut| cut.way == way).map(|cut| cut.after);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let broken = tokio::select! {
        carried = async { tokio::try_join!(
            pump(from_client, to_server, Way::Up, limit(Way::Up), shared),
            pump(from_server, to_client, Way::Down, limit(Way::Down), shared),
        ) } => carried.err(),
        _ = cuts.changed() => Some(cut_error()),
    };
    let Some(error) = broken else { return };
    if cut.is_none_or(|cut| cut.reset) {
        reset(&client);
    }
    // Closed before it is counted: a test that sees the count sees no connection.
    drop((client, server));
    shared.broken.fetch_add(usize::from(is_cut(&error)), Ordering::Relaxed);
}

/// Stands for our own cut; sockets on Linux don't fail this way.
fn cut_error() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionAborted)
}

fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// Forwards one direction to its end, and then the end.
///
/// # Errors
/// The connection must break: because of a cut, or because one side broke it.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    limit: Option<u64>,
    shared: &Shared,
) -> io::Result<()> {
    let mut mood = shared.mood.subscribe();
    let mut left = limit;
    let mut buffer = [0; CHUNK];
    while left != Some(0) {
        let read = from.read(&mut buffer).await?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        // The end does not get through a black hole either.
        drop(mood.wait_for(|mood| *mood != Mood::Stall).await);
        if read == 0 {
            return to.shutdown().await;
        }
        while !rest.is_empty() && left != Some(0) {
            let piece = match shared.pieces.load(Ordering::Relaxed) {
                0 => rest.len(),
                pieces => pieces.min(rest.len()),
            };
            let piece = left.map_or(piece, |left| piece.min(usize::try_from(left).unwrap_or(piece)));
            let (now, later) = rest.split_at(piece);
            to.write_all(now).await?;
            shared.counter(way).fetch_add(now.len() as u64, Ordering::Relaxed);
            left = left.map(|left| left - now.len() as u64);
            rest = later;
            if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
    Err(cut_error())
}

fn reset(stream: &TcpStream) {
    // If it is not possible, an orderly end will do.
    let _best_effort = stream.set_zero_linger();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
