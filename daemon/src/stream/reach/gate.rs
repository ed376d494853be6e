//! What a server says in plain text passes through here: little of it, and in order ([`Stage::Plain`]).

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::stream::read::limits::Broken;
use crate::stream::read::scanner::{Found, Scanner};
use crate::stream::read::stage::Stage;

/// How much is read at once.
const CHUNK: usize = 4096;

/// A connection that breaks before the parser behind it sees anything that has no place there.
pub(crate) struct Gate<S> {
    inner: S,
    scanner: Scanner,
    buffer: Vec<u8>,
    start: usize,
}

impl<S> Gate<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, scanner: Scanner::new(Stage::Plain), buffer: Vec::new(), start: 0 }
    }

    /// The connection below.
    ///
    /// # Errors
    /// More was said than anybody asked for.
    pub(crate) fn into_inner(self) -> io::Result<S> {
        if self.start < self.buffer.len() || self.scanner.is_half_read() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Broken::Early));
        }
        Ok(self.inner)
    }

    fn scan(&mut self) -> io::Result<()> {
        let mut at = 0;
        while at < self.buffer.len() {
            let (read, found) = self.scanner.scan(&self.buffer[at..]);
            at += read;
            let broken = match found {
                Found::Nothing | Found::Unit(_) => continue,
                Found::Offence(_) => Broken::TooBig,
                Found::Broken(broken) => broken,
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, broken));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncBufRead for Gate<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.start == this.buffer.len() {
            this.buffer.clear();
            this.start = 0;
            this.buffer.reserve(CHUNK);
            let read = ready!(pin!(this.inner.read_buf(&mut this.buffer)).poll(cx))?;
            if read == 0 && !this.scanner.at_end() {
                // The parser would call it broken XML.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.scan()?;
        }
        Poll::Ready(Ok(&this.buffer[this.start..]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.start = (this.start + amount).min(this.buffer.len());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = from.len().min(into.remaining());
        into.put_slice(&from[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
