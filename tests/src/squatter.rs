//! Another user's program, on a port that the daemon has left: it imitates the daemon as well as it can, and records
//! what it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::challenge;

/// How it answers a challenge.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of the right length.
    Guess,
    /// With the answer of the daemon at this address.
    Relay(SocketAddr),
    /// Correctly: it has the token after all. A control, in which it is sent everything.
    Right(String),
}

/// What each connection has sent.
type Heard = Arc<Mutex<Vec<String>>>;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Squatter {
    /// Where.
    pub address: SocketAddr,
    heard: Heard,
    task: JoinHandle<()>,
}

impl Squatter {
    /// Listens on an address.
    ///
    /// # Panics
    /// If it is not free.
    pub async fn at(address: &str, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("a bound socket");
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, address, answer.clone(), Arc::clone(&hearing)));
            }
        });
        Self { address, heard, task }
    }

    /// Everything received, one connection after the other.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, address: SocketAddr, answer: Answer, heard: Heard) -> Option<()> {
    let number = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(String::new());
        heard.len() - 1
    };
    let hear = |text: &str| {
        if let Some(said) = heard.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
            said.push_str(text);
        }
    };
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = char::from(stream.read_u8().await.ok()?);
            head.push(byte);
            // Immediately: a client may send only part of it.
            hear(byte.encode_utf8(&mut [0; 4]));
        }
        if let Some(key) = header(&head, "sec-websocket-key") {
            let protocol = header(&head, "sec-websocket-protocol")
                .map_or("", |_| "sec-websocket-protocol: prosed.v1\r\n");
            let welcome = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {}\r\n{protocol}\r\n",
                derive_accept_key(key.as_bytes())
            );
            stream.write_all(welcome.as_bytes()).await.ok()?;
            let mut calls = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            while let Some(Ok(message)) = calls.next().await {
                hear(message.to_text().unwrap_or_default());
            }
            return None;
        }
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        hear(&String::from_utf8_lossy(&body));
        let said = if head.starts_with(challenge::REQUEST) {
            respond(&answer, address, &head).await?
        } else {
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()
        };
        let said = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        );
        stream.write_all(said.as_bytes()).await.ok()?;
    }
}

async fn respond(answer: &Answer, address: SocketAddr, head: &str) -> Option<String> {
    match answer {
        Answer::Guess => Some("0".repeat(64)),
        Answer::Right(token) => Some(challenge::answer(token, address, challenge::nonce(head))),
        Answer::Relay(daemon) => {
            let mut daemon = TcpStream::connect(daemon).await.ok()?;
            let end = "\r\nconnection: close\r\n\r\n";
            daemon.write_all(head.trim_end().as_bytes()).await.ok()?;
            daemon.write_all(end.as_bytes()).await.ok()?;
            let mut answer = String::new();
            daemon.read_to_string(&mut answer).await.ok()?;
            answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
