//! One connection of a session: what is on its way out, and what comes in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use minidom::Element;
use tokio::io::AsyncWrite;

use super::login::dialogue::written;
use super::reach::tls::Secure;
use super::read::reader::{PIECE, Reader, Received};

/// Bytes that wait for the network; no stanza is added beyond that.
const AHEAD: usize = 64 * 1024;
/// Stanzas and other elements read in one go.
const BATCH: usize = 32;

/// See the module's description.
pub(super) struct Line {
    reader: Reader<Secure>,
    out: Vec<u8>,
    /// How many bytes of it are written.
    gone: usize,
    /// Written bytes are to be flushed.
    flushes: bool,
    /// Bytes of stanzas read in this turn.
    turn: usize,
    /// Why nothing more can be written or read.
    failed: Option<io::Error>,
}

impl Line {
    pub(super) fn new(reader: Reader<Secure>) -> Self {
        Self { reader, out: Vec::new(), gone: 0, flushes: false, turn: 0, failed: None }
    }

    /// How many reads have brought something.
    pub(super) fn heard(&self) -> u64 {
        self.reader.heard()
    }

    /// There is room for another stanza.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.gone < AHEAD
    }

    /// Everything is handed to the operating system.
    pub(super) fn is_sent(&self) -> bool {
        self.gone == self.out.len() && !self.flushes
    }

    pub(super) fn say(&mut self, element: &Element) {
        self.write(&written(element));
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.gone == self.out.len() {
            self.out.clear();
            self.gone = 0;
        }
        self.out.extend_from_slice(bytes);
    }

    /// Writes, and reads if `reads`. Ready as soon as either makes progress.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reads: bool,
        came: &mut Vec<Received>,
    ) -> Poll<io::Result<()>> {
        let wrote = self.failed.is_none()
            && self.poll_write(cx).unwrap_or_else(|error| {
                // The server may have said why it left.
                self.failed = Some(error);
                false
            });
        while reads && came.len() < BATCH && self.turn < PIECE {
            match self.reader.poll_next(cx) {
                Poll::Ready(Ok(received)) => {
                    self.turn += self.reader.last();
                    let is_end = matches!(received, Received::End);
                    came.push(received);
                    if is_end {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Pending => break,
            }
        }
        if wrote || !came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match self.failed.take_if(|_| reads) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// So much was read that other tasks must have their turn.
    pub(super) fn has_had_its_turn(&mut self) -> bool {
        std::mem::take(&mut self.turn) >= PIECE
    }

    /// Writes what the network takes; returns whether it took anything.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while self.gone < self.out.len() {
            match Pin::new(self.reader.get_mut()).poll_write(cx, &self.out[self.gone..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(amount)) => {
                    self.gone += amount;
                    if self.gone > AHEAD {
                        self.out.drain(..self.gone);
                        self.gone = 0;
                    }
                    self.flushes = true;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(moved),
            }
        }
        (self.out, self.gone) = (Vec::new(), 0);
        if self.flushes {
            match Pin::new(self.reader.get_mut()).poll_flush(cx) {
                Poll::Ready(done) => {
                    done?;
                    self.flushes = false;
                    moved = true;
                }
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    /// Ends the connection with TLS's `close_notify`.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.reader.get_mut()).poll_shutdown(cx)
    }
}
