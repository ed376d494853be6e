//! Requests that must fail, at the real daemon: every dimension of a request, wrong in all combinations. None
//! succeeds, none gets an answer with anything of ours, and the first check that a request fails gives the reason.
//! Without the guards, the same requests succeed.

use std::fmt;

use futures::{SinkExt, StreamExt, stream};
use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::xml::find;
use prosed_tests::{Daemon, PATIENCE, Ui};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A way to write one dimension of a request, and the status by which it is refused. `{host}` is the
/// daemon's own address, `{token}` its token.
type Way = (&'static str, Option<u16>);

/// In place of a status: a page that gets no answer can't tell us from a closed port.
const HUNG_UP: u16 = 0;

/// The first [`FEW`] are combined with all others; of the rest, each is tried alone.
const HOSTS: &[Way] = &[
    ("host: {host}", None),
    ("host: evil.example", Some(HUNG_UP)),
    ("", Some(400)),
    ("host: {host}\r\nhost: {host}", Some(400)),
    ("host: evil.example:{port}", Some(HUNG_UP)),
    ("host: localhost.evil.example:{port}", Some(HUNG_UP)),
    ("host: 127.0.0.1", Some(HUNG_UP)),
    ("host: 127.0.0.1:{port}0", Some(HUNG_UP)),
    ("host: 0.0.0.0:{port}", Some(HUNG_UP)),
    ("host: user@{host}", Some(HUNG_UP)),
];
const ORIGINS: &[Way] = &[
    ("", None),
    ("origin: http://evil.example", Some(HUNG_UP)),
    ("origin: null", Some(HUNG_UP)),
    ("origin: file://", Some(HUNG_UP)),
    ("origin: https://{host}", Some(HUNG_UP)),
    ("origin: http://{host}.evil.example", Some(HUNG_UP)),
    ("origin: http://{host}\r\norigin: http://{host}", Some(HUNG_UP)),
    ("origin: ", Some(HUNG_UP)),
    // A browser that names no origin, but says that the page is another site's.
    ("sec-fetch-site: cross-site", Some(HUNG_UP)),
    ("sec-fetch-site: same-site", Some(HUNG_UP)),
    ("sec-fetch-site: same-origin\r\nsec-fetch-site: same-origin", Some(HUNG_UP)),
];
const TOKENS: &[Way] = &[
    ("authorization: Bearer {token}", None),
    ("", Some(401)),
    ("authorization: Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some(401)),
    ("authorization: Bearer {token}x", Some(401)),
    ("authorization: Bearer ", Some(401)),
    ("authorization: Basic {token}", Some(401)),
    ("authorization: {token}", Some(401)),
    ("authorization: Bearer {token}\r\nauthorization: Bearer {token}", Some(401)),
    ("cookie: token={token}", Some(401)),
    // For browsers' WebSockets, and not without the name of the protocol.
    ("sec-websocket-protocol: prosed.bearer.{token}", Some(401)),
];
const TYPES: &[Way] = &[
    ("content-type: application/json", None),
    ("content-type: text/plain", Some(415)),
    ("", Some(415)),
    ("content-type: application/x-www-form-urlencoded", Some(415)),
    ("content-type: multipart/form-data; boundary=x", Some(415)),
    ("content-type: text/plain; application/json", Some(415)),
    ("content-type: application/json\r\ncontent-type: application/json", Some(415)),
];
const PATHS: &[Way] = &[
    ("/rpc", None),
    ("/admin", Some(404)),
    ("/ws", Some(404)),
    ("/rpc/", Some(404)),
    ("//rpc", Some(404)),
    ("/RPC", Some(404)),
    ("/%72pc", Some(404)),
    ("/x/../rpc", Some(404)),
    // The target outweighs `Host`.
    ("http://evil.example/rpc", Some(HUNG_UP)),
];
const FEW: usize = 3;

/// By what a request is refused first.
const ORDER: [u16; 5] = [400, HUNG_UP, 401, 415, 404];

/// What is sent, and how it is refused: by a POST's status or by a JSON-RPC error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Fine,
    /// More than 2 MiB.
    Large,
    /// More than 32 calls in a batch.
    Many,
    /// A parameter so deep that parsing it by recursion would end the process.
    Deep,
}

const BODIES: [Body; 4] = [Body::Fine, Body::Large, Body::Many, Body::Deep];

impl Body {
    fn text(self) -> String {
        let call = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let roster = call("load_roster", json!({}));
        let presence = call("set_presence", json!({ "availability": "dnd", "status": "intruder" }));
        match self {
            Self::Fine => json!([roster, presence]).to_string(),
            Self::Large => format!("[{}{roster},{presence}]", " ".repeat(2 << 20)),
            Self::Many => Value::from(vec![roster; 33]).to_string(),
            Self::Deep => {
                let deep = "[".repeat(100_000) + &"]".repeat(100_000);
                call("set_presence", json!({ "status": "intruder", "availability": "<deep>" }))
                    .to_string()
                    .replace("\"<deep>\"", &deep)
            }
        }
    }

    fn refusal(self, post: bool) -> Option<Refusal> {
        match self {
            Self::Fine => None,
            Self::Large if post => Some(Refusal::Status(413)),
            Self::Large => Some(Refusal::Error(-32007)),
            Self::Many => Some(Refusal::Error(-32010)),
            Self::Deep => Some(Refusal::Error(-32602)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Status(u16),
    Error(i64),
}

/// A request: a POST, or a WebSocket with one message.
#[derive(Clone, Copy)]
struct Attempt {
    post: bool,
    ways: [Way; 5],
    body: Body,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways.map(|(text, _)| text).join(" | ");
        write!(f, "{} {ways:?} {:?}", if self.post { "POST" } else { "WebSocket" }, self.body)
    }
}

/// What came back: the status, and all that was said, head included.
#[derive(Debug)]
struct Answer {
    status: u16,
    said: String,
}

impl Answer {
    fn is_success(&self) -> bool {
        matches!(self.status, 101 | 200) && self.said.contains("\"result\":")
    }
}

impl Attempt {
    /// By what it is refused: the first check that it doesn't pass.
    fn refusal(&self) -> Option<Refusal> {
        let head = ORDER.into_iter().find(|status| self.ways.iter().any(|way| way.1 == Some(*status)));
        head.map(Refusal::Status).or_else(|| self.body.refusal(self.post))
    }

    async fn make(&self, daemon: &Daemon) -> Answer {
        let address = daemon.address();
        let port = address.rsplit(':').next().expect("a port");
        let [host, origin, token, kind, path] = self.ways.map(|(text, _)| text);
        let mut head = format!("{} {path} HTTP/1.1\r\n", if self.post { "POST" } else { "GET" });
        for lines in [host, origin, token, if self.post { kind } else { "" }] {
            if !lines.is_empty() {
                head.extend([lines, "\r\n"]);
            }
        }
        let body = self.body.text();
        if self.post {
            head.push_str(&format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()));
        } else {
            head.push_str("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n");
            head.push_str("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        }
        let head =
            head.replace("{host}", &address).replace("{port}", port).replace("{token}", &daemon.token());
        let stream = TcpStream::connect(&address).await.expect("the port is open");
        let answered = async {
            if self.post { post(stream, head + &body).await } else { websocket(stream, &head, body).await }
        };
        timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("no answer to {self}"))
    }
}

/// Writes all of it as long as it is taken, and reads the answer to its end.
async fn post(mut stream: TcpStream, request: String) -> Answer {
    let (mut reader, mut writer) = stream.split();
    let mut said = Vec::new();
    // Who is refused by the head may be hung up on before the body's end.
    let (_sent, _read) = tokio::join!(writer.write_all(request.as_bytes()), reader.read_to_end(&mut said));
    answer(said)
}

async fn websocket(mut stream: TcpStream, head: &str, message: String) -> Answer {
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => said.push(byte),
            Err(_) => break,
        }
    }
    let mut answer = answer(said);
    if answer.status == 101 {
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        // Too large a message may not be taken to its end.
        let _sent = socket.send(Message::text(message)).await;
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                answer.said.push_str(&text);
                break;
            }
        }
    } else {
        let mut rest = Vec::new();
        let length = answer.said.to_lowercase();
        let length =
            length.split("content-length: ").nth(1).and_then(|it| it.split("\r\n").next()?.parse().ok());
        let _read = stream.take(length.unwrap_or(0)).read_to_end(&mut rest).await;
        answer.said.push_str(&String::from_utf8_lossy(&rest));
    }
    answer
}

fn answer(said: Vec<u8>) -> Answer {
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, said }
}

/// Every combination of a few ways, and every other way by itself, but for those that are right.
fn attempts() -> Vec<Attempt> {
    let all = [HOSTS, ORIGINS, TOKENS, TYPES, PATHS];
    let right = all.map(|ways| ways[0]);
    let mut heads = vec![right];
    for (dimension, ways) in all.into_iter().enumerate() {
        // The last two by one way less: a content type is right or wrong.
        let few = if dimension < 3 { FEW } else { FEW - 1 };
        heads = heads
            .into_iter()
            .flat_map(|head| {
                ways.iter().take(few).map(move |way| {
                    let mut head = head;
                    head[dimension] = *way;
                    head
                })
            })
            .collect();
    }
    let mut attempts = Vec::new();
    for ways in heads {
        for body in BODIES {
            attempts.push(Attempt { post: true, ways, body });
            // A WebSocket has no content type.
            if ways[3].1.is_none() {
                attempts.push(Attempt { post: false, ways, body });
            }
        }
    }
    for (dimension, ways) in all.into_iter().enumerate() {
        for way in ways.iter().skip(1) {
            let mut ways = right;
            ways[dimension] = *way;
            let body = Body::Fine;
            attempts.push(Attempt { post: true, ways, body });
            if dimension != 3 {
                attempts.push(Attempt { post: false, ways, body });
            }
        }
    }
    // In the address, where it would be written down by whoever sees it.
    for path in ["/rpc?token={token}", "/rpc?access_token={token}", "/rpc?authorization=Bearer%20{token}"] {
        let mut ways = right;
        (ways[2], ways[4]) = (("", Some(401)), (path, None));
        attempts.extend([true, false].map(|post| Attempt { post, ways, body: Body::Fine }));
    }
    attempts.retain(|attempt| attempt.refusal().is_some());
    attempts
}

/// A daemon with an account that has something to tell.
async fn daemon(setup: prosed_tests::daemon::Setup) -> (Daemon, Ui, Served) {
    let server = Hostile::listen().await;
    let daemon = Daemon::start(setup.trust_ca(&server.ca_pem)).await;
    let ui = Ui::connect(&daemon).await;
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let peer = server.accept_session("me", "secret").await.serve(|stanza| {
        let item = "<item jid='alice@prosed.test' name='Alice Liddell' subscription='both'/>";
        find(stanza, "query", "jabber:iq:roster")
            .map(|_| format!("<query xmlns='jabber:iq:roster'>{item}</query>"))
    });
    ui.answer(&login).await.expect("logged in");
    assert_eq!(ui.contacts().await.len(), 1);
    (daemon, ui, peer)
}

/// Makes them all, some at a time.
async fn make(daemon: &Daemon, attempts: Vec<Attempt>) -> Vec<(Attempt, Answer)> {
    let made = stream::iter(attempts).map(async |attempt| (attempt, attempt.make(daemon).await));
    made.buffer_unordered(4).collect().await
}

#[tokio::test]
async fn none_of_hundreds_of_wrong_requests_succeeds_or_learns_anything() {
    let (mut daemon, ui, _peer) = daemon(Daemon::setup()).await;
    let attempts = attempts();
    assert!(attempts.len() >= 300, "{} attempts", attempts.len());
    let token = daemon.token();
    let version = daemon.endpoint()["version"].as_str().expect("a version").to_owned();
    let secrets = [token.as_str(), &version, "prosed.test", "Alice", "alice"];
    let mut wrong = Vec::new();
    for (attempt, answer) in make(&daemon, attempts).await {
        let refused = match attempt.refusal() {
            Some(Refusal::Status(status)) => answer.status == status,
            Some(Refusal::Error(code)) => answer.said.contains(&format!("\"code\":{code},")),
            None => false,
        };
        let leaked: Vec<_> = secrets.iter().filter(|secret| answer.said.contains(**secret)).collect();
        if answer.is_success() || !refused || !leaked.is_empty() {
            wrong.push(format!("{attempt}\n{:?}, {leaked:?}: {answer:?}", attempt.refusal()));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let info = ui.call("get_account", json!({})).await.expect("an account");
    assert!(info.get("status").is_none() && info["availability"] == "available", "{info}");
    assert!(daemon.is_running());
}

/// What is too deep is no guard of ours to take out: no parameter nests, so the first bracket is one
/// too many.
#[tokio::test]
async fn without_the_guards_the_same_requests_succeed() {
    let setup =
        ["host", "origin", "foreign-page", "token", "content-type", "path", "request-size", "batch-size"]
            .into_iter()
            .fold(Daemon::setup(), prosed_tests::daemon::Setup::without);
    let (daemon, ui, _peer) = daemon(setup).await;
    let mut attempts = attempts();
    attempts.retain(|attempt| attempt.body != Body::Deep);
    for (attempt, answer) in make(&daemon, attempts).await {
        assert!(answer.is_success() && answer.said.contains("alice@prosed.test"), "{attempt}\n{answer:?}");
    }
    let info = ui.call("get_account", json!({})).await.expect("an account");
    assert_eq!(info["status"], "intruder");
}

/// Each guard separately: nothing else refuses what it is there for.
#[tokio::test]
async fn each_guard_is_the_only_one_for_something() {
    let right = [HOSTS, ORIGINS, TOKENS, TYPES, PATHS].map(|ways| ways[0]);
    let guards = ["host", "origin", "token", "content-type", "path", "request-size", "batch-size"];
    for (dimension, guard) in guards.into_iter().enumerate() {
        let mut attempt = Attempt { post: true, ways: right, body: Body::Fine };
        match dimension {
            0..5 => attempt.ways[dimension] = [HOSTS, ORIGINS, TOKENS, TYPES, PATHS][dimension][1],
            5 => attempt.body = Body::Large,
            _ => attempt.body = Body::Many,
        }
        let (daemon, _ui, _peer) = daemon(Daemon::setup().without(guard)).await;
        let answer = attempt.make(&daemon).await;
        assert!(answer.is_success(), "without {guard}: {attempt}\n{answer:?}");
    }
    let foreign = ORIGINS.iter().find(|way| way.0.starts_with("sec-fetch-site")).expect("a way");
    let mut attempt = Attempt { post: true, ways: right, body: Body::Fine };
    attempt.ways[1] = *foreign;
    let (daemon, _ui, _peer) = daemon(Daemon::setup().without("foreign-page")).await;
    let answer = attempt.make(&daemon).await;
    assert!(answer.is_success(), "without foreign-page: {attempt}\n{answer:?}");
}
