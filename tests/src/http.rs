//! One HTTP request at a time, with only the headers that a test gives, plus `Host`.

use std::io::{Error, Result};

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::daemon::Daemon;

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value; empty if it isn't there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends a request to the daemon's port. `Host` is its address unless `headers` say otherwise; the token is sent only
/// if `headers` contain it ([`bearer`]).
///
/// # Errors
/// If the connection breaks before the answer has arrived.
pub async fn request(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response> {
    let address = daemon.address();
    exchange(TcpStream::connect(&address).await?, build(method, path, &address, headers, body)).await
}

/// Sends a request to the daemon's Unix socket.
///
/// # Errors
/// If the connection breaks before the answer has arrived.
pub async fn request_unix(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response> {
    exchange(
        UnixStream::connect(daemon.socket().expect("endpoint.json has a socket")).await?,
        build(method, path, "localhost", headers, body),
    )
    .await
}

/// The value of `Authorization` with the daemon's token.
pub fn bearer(daemon: &Daemon) -> String {
    format!("Bearer {}", daemon.token())
}

fn build(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", host);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).expect("a test's own method, path and headers")
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(Error::other)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(Error::other)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Error::other)?.to_bytes().to_vec();
    connection.abort();
    Ok(Response { status: head.status, headers: head.headers, body })
}
