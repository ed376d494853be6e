//! The ways to reach the daemon. Neither is used before it is known who is listening.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::ClientError;
use crate::challenge;
use crate::endpoint::LONGEST_SOCKET_PATH;
use crate::folder::us;

/// The maximum size of a response head to a challenge. The daemon's has some 200 bytes.
const MAX_HEAD_BYTES: usize = 4096;

/// Connects to the Unix socket at `path`, if a program of our own user listens there.
pub(super) async fn open_socket(path: &Path) -> Result<UnixStream, OpenError> {
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        // No socket can be there.
        return Err(io::Error::from(io::ErrorKind::NotFound).into());
    }
    let stream = UnixStream::connect(path).await?;
    // The program that called `listen`: the daemon, or our own systemd, which passes it the socket.
    if stream.peer_cred()?.uid() == us() {
        Ok(stream)
    } else {
        Err(OpenError::Impostor(path.display().to_string()))
    }
}

/// Connects to the port of `url`, if the program there has the token.
pub(super) async fn open_port(url: &str, token: &str) -> Result<TcpStream, OpenError> {
    // An address rather than a name: it is part of the proof.
    let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()?.parse().ok());
    let address: SocketAddr = address
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{url} has no address")))?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let nonce = format!("{:032x}{:032x}", rand::rng().random::<u128>(), rand::rng().random::<u128>());
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: {address}\r\n{}: {nonce}\r\n\r\n",
        challenge::PATH,
        challenge::NONCE_HEADER
    );
    stream.write_all(head.as_bytes()).await?;
    let expected = challenge::answer(token, address, &nonce);
    if read_answer(&mut stream, expected.len()).await? == expected.as_bytes() {
        Ok(stream)
    } else {
        Err(OpenError::Impostor(url.to_owned()))
    }
}

/// The body, of this many bytes. The stream is then at the start of the next response.
async fn read_answer(stream: &mut TcpStream, length: usize) -> Result<Vec<u8>, OpenError> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 || read.len() > MAX_HEAD_BYTES + length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        match status(&read) {
            Some(200) => {}
            Some(status) => return Err(OpenError::Refused(status)),
            None => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
        if read.len() >= end + 4 + length {
            return Ok(read.split_off(end + 4));
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}

/// Why the daemon cannot be reached.
pub(super) enum OpenError {
    /// The system's error.
    Io(io::Error),
    /// Another program is listening there.
    Impostor(String),
    /// The port answered the challenge with this HTTP status.
    Refused(u16),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl OpenError {
    /// Whether nobody is listening at all.
    pub(super) fn is_absence(&self) -> bool {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        matches!(self, Self::Io(error) if absent.contains(&error.kind()))
    }
}

impl From<OpenError> for ClientError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => Self::Unreachable(error.to_string()),
            OpenError::Impostor(place) => Self::Impostor(place),
            OpenError::Refused(status) => Self::Refused(status),
        }
    }
}
