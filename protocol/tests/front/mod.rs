//! A daemon's doors, in front of a server that knows ports and no challenges.
#![allow(dead_code)] // Each test takes what it needs.

use std::net::SocketAddr;
use std::path::Path;

use prosed_protocol::challenge::{self, NONCE_HEADER};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// The head of the next request.
pub(crate) async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers a challenge where there is one, as the daemon on `address`; hands on the head behind it.
pub(crate) async fn prove(stream: &mut TcpStream, token: &str, address: SocketAddr) -> Option<String> {
    loop {
        let head = head(stream).await?;
        if !head.starts_with(&format!("GET {} ", challenge::PATH)) {
            return Some(head);
        }
        let nonce = head.lines().find_map(|line| line.strip_prefix(&format!("{NONCE_HEADER}: "))).unwrap();
        assert!(challenge::is_nonce(nonce), "{nonce}");
        let answer = challenge::answer(token, address, nonce);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// A port in front of a server.
pub(crate) async fn open(token: &'static str, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = prove(&mut stream, token, address).await?;
                carry(stream, &head, server).await
            });
        }
    });
    address
}

/// A Unix socket in front of a server.
pub(crate) fn open_socket(path: &Path, server: SocketAddr) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, "", server));
        }
    });
}

async fn carry(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &str,
    server: SocketAddr,
) -> Option<(u64, u64)> {
    let mut server = TcpStream::connect(server).await.ok()?;
    server.write_all(head.as_bytes()).await.ok()?;
    copy_bidirectional(&mut stream, &mut server).await.ok()
}
