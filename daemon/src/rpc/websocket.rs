//! One WebSocket (RFC 6455): messages in, answers and events out, and a close frame with the reason.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, FutureExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jsonrpsee::server::StopHandle;
use jsonrpsee::types::error::OVERSIZED_REQUEST_CODE;
use serde_json::value::RawValue;
use soketto::connection::Error;
use soketto::data::ByteSlice125;
use soketto::handshake::http::Server as Handshake;
use soketto::{Data, Incoming, Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, timeout};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::answer::Answer;
use super::calls::Calls;
use super::envelope::PeerId;
use super::frames::{Frames, TooManyFragments};
use super::limits::{self, REQUEST_BYTES, Timeouts};

/// Why we close a WebSocket, as reported in the close frame (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum CloseCode {
    ProtocolError = 1002,
    NotUtf8 = 1007,
    TooBig = 1009,
}

/// How much is still read from a peer that has violated the protocol, and for how long.
const REST_BYTES: u64 = 2 * REQUEST_BYTES as u64;
const REST_WITHIN: Duration = Duration::from_secs(1);

/// What a WebSocket is connected to.
pub(super) struct WebSocket {
    pub(super) calls: Calls,
    /// Where answers are queued …
    pub(super) outgoing: mpsc::Sender<Box<RawValue>>,
    /// … to be written, together with events.
    pub(super) messages: mpsc::Receiver<Box<RawValue>>,
    pub(super) patience: Timeouts,
    pub(super) stop: StopHandle,
}

/// How a WebSocket ended.
enum End {
    /// The peer has gone, or is unreachable.
    Gone,
    /// The peer violated the protocol.
    Broken(CloseCode),
}

/// When the peer last gave a sign of life.
struct LastHeard(Mutex<Instant>);

impl LastHeard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn ago(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl WebSocket {
    /// Runs until the peer leaves or the daemon stops.
    pub(super) async fn serve(self, upgrade: OnUpgrade, handshake: Handshake) {
        let socket = match upgrade.await {
            Ok(socket) => TokioIo::new(socket),
            Err(error) => {
                tracing::debug!(%error, "a WebSocket could not be opened");
                return;
            }
        };
        let socket = futures::io::BufReader::new(futures::io::BufWriter::new(socket.compat()));
        let mut socket = Frames::new(socket, u64::from(REQUEST_BYTES));
        // Borrowed, so that the socket is ours again at the end.
        let mut builder = handshake.into_builder(&mut socket);
        builder.set_max_message_size(REQUEST_BYTES as usize);
        let (sender, receiver) = builder.finish();
        if let End::Broken(code) = self.talk(sender, receiver).await
            && let Err(error) = close(&mut socket, code).await
        {
            tracing::debug!(%error, "a WebSocket ended");
        }
    }

    async fn talk<T: AsyncRead + AsyncWrite + Unpin>(self, sender: Sender<T>, receiver: Receiver<T>) -> End {
        let Self { calls, outgoing, messages, patience, stop } = self;
        let connection = Arc::clone(&calls.connection);
        let heard = LastHeard(Mutex::new(Instant::now()));
        let (finish, finished) = oneshot::channel();
        let reading = read(receiver, calls, outgoing, &heard);
        let writing = write(sender, messages, finished, patience, &heard);
        tokio::pin!(writing);
        tokio::select! {
            end = reading => return end,
            () = &mut writing => return End::Gone,
            () = stop.shutdown() => {}
        }
        tokio::select! {
            () = connection.all_answered() => {}
            () = &mut writing => return End::Gone,
        }
        drop(finish);
        writing.await;
        End::Gone
    }
}

/// Reads messages until the peer leaves.
async fn read<T: AsyncRead + AsyncWrite + Unpin>(
    mut receiver: Receiver<T>,
    calls: Calls,
    outgoing: mpsc::Sender<Box<RawValue>>,
    heard: &LastHeard,
) -> End {
    loop {
        let mut message = Vec::new();
        let received = receiver.receive(&mut message).await;
        heard.now();
        let answering = match received {
            Ok(Incoming::Data(Data::Text(_))) if std::str::from_utf8(&message).is_err() => {
                return End::Broken(CloseCode::NotUtf8);
            }
            Ok(Incoming::Data(_)) => calls.begin(&message),
            Ok(Incoming::Pong(_)) => continue,
            Ok(Incoming::Closed(_)) | Err(Error::Closed) => return End::Gone,
            Err(Error::MessageTooLarge { .. }) => {
                let error = limits::exceeded(OVERSIZED_REQUEST_CODE, "bytes of a request", REQUEST_BYTES);
                std::future::ready(Some(Answer::error(&PeerId::null(), error))).boxed()
            }
            Err(error) => {
                tracing::debug!(%error, "a WebSocket ended");
                return match error {
                    Error::Io(error) if TooManyFragments::is(&error) => End::Broken(CloseCode::TooBig),
                    Error::Io(_) => End::Gone,
                    Error::Utf8(_) => End::Broken(CloseCode::NotUtf8),
                    _ => End::Broken(CloseCode::ProtocolError),
                };
            }
        };
        drop(message);
        let mut answering = answering;
        match (&mut answering).now_or_never() {
            None => {
                let outgoing = outgoing.clone();
                tokio::spawn(async move {
                    // Nobody waits for it once the connection is gone.
                    tokio::select! {
                        () = outgoing.closed() => {}
                        answer = answering => send(answer, &outgoing).await,
                    }
                });
            }
            // Other messages are few. These are unlimited in number, so we stop reading from a peer that does not
            // read.
            Some(Some(answer)) if !answer.is_counted() => send(Some(answer), &outgoing).await,
            Some(answer) => {
                let outgoing = outgoing.clone();
                tokio::spawn(async move { send(answer, &outgoing).await });
            }
        }
    }
}

/// Queues an answer. Its calls are in flight until then.
async fn send(answer: Option<Answer>, outgoing: &mpsc::Sender<Box<RawValue>>) {
    let Some(answer) = answer else { return };
    let (json, permits) = answer.into_parts();
    // Fails when the connection is gone.
    let _ = outgoing.send(json).await;
    drop(permits);
}

/// Writes messages and pings until that fails, the peer is silent for too long, or `finished` resolves and everything
/// is written.
async fn write<T: AsyncRead + AsyncWrite + Unpin>(
    mut sender: Sender<T>,
    mut messages: mpsc::Receiver<Box<RawValue>>,
    mut finished: oneshot::Receiver<()>,
    patience: Timeouts,
    heard: &LastHeard,
) {
    let mut ping = interval(patience.ping_every);
    // The last sign of life is only checked with each ping: half a ping early, so that the one at `gone_after`
    // notices.
    let silence: Duration = patience.gone_after.saturating_sub(patience.ping_every / 2);
    let mut finishing = false;
    loop {
        let written = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => send_text(&mut sender, message).await,
                None => break,
            },
            _ = ping.tick() => {
                if heard.ago() > silence {
                    return;
                }
                send_ping(&mut sender).await
            }
            _ = &mut finished, if !finishing => {
                finishing = true;
                // What is queued is still written.
                messages.close();
                Ok(())
            }
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a WebSocket ended");
            return;
        }
    }
    let _ = sender.close().await;
}

async fn send_text<T: AsyncRead + AsyncWrite + Unpin>(
    sender: &mut Sender<T>,
    message: Box<RawValue>,
) -> Result<(), Error> {
    sender.send_text_owned(Box::<str>::from(message).into()).await?;
    sender.flush().await
}

async fn send_ping<T: AsyncRead + AsyncWrite + Unpin>(sender: &mut Sender<T>) -> Result<(), Error> {
    if let Ok(nothing) = ByteSlice125::try_from(&[][..]) {
        sender.send_ping(nothing).await?;
        sender.flush().await?;
    }
    Ok(())
}

/// Soketto cannot send a close frame with a code: final, two bytes, unmasked.
async fn close<T: AsyncRead + AsyncWrite + Unpin>(socket: &mut T, code: CloseCode) -> io::Result<()> {
    let [high, low] = (code as u16).to_be_bytes();
    socket.write_all(&[0x88, 2, high, low]).await?;
    socket.close().await?;
    // Keeps reading for a while: if unread bytes arrive, the system discards what we have sent.
    let mut nowhere = futures::io::sink();
    let _ = timeout(REST_WITHIN, futures::io::copy(socket.take(REST_BYTES), &mut nowhere)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// A peer that has broken the protocol, and what it sends after that.
    struct Peer {
        told: Vec<u8>,
        is_silent: bool,
        sent: u64,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.is_silent {
                return Poll::Pending;
            }
            self.sent += buffer.len() as u64;
            assert!(self.sent < 4 * REST_BYTES, "it is read without end");
            Poll::Ready(Ok(buffer.len()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            self.told.extend(data);
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What is left of a message is read, so that the close frame arrives, but only so much and for so long.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_broke_the_protocol_is_read_for_a_while() {
        for (is_silent, bytes, time) in [(false, REST_BYTES, Duration::ZERO), (true, 0, REST_WITHIN)] {
            let mut peer = Peer { told: Vec::new(), is_silent, sent: 0 };
            let start = Instant::now();
            close(&mut peer, CloseCode::TooBig).await.unwrap();
            assert_eq!(peer.told, [0x88, 2, 3, 0xf1]);
            assert_eq!((peer.sent, start.elapsed().as_secs()), (bytes, time.as_secs()));
        }
    }
}
