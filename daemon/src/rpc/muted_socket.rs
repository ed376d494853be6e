//! A socket that stays silent until it may speak.
//!
//! To somebody who must not detect us, a socket that closes without a word looks like a port without a listener. The
//! HTTP library answers unreadable requests itself, with a status that a page may see; so anything it writes before a
//! request has been admitted is discarded, and the socket closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether the socket may speak. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Voice(Arc<AtomicBool>);

impl Voice {
    /// From now on it may speak.
    pub(super) fn allow(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The socket.
pub(super) struct MutedSocket<S> {
    socket: S,
    voice: Voice,
}

impl<S> MutedSocket<S> {
    pub(super) fn new(socket: S, voice: Voice) -> Self {
        Self { socket, voice }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MutedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MutedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if !self.voice.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
