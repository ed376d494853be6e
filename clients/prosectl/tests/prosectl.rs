//! The program itself, in a pipe, against a daemon that says what the test wants.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Output, Stdio};

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{RpcModule, Server, ServerHandle, SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::api::{self, Method};
use prosed_protocol::endpoint::{Endpoint, FILE_NAME};
use prosed_protocol::{ApiError, ErrorKind, parse_params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

struct Daemon {
    dir: TempDir,
    _server: ServerHandle,
}

const PASSWORD: &str = "correct horse";

impl Daemon {
    async fn start() -> Self {
        let mut module = RpcModule::new(());
        module
            .register_method("login", |params, _, _| {
                let params = parse_params::<api::Login>(params.as_str())?;
                match params.password {
                    None => Err(ErrorObjectOwned::from(ApiError::new(ErrorKind::CredentialsMissing))),
                    Some(password) if password.reveal() == PASSWORD && params.port == Some(5222) => {
                        Ok(api::Login::example().unwrap().1)
                    }
                    Some(_) => Err(ApiError::new(ErrorKind::NotAuthorized)
                        .text("go\u{9b}away")
                        .account(params.jid)
                        .into()),
                }
            })
            .unwrap();
        module.register_method("load_roster", |_, _, _| api::LoadRoster::example().unwrap().1).unwrap();
        module
            .register_method("set_presence", |params, _, _| {
                parse_params::<api::SetPresence>(params.as_str())
                    .map(|params| json!({"status": params.status}))
            })
            .unwrap();
        module
            .register_method("get_events", |params, _, _| {
                let since = parse_params::<api::GetEvents>(params.as_str())?.since.unwrap_or(2);
                // Two pages, and then nothing new.
                let events: Vec<_> = (since + 1..=(since + 1).min(2)).map(event).collect();
                Ok::<_, ErrorObjectOwned>(json!({"events": events, "seq": since + events.len() as u64}))
            })
            .unwrap();
        module
            .register_subscription(
                "subscribe",
                "subscription",
                "unsubscribe",
                |params, pending, _, _| async move {
                    let params = parse_params::<api::Subscribe>(params.as_str()).unwrap();
                    assert_eq!(params.since, Some(0));
                    let sink = pending.accept().await?;
                    for seq in [1, 2] {
                        sink.send(SubscriptionMessage::new(
                            "rosterLoaded",
                            sink.subscription_id(),
                            &event(seq),
                        )?)
                        .await?;
                    }
                    let end = serde_json::value::to_raw_value(&ApiError::lagged(2))?;
                    Err::<(), _>(SubscriptionError::from_json(end))
                },
            )
            .unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let dir = TempDir::new().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "c2VjcmV0").unwrap();
        let endpoint = Endpoint {
            url: Some(format!("ws://{}/rpc", server.local_addr().unwrap())),
            socket: Some(PathBuf::from("/nonexistent/prosed.sock")),
            token_file,
            pid: 1,
            version: "0.1.0".to_owned(),
            api_level: 1,
        };
        std::fs::write(dir.path().join(FILE_NAME), serde_json::to_vec(&endpoint).unwrap()).unwrap();
        Self { dir, _server: server.start(module) }
    }

    async fn prosectl(&self, arguments: &[&str], input: &str) -> Output {
        prosectl(&self.dir, arguments, input).await
    }
}

async fn prosectl(dir: &TempDir, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_prosectl"))
        .args(arguments)
        .env("PROSED_RUNTIME_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may exit without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

fn event(seq: u64) -> Value {
    json!({"event": "rosterLoaded", "seq": seq, "time": "2026-01-31T09:00:12.250Z",
           "account": "me@example.org", "changed": 2})
}

fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn without_a_daemon_it_says_so() {
    let dir = TempDir::new().unwrap();
    let output = prosectl(&dir, &["roster"], "").await;
    assert_eq!(output.status.code(), Some(69));
    assert!(output.stdout.is_empty());
    let message = lines(&output.stderr)[0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("prosed is not running") && message.contains("systemctl"), "{message}");
}

#[tokio::test]
async fn a_stale_endpoint_is_no_daemon() {
    let daemon = Daemon::start().await;
    let Daemon { dir, _server } = daemon;
    _server.stop().unwrap();
    _server.stopped().await;
    let output = prosectl(&dir, &["roster"], "").await;
    assert_eq!(output.status.code(), Some(69));
}

#[tokio::test]
async fn a_password_comes_by_standard_input_or_command() {
    let daemon = Daemon::start().await;
    let login = ["login", "me@example.org", "--port", "5222"];
    let expected = api::Login::example().unwrap().1;

    let output = daemon.prosectl(&[&login[..], &["--password-stdin"]].concat(), "correct horse\nno\n").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![expected.clone()]));

    let command = ["--password-command", "cat"];
    let output = daemon.prosectl(&[&login[..], &command].concat(), "correct horse\n").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![expected]));

    let output = daemon.prosectl(&[&login[..], &["--password-command", "exit 3"]].concat(), "").await;
    assert_eq!(output.status.code(), Some(66));
}

#[tokio::test]
async fn an_error_is_an_exit_code_and_a_line() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["login", "me@example.org", "--password-stdin"], "wrong\n").await;
    assert_eq!(output.status.code(), Some(11));
    let error = &lines(&output.stderr)[0];
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(1001), &json!("notAuthorized")));
    assert!(!String::from_utf8(output.stderr).unwrap().contains('\u{9b}'));

    // There is no terminal to ask on.
    let output = daemon.prosectl(&["login", "me@example.org"], "").await;
    assert_eq!(output.status.code(), Some(12));
}

#[tokio::test]
async fn a_roster_is_a_line_a_contact() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["roster"], "").await;
    assert_eq!(lines(&output.stdout), [api::GetContact::example().unwrap().1]);
}

#[tokio::test]
async fn any_method_can_be_called() {
    let daemon = Daemon::start().await;
    let params = r#"{"availability":"dnd","status":"busy"}"#;
    let output = daemon.prosectl(&["call", "set_presence", params], "").await;
    assert_eq!(lines(&output.stdout), [json!({"status": "busy"})]);
    let output = daemon.prosectl(&["call", "set_presence", "-"], params).await;
    assert_eq!(lines(&output.stdout), [json!({"status": "busy"})]);
    let output = daemon.prosectl(&["call", "set_presence"], "").await;
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("missing field `availability`"));
    let output = daemon.prosectl(&["call", "no_such_method"], "").await;
    assert_eq!(output.status.code(), Some(64));
    let output = daemon.prosectl(&["call", "set_presence", "{"], "").await;
    assert_eq!(output.status.code(), Some(66));
}

#[tokio::test]
async fn events_are_followed_to_their_end() {
    let daemon = Daemon::start().await;
    let output =
        daemon.prosectl(&["events", "--follow", "--since", "0", "--event", "rosterLoaded"], "").await;
    assert_eq!(lines(&output.stdout), [event(1), event(2)]);
    assert_eq!(output.status.code(), Some(52));
    assert_eq!(lines(&output.stderr)[0]["data"]["seq"], 2);
}

#[tokio::test]
async fn past_events_come_page_by_page() {
    let daemon = Daemon::start().await;
    let output = daemon.prosectl(&["events", "--since", "0"], "").await;
    assert_eq!((output.status.code(), lines(&output.stdout)), (Some(0), vec![event(1), event(2)]));
}

/// Runs prosectl on a terminal, with `script` of bsdutils, and types `typed` once it asks.
async fn on_a_terminal(dir: &TempDir, arguments: &str, typed: &str) -> (Option<i32>, String) {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_prosectl"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("PROSED_RUNTIME_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("needs `script`, of bsdutils or util-linux");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    while stdout.read_buf(&mut shown).await.unwrap() > 0 {
        if shown.ends_with(b"Password of me@example.org: ") {
            stdin.write_all(typed.as_bytes()).await.unwrap();
        }
    }
    (child.wait().await.unwrap().code(), String::from_utf8(shown).unwrap())
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_speaks_to_people() {
    let daemon = Daemon::start().await;
    let (code, shown) =
        on_a_terminal(&daemon.dir, "login me@example.org --port 5222", "correct horse\n").await;
    assert!(shown.contains("me@example.org is online as me@example.org/prosed.k7Qf.\r\n"), "{shown}");
    assert_eq!(code, Some(0));

    let (code, shown) = on_a_terminal(&daemon.dir, "login me@example.org --port 5222", "wrong\n").await;
    assert!(shown.contains("prosectl: The server refused the credentials"), "{shown}");
    assert!(shown.contains(r"(go\u{9b}away)"), "{shown}");
    assert_eq!(code, Some(11));

    let (_, shown) = on_a_terminal(&daemon.dir, "roster", "").await;
    assert!(shown.starts_with("JID                NAME   AVAILABILITY"), "{shown}");
    let (_, shown) = on_a_terminal(&daemon.dir, "roster --json", "").await;
    assert_eq!(lines(shown.as_bytes()), [api::GetContact::example().unwrap().1]);
}
