//! A WebSocket's bytes on the way to soketto, which loses its place if a message in several frames is too large: it
//! skips as many bytes as the whole message has had so far, and with them the messages that follow. So such a message
//! ends the connection here, before soketto sees the frame that exceeds the limit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

/// A message in several frames is too large.
#[derive(Debug, thiserror::Error)]
#[error("a message in several frames is too large")]
pub(super) struct TooManyFragments;

impl TooManyFragments {
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

/// The socket, and the reader's position in a frame (RFC 6455 §5.2).
pub(super) struct Frames<S> {
    socket: S,
    /// The limit, in bytes, of a message in several frames.
    most: u64,
    /// The part of a frame's header read so far.
    header: Vec<u8>,
    /// Bytes of the payload that are still to come.
    payload: u64,
    /// Bytes of the message so far.
    message: u64,
    /// The error has been returned, and what follows is read and dropped.
    is_over: bool,
}

impl<S> Frames<S> {
    pub(super) fn new(socket: S, most: u64) -> Self {
        Self { socket, most, header: Vec::with_capacity(14), payload: 0, message: 0, is_over: false }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), TooManyFragments> {
        if self.is_over {
            return Ok(());
        }
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[skipped..];
                self.payload -= skipped as u64;
                continue;
            }
            self.header.push(first);
            bytes = rest;
            let Some((opcode, length)) = read(&self.header) else { continue };
            self.header.clear();
            self.payload = length;
            // Control frames, which may be interleaved with those of a message, are 8 and above.
            if opcode < 8 {
                let is_continued = opcode == 0;
                self.message = if is_continued { self.message.saturating_add(length) } else { length };
                if is_continued && self.message > self.most {
                    self.is_over = true;
                    return Err(TooManyFragments);
                }
            }
        }
        Ok(())
    }
}

/// The opcode and the payload's length, once the header is complete.
fn read(header: &[u8]) -> Option<(u8, u64)> {
    let (&first, &second) = (header.first()?, header.get(1)?);
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (width, short) = match second & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        short => (0, u64::from(short)),
    };
    let length = header.get(2..2 + width)?;
    let length = length.iter().fold(short, |length, byte| length << 8 | u64::from(*byte));
    (header.len() == 2 + width + mask).then_some((first & 0x0f, length))
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = std::task::ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        Poll::Ready(self.pass(&buffer[..read]).map(|()| read).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it, with a mask of zeros.
    fn frame(opcode: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut frame = vec![opcode, 0x80 | 126, high, low, 0, 0, 0, 0];
        frame.resize(frame.len() + usize::from(length), b'x');
        frame
    }

    #[test]
    fn a_message_in_frames_ends_at_the_limit_and_the_rest_is_let_through() {
        let mut frames = Frames::new((), 1_000);
        let sent = |parts: &[(u8, u16)]| {
            parts.iter().flat_map(|(opcode, length)| frame(*opcode, *length)).collect::<Vec<_>>()
        };
        // Text, a ping, a continuation; up to the limit, in any number of pieces.
        for piece in sent(&[(1, 400), (0x89, 100), (0x80, 600), (1, 400), (0, 600)]).chunks(7) {
            frames.pass(piece).unwrap();
        }
        frames.pass(&sent(&[(0, 1)])).unwrap_err();
        // So that it can be read and dropped.
        frames.pass(b"x").unwrap();
        frames.pass(&sent(&[(0, 1), (0, 1_000)])).unwrap();
    }
}
