//! A TCP connection that acknowledges data at once during a login.
//!
//! Linux delays an acknowledgement by 40 ms, since it could travel with a reply, and a server that leaves Nagle's
//! algorithm on holds back further data until it is acknowledged. Prosody does; so a login stalled for 40 ms after
//! the TLS handshake, where the stream features wait until the first session ticket is acknowledged, and, if packets
//! are large, once more before the end of the roster.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long after its start a connection counts as logging in. Later, an acknowledgement that travels with data saves
/// a packet, and nobody waits.
const LOGS_IN: Duration = Duration::from_secs(5);

/// See the module's description.
pub(crate) struct QuickAck {
    tcp: TcpStream,
    until: Instant,
}

impl QuickAck {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, until: Instant::now() + LOGS_IN }
    }

    /// The peer's address.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for QuickAck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if read.is_ready() && Instant::now() < self.until {
            // Each time: the kernel forgets it as soon as we reply. If it fails, we wait.
            let _ = self.tcp.set_quickack(true);
        }
        read
    }
}

impl AsyncWrite for QuickAck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Sends and receives in turn, so that the kernel expects a reply to everything; returns whether it acknowledges
    /// the last message at once.
    async fn acknowledges_at_once(until: Instant) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut ours = QuickAck { tcp, until };
        for _ in 0..5 {
            ours.write_all(b"?").await.unwrap();
            theirs.read_u8().await.unwrap();
            theirs.write_all(b"!").await.unwrap();
            ours.read_u8().await.unwrap();
        }
        ours.tcp.quickack().unwrap()
    }

    #[tokio::test]
    async fn acknowledgements_are_prompt_while_a_login_runs_and_no_longer() {
        let now = Instant::now();
        assert!(acknowledges_at_once(now + LOGS_IN).await);
        assert!(!acknowledges_at_once(now).await);
    }
}
