//! The client against servers that say exactly what the test wants.
#![cfg(feature = "client")]
#![allow(missing_docs, clippy::unwrap_used)]

mod front;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{RpcModule, Server, ServerHandle, SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::client::{Client, ClientError};
use prosed_protocol::endpoint::{Endpoint, EndpointError, FILE_NAME};
use prosed_protocol::{
    AccountParams, ApiError, ErrorKind, Event, EventPayload, LoginParams, SubscribeParams, api, challenge,
    parse_params,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

const TOKEN: &str = "c2VjcmV0";
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 5299);

struct Daemon {
    dir: TempDir,
}

impl Daemon {
    fn new(url: Option<String>, socket: Option<PathBuf>) -> Self {
        let dir = TempDir::new().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&token_file, PermissionsExt::from_mode(0o600)).unwrap();
        let endpoint =
            Endpoint { url, socket, token_file, pid: 1, version: "0.1.0".to_owned(), api_level: 1 };
        std::fs::write(dir.path().join(FILE_NAME), serde_json::to_vec(&endpoint).unwrap()).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn url(address: SocketAddr) -> Option<String> {
    Some(format!("ws://{address}/rpc"))
}

/// Answers a request with `status`, and tells what its head was.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: u16) -> String {
    let head = front::head(&mut stream).await.unwrap();
    answer(&mut stream, status, "").await;
    head.to_lowercase()
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &str) {
    let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn brings_the_token_over_tcp_to_a_program_that_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = Daemon::new(url(address), None);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = front::prove(&mut stream, TOKEN, address).await.unwrap().to_lowercase();
        answer(&mut stream, 503, "").await;
        head
    };
    let (head, client) = tokio::join!(server, Client::find(daemon.path()));
    assert!(matches!(client, Err(ClientError::Refused(503))), "{client:?}");
    assert!(head.starts_with("get /rpc http/1.1"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {}\r\n", TOKEN.to_lowercase())), "{head}");
}

#[tokio::test]
async fn nobody_else_gets_more_than_the_challenge() {
    let answers = [
        // As the daemon at another address has answered.
        ("relayed", (|nonce| challenge::answer(TOKEN, ELSEWHERE, nonce)) as fn(&str) -> String),
        ("guessed", |nonce| challenge::answer("guess", ELSEWHERE, nonce)),
        ("echoed", |nonce| nonce.to_owned()),
        ("endless", |_| "a".repeat(1 << 20)),
    ];
    for (how, body) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let daemon = Daemon::new(url(listener.local_addr().unwrap()), None);
        let squatter = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = front::head(&mut stream).await.unwrap();
            let nonce = head.lines().find_map(|line| line.strip_prefix("prosed-nonce: ")).unwrap();
            let body = body(nonce);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            // The client may hang up on the way.
            let _ = stream.write_all(answer.as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            (head, rest)
        };
        let ((head, rest), client) = tokio::join!(squatter, Client::find(daemon.path()));
        let error = client.unwrap_err();
        assert!(matches!(error, ClientError::Impostor(_) | ClientError::Unreachable(_)), "{how}: {error}");
        assert!(!head.contains(TOKEN) && rest.is_empty(), "{how}: {head}");
    }
}

#[tokio::test]
async fn a_dead_socket_means_that_nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("prosed.sock");
    let daemon = Daemon::new(url(listener.local_addr().unwrap()), Some(socket.clone()));
    // As `kill -9` leaves it.
    drop(UnixListener::bind(&socket).unwrap());
    for _ in 0..2 {
        let error = Client::find(daemon.path()).await.unwrap_err();
        assert!(matches!(error, ClientError::Endpoint(EndpointError::Stale(1))), "{error}");
        let _ = std::fs::remove_file(&socket);
    }
    let knock = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready())).await;
    assert!(!knock, "it went to the port");
}

#[tokio::test]
async fn prefers_the_socket_and_brings_no_token_there() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("prosed.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = Daemon::new(Some("ws://127.0.0.1:1/rpc".to_owned()), Some(socket));
    let server = async { refuse(listener.accept().await.unwrap().0, 403).await };
    let (head, client) = tokio::join!(server, Client::find(daemon.path()));
    assert!(matches!(client, Err(ClientError::Refused(403))), "{client:?}");
    assert!(!head.contains("authorization"), "{head}");
}

/// systemd holds the socket, and starts the daemon when somebody knocks.
#[tokio::test]
async fn knocks_at_the_socket_of_a_daemon_that_has_not_started() {
    let dir = TempDir::new().unwrap();
    let listener = UnixListener::bind(dir.path().join("prosed.sock")).unwrap();
    let server = async { refuse(listener.accept().await.unwrap().0, 403).await };
    let (_, client) = tokio::join!(server, Client::find(dir.path()));
    assert!(matches!(client, Err(ClientError::Refused(403))), "{client:?}");
}

#[tokio::test]
async fn says_when_no_daemon_runs() {
    let dir = TempDir::new().unwrap();
    let error = Client::find(dir.path()).await.unwrap_err();
    assert!(matches!(error, ClientError::Endpoint(_)), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let daemon = Daemon::new(url(listener.local_addr().unwrap()), None);
    drop(listener);
    let error = Client::find(daemon.path()).await.unwrap_err();
    assert!(matches!(error, ClientError::Endpoint(EndpointError::Stale(1))), "{error}");
}

fn event(seq: u64) -> Value {
    json!({"event": "rosterLoaded", "seq": seq, "time": "2026-01-31T09:00:12.250Z",
           "account": "me@example.org", "changed": 2})
}

/// Two events, then the end of the subscription.
async fn serve() -> (ServerHandle, Client) {
    let mut module = RpcModule::new(());
    module
        .register_method("login", |params, _, _| match parse_params::<api::Login>(params.as_str()) {
            Ok(params) => Err::<(), _>(ErrorObjectOwned::from(
                ApiError::new(ErrorKind::NotAuthorized).account(params.jid).condition("not-authorized"),
            )),
            Err(error) => Err(error),
        })
        .unwrap();
    module
        .register_method("logout", |params, _, _| {
            parse_params::<api::GetAccount>(params.as_str()).map(|params| json!({"was": params.account}))
        })
        .unwrap();
    module
        .register_subscription(
            "subscribe",
            "subscription",
            "unsubscribe",
            |params, pending, _, _| async move {
                let since = parse_params::<api::Subscribe>(params.as_str()).unwrap().since.unwrap();
                let sink = pending.accept().await?;
                for seq in [since + 1, since + 2] {
                    let result = serde_json::value::to_raw_value(&event(seq))?;
                    sink.send(SubscriptionMessage::new("rosterLoaded", sink.subscription_id(), &result)?)
                        .await?;
                }
                // As the daemon ends it for a reader that is too slow.
                let end = serde_json::value::to_raw_value(&ApiError::lagged(since + 2))?;
                Err::<(), _>(SubscriptionError::from_json(end))
            },
        )
        .unwrap();
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let daemon = Daemon::new(url(front::open(TOKEN, server.local_addr().unwrap()).await), None);
    let handle = server.start(module);
    (handle, Client::find(daemon.path()).await.unwrap())
}

#[tokio::test]
async fn an_error_comes_whole() {
    let (_server, client) = serve().await;
    let error = client.call::<api::Login>(LoginParams::new("me@example.org")).await.unwrap_err();
    let ClientError::Call(error) = error else { panic!("{error}") };
    assert_eq!(error.code(), 1001);
    let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
    assert_eq!(data["account"], "me@example.org");
}

#[tokio::test]
async fn an_answer_of_another_type_is_an_error() {
    let (_server, client) = serve().await;
    let params = AccountParams { account: Some("me@example.org".to_owned()) };
    let raw: Value = client.call_raw("logout", &params).await.unwrap();
    assert_eq!(raw, json!({"was": "me@example.org"}));
    let error = client.call_raw::<Vec<String>>("logout", params).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected(_)), "{error}");
}

#[tokio::test]
async fn events_come_in_order_under_their_own_names() {
    let (_server, client) = serve().await;
    let mut events =
        client.subscribe(SubscribeParams { since: Some(40), ..SubscribeParams::default() }).await.unwrap();
    for seq in [41, 42] {
        let event: Event = events.next().await.unwrap().unwrap();
        assert_eq!(event.seq, seq);
        assert!(matches!(event.payload, EventPayload::RosterLoaded(ref loaded) if loaded.changed == 2));
    }
    let ClientError::Call(error) = events.next().await.unwrap().unwrap_err() else {
        panic!("no reason given")
    };
    assert_eq!(error.code(), ErrorKind::Lagged.code());
    let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
    assert_eq!((&data["kind"], &data["seq"]), (&json!("lagged"), &json!(42)));
    assert!(events.next().await.is_none(), "it is over");
}

#[tokio::test]
async fn a_lost_daemon_ends_the_events() {
    let mut module = RpcModule::new(());
    module
        .register_subscription("subscribe", "subscription", "unsubscribe", |_, pending, _, _| async move {
            let sink = pending.accept().await?;
            sink.closed().await;
            Ok::<(), SubscriptionError>(())
        })
        .unwrap();
    let server = Server::builder().build("127.0.0.1:0").await.unwrap();
    let daemon = Daemon::new(url(front::open(TOKEN, server.local_addr().unwrap()).await), None);
    let server = server.start(module);
    let client = Client::find(daemon.path()).await.unwrap();
    let mut events = client.subscribe(SubscribeParams::default()).await.unwrap();
    server.stop().unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Disconnected(_)), "{error}");
    assert!(events.next().await.is_none());
}
