//! The doors over real sockets, with a script in place of the accounts.

mod calls;
mod doors;
mod envelope;
mod events;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use prosed_protocol::{EventPayload, RosterLoaded};
use prosed_session::{ImageId, ImageType};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;

use super::guard::Guard;
use super::limits::{Shares, Timeouts};
use super::methods::Api;
use super::metrics::DoorMetrics;
use super::picture::Decoder;
use super::picture_key::PictureKey;
use super::script::Script;
use super::server::Listener;
use super::sessions::Sessions;
use super::token::{Token, random_text};
use super::translate::Translator;
use crate::activity::Activity;
use crate::events::EventLog;
use crate::metrics::Metrics;

const LISTED_ORIGIN: &str = "app://prose";

/// A running daemon with two doors.
struct Daemon {
    address: SocketAddr,
    /// The other door's.
    other_address: SocketAddr,
    /// The Unix socket's path, removed when this is dropped.
    folder: tempfile::TempDir,
    token: String,
    log: Arc<EventLog>,
    activity: Arc<Activity>,
    script: Arc<Script>,
    translator: Translator,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Daemon {
    async fn start() -> Self {
        Self::with(Script::default()).await
    }

    async fn with(script: Script) -> Self {
        Self::with_patience(script, Timeouts::USUAL).await
    }

    /// One that waits at most a fifth of a second for anything.
    async fn impatient(script: Script) -> Self {
        let short = Duration::from_millis(200);
        let patience = Timeouts {
            ping_every: short / 4,
            gone_after: short,
            strange_for: short,
            head_within: short,
            farewell: short,
        };
        Self::with_patience(script, patience).await
    }

    async fn with_patience(script: Script, patience: Timeouts) -> Self {
        let [listener, other] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, other_address] = [&listener, &other].map(|listener| listener.local_addr().unwrap());
        let token = random_text().unwrap();
        let log = Arc::new(EventLog::new(0, Box::new(|wanted| Ok(wanted + 1_000_000))).unwrap());
        script.log.set(Arc::clone(&log)).ok();
        let script = Arc::new(script);
        let translator = Translator::new(PictureKey::from_text(&random_text().unwrap()));
        let activity = Activity::new();
        let counts = DoorMetrics::default();
        let metrics = Metrics::new().with(|to| counts.register(to)).with(|to| log.register(to));
        let api = Api {
            sessions: Sessions::Script(Arc::clone(&script)),
            log: Arc::clone(&log),
            activity: Arc::clone(&activity),
            translator: translator.clone(),
            images: Arc::new(|id, size| {
                let bytes = size.map_or("picture".to_owned(), |size| format!("picture of {}", size.pixels()));
                let image = (id == ImageId([0xab; 20])).then(|| (ImageType::Png, bytes.into_bytes()));
                async move { image }.boxed()
            }),
            decoder: Decoder::default(),
            counts,
            metrics: Arc::new(metrics),
        };
        let doors = [listener, other].map(|listener| {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let address = listener.local_addr().unwrap();
            let token = Token::from_text(&token).unwrap();
            (Listener::Tcp(listener), Guard::port(address, vec![LISTED_ORIGIN.to_owned()], token))
        });
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        let socket = (Listener::Unix(socket), Guard::Socket);
        let doors: Vec<_> = doors.into_iter().chain([socket]).collect();
        let (shutdown, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            super::server::run(doors, api, patience, Shares::of(1024, 2), stopped.map(drop)).await.unwrap();
        });
        Self {
            address,
            other_address,
            folder,
            token,
            log,
            activity,
            script,
            translator,
            shutdown: Some(shutdown),
            running,
        }
    }

    /// A WebSocket with a valid token.
    async fn connect(&self) -> Ui {
        self.connect_at(self.address).await
    }

    async fn connect_at(&self, address: SocketAddr) -> Ui {
        let bearer = format!("Bearer {}", self.token);
        let (ui, _) = self.try_connect_at(address, &[("authorization", &bearer)]).await.unwrap();
        ui
    }

    async fn try_connect(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<(Ui, Response), tokio_tungstenite::tungstenite::Error> {
        self.try_connect_at(self.address, headers).await
    }

    async fn try_connect_at(
        &self,
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<(Ui, Response), tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://{address}/rpc").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let socket = TcpStream::connect(address).await.unwrap();
        let (socket, response) = tokio_tungstenite::client_async(request, socket).await?;
        Ok((Ui { socket, next: 0, early: Vec::new() }, response))
    }

    /// One request on its own socket: status, head, body.
    async fn http(&self, request: &str) -> (u16, String, String) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, head.to_lowercase(), body.to_owned())
    }

    /// A POST with a valid token.
    async fn post(&self, body: &Value) -> Value {
        let (status, _, answer) = self.http(&self.post_request(&body.to_string())).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn post_request(&self, body: &str) -> String {
        format!(
            "POST /rpc HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )
    }

    /// Adds an event of about this many bytes.
    fn happen(&self, account: &str, bytes: usize) -> u64 {
        let loaded = RosterLoaded { version: Some("x".repeat(bytes)), changed: 0 };
        self.log.append(&account.parse().unwrap(), EventPayload::RosterLoaded(loaded))
    }
}

/// A WebSocket client.
struct Ui {
    socket: WebSocketStream<TcpStream>,
    next: u64,
    /// Messages that arrived while something else was awaited.
    early: Vec<Value>,
}

impl Ui {
    /// Writes a call without waiting for anything, and returns its id.
    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params})).await;
        self.next
    }

    async fn write(&mut self, message: &Value) {
        self.socket.feed(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message.
    async fn read(&mut self) -> Value {
        self.socket.flush().await.unwrap();
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the connection ended: {other:?}"),
            }
        }
    }

    /// The answer to a call; other messages are kept.
    async fn answer(&mut self, id: u64) -> Value {
        if let Some(found) = self.early.iter().position(|message| message["id"] == id) {
            return self.early.remove(found);
        }
        loop {
            let message = self.read().await;
            if message["id"] == id {
                return message;
            }
            self.early.push(message);
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        self.answer(id).await
    }
}
