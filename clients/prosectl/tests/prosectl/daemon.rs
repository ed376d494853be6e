//! A daemon that answers every method with its own example, and remembers what it was asked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{RpcModule, Server, ServerHandle, SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use prosed_protocol::api::{self, Method};
use prosed_protocol::endpoint::{Endpoint, FILE_NAME};
use prosed_protocol::{ApiError, ErrorKind, parse_params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::front;

/// The events that there are, numbered from one.
pub(crate) const EVENTS: u64 = 2;
/// What it could be told apart by.
pub(crate) const TOKEN: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG8";
const PASSWORD: &str = "correct horse";

pub(crate) struct Daemon {
    pub(crate) dir: TempDir,
    asked: Asked,
    pub(crate) server: ServerHandle,
}

/// Methods with their parameters.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

impl Daemon {
    pub(crate) async fn start() -> Self {
        let asked = Asked::default();
        let mut module = RpcModule::from_arc(Arc::clone(&asked));
        for info in api::CALLS {
            let answer = move |params: jsonrpsee::types::Params<'_>, asked: &Mutex<Vec<_>>, _: &_| {
                (info.check_params)(params.as_str())?;
                let params: Value = serde_json::from_str(params.as_str().unwrap()).unwrap();
                asked.lock().unwrap().push((info.name.to_owned(), params.clone()));
                answer(info.name, &params)
            };
            module.register_method(info.name, answer).unwrap();
        }
        module.register_subscription("subscribe", "subscription", "unsubscribe", serve).unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        let dir = TempDir::new().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (address, socket) = (server.local_addr().unwrap(), dir.path().join("socket"));
        front::open_socket(&socket, address);
        let endpoint = Endpoint {
            url: Some(format!("ws://{}/rpc", front::open(TOKEN, address).await)),
            socket: Some(socket),
            token_file,
            pid: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_level: 1,
        };
        std::fs::write(dir.path().join(FILE_NAME), serde_json::to_vec(&endpoint).unwrap()).unwrap();
        Self { dir, asked, server: server.start(module) }
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(crate) async fn prosectl(&self, arguments: &[&str], input: &str) -> Output {
        prosectl(self.dir.path(), arguments, input.as_bytes()).await
    }
}

fn answer(method: &str, params: &Value) -> Result<Value, ErrorObjectOwned> {
    match method {
        "login" if params.get("password").is_none() => {
            Err(ApiError::new(ErrorKind::CredentialsMissing).into())
        }
        "login" if params["password"] != PASSWORD => {
            let refused = ApiError::new(ErrorKind::NotAuthorized).text("go\u{9b}away");
            Err(refused.account(params["jid"].as_str().unwrap()).into())
        }
        "get_events" => {
            // A page each, and then nothing new.
            let since = params.get("since").and_then(Value::as_u64).unwrap_or(EVENTS);
            let events: Vec<_> = (since + 1..=(since + 1).min(EVENTS)).map(event).collect();
            Ok(json!({"events": events, "seq": since + events.len() as u64}))
        }
        "rpc.discover" => Ok(prosed_protocol::openrpc()),
        _ => {
            let info = api::CALLS.iter().find(|info| info.name == method).unwrap();
            Ok((info.example)().unwrap_or_else(|| panic!("{method} has no example")).1)
        }
    }
}

async fn serve(
    params: jsonrpsee::types::Params<'static>,
    pending: jsonrpsee::core::server::PendingSubscriptionSink,
    asked: Asked,
    _: jsonrpsee::Extensions,
) -> Result<(), SubscriptionError> {
    let parsed = parse_params::<api::Subscribe>(params.as_str()).unwrap();
    asked.lock().unwrap().push((api::Subscribe::NAME.to_owned(), json!(parsed)));
    let since = parsed.since.unwrap_or(EVENTS);
    if since > EVENTS {
        pending.reject(ApiError::cursor_expired(1)).await;
        return Ok(());
    }
    let sink = pending.accept().await?;
    for seq in since + 1..=EVENTS {
        sink.send(SubscriptionMessage::new("rosterLoaded", sink.subscription_id(), &event(seq))?).await?;
    }
    sink.closed().await;
    Ok(())
}

pub(crate) fn event(seq: u64) -> Value {
    json!({"event": "rosterLoaded", "seq": seq, "time": "2026-01-31T09:00:12.250Z",
           "account": "me@example.org", "changed": 2})
}

/// prosectl in a pipe.
pub(crate) fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prosectl"));
    command.args(arguments).env("PROSED_RUNTIME_DIR", dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn prosectl(dir: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(dir, arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may exit without reading.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

pub(crate) fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
