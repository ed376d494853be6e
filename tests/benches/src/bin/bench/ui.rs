//! A cheap UI that subscribes to everything: it parses only what it counts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use prosed_benches::outcome::Ages;
use prosed_benches::play::{LAST, Level, Play, number};
use prosed_tests::Daemon;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything takes here: after this, a wait has failed.
const PATIENCE: Duration = Duration::from_secs(300);

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What the UI has received so far.
#[derive(Default)]
pub(crate) struct Seen {
    online: HashSet<usize>,
    avatars: HashSet<usize>,
    profiles: HashSet<usize>,
    /// The last presence of the login has arrived.
    pub(crate) last: bool,
    /// The server's roster is here.
    pub(crate) roster: Option<Instant>,
    /// Events, of any name.
    pub(crate) events: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// How old stamped presences were.
    pub(crate) ages: Ages,
    /// Accounts that were online when last listed.
    pub(crate) accounts_online: usize,
}

impl Seen {
    /// Whether everything in a play that is sent once has arrived.
    pub(crate) fn all_of(&self, play: &Play) -> bool {
        let told = if play.level == Level::B { play.contacts } else { 0 };
        self.online.len() >= play.online() && self.avatars.len() >= told && self.profiles.len() >= told
    }

    fn note(&mut self, event: &Event<'_>) {
        if event.event == "rosterLoaded" {
            self.roster.get_or_insert_with(Instant::now);
        }
        for contact in &event.contacts {
            let Some(number) = number(&contact.jid) else { continue };
            if contact.availability != "unavailable" {
                self.online.insert(number);
            }
            if contact.avatar.is_some() {
                self.avatars.insert(number);
            }
            if contact.profile.is_some() {
                self.profiles.insert(number);
            }
            if let Some(status) = &contact.status {
                self.last |= status == LAST;
                self.ages.note(status);
            }
        }
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Value>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    result: Event<'a>,
}

/// An event, or an answer that lists contacts.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    contacts: Vec<Shown<'a>>,
}

/// One of the accounts that `list_accounts` answers with.
#[derive(Deserialize)]
struct Standing<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    jid: Cow<'a, str>,
    #[serde(borrow)]
    availability: Cow<'a, str>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    avatar: Option<IgnoredAny>,
    profile: Option<IgnoredAny>,
}

/// One WebSocket connection.
pub(crate) struct Ui {
    socket: WebSocketStream<Box<dyn Io>>,
    last_id: u64,
    pub(crate) seen: Seen,
}

impl Ui {
    /// Connects over TCP with the token.
    pub(crate) async fn connect(daemon: &Daemon) -> Self {
        let address = daemon.address();
        let tcp = TcpStream::connect(&address).await.expect("the daemon listens");
        tcp.set_nodelay(true).expect("a TCP socket");
        Self::upgrade(Box::new(tcp), &address, Some(daemon.token())).await.expect("the daemon lets us in")
    }

    /// Connects over the Unix socket, if anybody listens there.
    pub(crate) async fn try_connect_unix(daemon: &Daemon) -> Option<Self> {
        let socket = UnixStream::connect(daemon.socket()?).await.ok()?;
        Self::upgrade(Box::new(socket), "localhost", None).await
    }

    async fn upgrade(io: Box<dyn Io>, host: &str, token: Option<String>) -> Option<Self> {
        let mut request = format!("ws://{host}/rpc").into_client_request().expect("a URL");
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().expect("a header's value");
            request.headers_mut().insert("authorization", bearer);
        }
        let (socket, _) = client_async(request, io).await.ok()?;
        Some(Self { socket, last_id: 0, seen: Seen::default() })
    }

    /// Connects, and subscribes to everything.
    pub(crate) async fn watching(daemon: &Daemon) -> Self {
        let mut ui = Self::connect(daemon).await;
        ui.call("subscribe", json!({})).await;
        ui
    }

    /// Calls a method and waits for its answer; returns the answer's size in bytes.
    ///
    /// # Panics
    /// If it is an error.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> usize {
        self.send(method, params).await;
        loop {
            if let Some(answer) = self.step().await {
                return answer;
            }
        }
    }

    /// Calls a method, with no subscription open, and waits for its answer without parsing it; returns the
    /// answer's size in bytes.
    pub(crate) async fn receive(&mut self, method: &str, params: Value) -> usize {
        self.send(method, params).await;
        loop {
            let message = self.socket.next().await.expect("the daemon is there").expect("a WebSocket");
            if let Message::Text(answer) = message {
                return answer.len();
            }
        }
    }

    /// Calls a method without waiting for the answer.
    pub(crate) async fn send(&mut self, method: &str, params: Value) {
        self.last_id += 1;
        let call = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        self.socket.send(Message::text(call.to_string())).await.expect("the daemon is there");
    }

    /// Reads frames until the condition holds.
    pub(crate) async fn until(&mut self, enough: impl Fn(&Seen) -> bool) {
        let events = async {
            while !enough(&self.seen) {
                self.step().await;
            }
        };
        timeout(PATIENCE, events).await.expect("all of it comes in time");
    }

    /// Reads and discards, until the daemon is gone.
    pub(crate) async fn drain(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Reads one frame; returns its size in bytes if it answers the last call.
    async fn step(&mut self) -> Option<usize> {
        let message = self.socket.next().await.expect("the daemon is there").expect("a WebSocket");
        let Message::Text(text) = message else { return None };
        let frame: Frame<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if let Some(params) = &frame.params {
            self.seen.events += 1;
            self.seen.bytes += text.len();
            self.seen.note(&params.result);
        }
        assert!(frame.error.is_none(), "{text}");
        if frame.id != Some(self.last_id) {
            return None;
        }
        let answer = frame.result.map_or("", RawValue::get);
        if let Ok(answer) = serde_json::from_str(answer) {
            self.seen.note(&answer);
        } else if let Ok(accounts) = serde_json::from_str::<Vec<Standing<'_>>>(answer) {
            self.seen.accounts_online = accounts.iter().filter(|account| account.state == "online").count();
        }
        Some(text.len())
    }
}
