//! A UI for tests: JSON-RPC over WebSocket with nothing between the test and the JSON.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::PATIENCE;
use crate::daemon::Daemon;
use crate::http::bearer;
use crate::inbox::Inbox;

/// TCP or a Unix socket.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An error object of JSON-RPC 2.0.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The message for people.
    pub message: String,
    /// The data for machines; `Null` if there is none.
    pub data: Value,
}

impl RpcError {
    /// `data.kind`
    pub fn kind(&self) -> &str {
        self.data["kind"].as_str().unwrap_or_default()
    }
}

/// One WebSocket connection to the daemon. All frames are kept in order of arrival.
pub struct Ui {
    frames: Inbox<Value>,
    sender: Mutex<SplitSink<WebSocketStream<Box<dyn Io>>, Message>>,
    reader: JoinHandle<()>,
    ids: AtomicU64,
    /// The subprotocol the daemon chose, if any.
    pub subprotocol: Option<String>,
}

impl Ui {
    /// Connects over TCP with the token in the header.
    ///
    /// # Panics
    /// When the daemon refuses.
    pub async fn connect(daemon: &Daemon) -> Self {
        match Self::connect_with(daemon, &[("authorization", &bearer(daemon))]).await {
            Ok(ui) => ui,
            Err(status) => panic!("the daemon refused: {status}\n{}", daemon.log()),
        }
    }

    /// Connects, and receives every event from now on.
    ///
    /// # Panics
    /// If the daemon refuses.
    pub async fn watching(daemon: &Daemon) -> Self {
        let ui = Self::connect(daemon).await;
        ui.subscribe(json!({})).await;
        ui
    }

    /// Connects over TCP with `Host` (unless given) and only these headers.
    ///
    /// # Errors
    /// The status with which the daemon refused the upgrade.
    pub async fn connect_with(daemon: &Daemon, headers: &[(&str, &str)]) -> Result<Self, StatusCode> {
        let address = daemon.address();
        let stream = TcpStream::connect(&address).await.expect("the daemon's port is open");
        Self::upgrade(Box::new(stream), &address, headers).await
    }

    /// Connects over the Unix socket, which needs no token.
    ///
    /// # Errors
    /// The status with which the daemon refused the upgrade.
    pub async fn connect_unix(daemon: &Daemon) -> Result<Self, StatusCode> {
        let stream = UnixStream::connect(daemon.socket().expect("endpoint.json has a socket"))
            .await
            .expect("the daemon's socket is there");
        Self::upgrade(Box::new(stream), "localhost", &[]).await
    }

    async fn upgrade(
        stream: Box<dyn Io>,
        address: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, StatusCode> {
        let host = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map_or(address, |(_, host)| host);
        let mut request = Request::get(format!("ws://{address}/rpc"))
            .header("host", host)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a test's own headers");
        let (socket, response) = match client_async(request, stream).await {
            Ok(upgraded) => upgraded,
            Err(Error::Http(response)) => return Err(response.status()),
            Err(error) => panic!("no WebSocket handshake: {error}"),
        };
        let subprotocol = response.headers().get("sec-websocket-protocol");
        let subprotocol = subprotocol.and_then(|name| name.to_str().ok()).map(str::to_owned);
        let (sender, mut receiver) = socket.split();
        let frames = Inbox::new(Value::to_string);
        let inbox = frames.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = receiver.next().await {
                match message {
                    Message::Text(text) => {
                        inbox.push(serde_json::from_str(&text).unwrap_or_else(|_| json!(&*text)))
                    }
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            inbox.close();
        });
        Ok(Self { frames, sender: Mutex::new(sender), reader, ids: AtomicU64::new(1), subprotocol })
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// The daemon's error object.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.answer(&self.send_call(method, params).await).await
    }

    /// Sends a call without waiting; returns its id.
    pub async fn send_call(&self, method: &str, params: Value) -> Value {
        let id = Value::from(self.ids.fetch_add(1, Ordering::Relaxed));
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&call.to_string()).await;
        id
    }

    /// Waits for the answer to a call that was sent before.
    ///
    /// # Errors
    /// The daemon's error object.
    pub async fn answer(&self, id: &Value) -> Result<Value, RpcError> {
        // Longer than the longest call: a login into an unreachable network takes 30 s.
        let patience = PATIENCE + Duration::from_secs(30);
        let is_answer = |frame: &Value| frame.get("method").is_none() && frame.get("id") == Some(id);
        let frame = self.frames.expect(patience, &format!("the answer to call {id}"), is_answer).await;
        assert_eq!(frame["jsonrpc"], "2.0", "{frame}");
        match frame.get("error") {
            None => Ok(frame["result"].clone()),
            Some(error) => Err(RpcError {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].clone(),
            }),
        }
    }

    /// Sends a text frame with any content.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&self, text: &str) {
        self.sender.lock().await.send(Message::text(text)).await.expect("the daemon is there");
    }

    /// Subscribes; returns the subscription's id.
    ///
    /// # Panics
    /// If the daemon refuses.
    pub async fn subscribe(&self, params: Value) -> Value {
        self.call("subscribe", params).await.unwrap_or_else(|error| panic!("not subscribed: {error:?}"))
    }

    /// The contacts in the answer to `load_roster`, if there is one account.
    ///
    /// # Panics
    /// If the answer is an error.
    pub async fn contacts(&self) -> Vec<Value> {
        let roster = self.call("load_roster", json!({})).await;
        let roster = roster.unwrap_or_else(|error| panic!("no roster: {error:?}"));
        roster["contacts"].as_array().cloned().expect("load_roster answers with contacts")
    }

    /// Waits for an event (its `params.result`) that matches and that no earlier wait has taken.
    ///
    /// # Panics
    /// If none arrives within [`PATIENCE`].
    pub async fn event(&self, name: &str, fits: impl FnMut(&Value) -> bool) -> Value {
        let frame = self.frames.expect(PATIENCE, name, event_filter(name, fits)).await;
        frame["params"]["result"].clone()
    }

    /// The same; none if nothing matches within `patience`.
    pub async fn event_within(
        &self,
        patience: Duration,
        name: &str,
        fits: impl FnMut(&Value) -> bool,
    ) -> Option<Value> {
        let frame = self.frames.wait(patience, event_filter(name, fits)).await?;
        Some(frame["params"]["result"].clone())
    }

    /// Waits, however long, for the next event of any name; none if the daemon is gone.
    pub async fn next_event(&self) -> Option<Value> {
        let frame = self.frames.wait(Duration::MAX, |frame| frame.get("method").is_some()).await?;
        Some(frame["params"]["result"].clone())
    }

    /// Waits for a `contactChanged` with this contact in a matching state; returns that contact.
    ///
    /// # Panics
    /// If none arrives within [`PATIENCE`].
    pub async fn contact(&self, jid: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let named = |event: &Value| {
            event["contacts"].as_array().into_iter().flatten().find(|contact| contact["jid"] == jid).cloned()
        };
        let event =
            self.event("contactChanged", |event| named(event).is_some_and(|contact| fits(&contact))).await;
        named(&event).unwrap_or_default()
    }

    /// All events so far, or since [`Ui::forget_received`] (their `params.result`), whatever the subscription.
    pub fn events(&self) -> Vec<Value> {
        let results = self.frames.all().into_iter().filter(|frame| frame.get("method").is_some());
        results.map(|frame| frame["params"]["result"].clone()).collect()
    }

    /// Drops everything received so far: later waits see only what comes from now on.
    pub fn forget_received(&self) {
        self.frames.clear();
    }

    /// All frames so far: answers and events as received.
    pub fn frames(&self) -> Vec<Value> {
        self.frames.all()
    }

    /// Waits until the daemon has closed the connection.
    pub async fn closed(&self) {
        self.frames.closed(PATIENCE).await;
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn event_filter(name: &str, mut fits: impl FnMut(&Value) -> bool) -> impl FnMut(&Value) -> bool {
    move |frame| frame["method"] == name && fits(&frame["params"]["result"])
}
