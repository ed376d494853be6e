//! Bytes in, stanzas out: everything read behind TLS passes through here.
//!
//! **A stanza is parsed when it is complete.** Only then is it known to be within the limits. Until then its bytes stay
//! in the read buffer, at most [`MAX_STANZA`](super::limits::MAX_STANZA) of them.
//!
//! **An offending stanza is replaced by a small one**, so that stream management's counters stay true and no
//! contact can end our stream, let alone by a stanza that an archive delivers again:
//!
//! - a message or presence: the same with nothing in it (`from`, `to`, `id` and `type` are kept);
//! - an iq of type `get` or `set`: the same with a payload that nobody knows, so that the peer gets
//!   `service-unavailable`, as for any other payload that nobody knows;
//! - an iq of type `result` or `error`: an error, so that whatever waits for it learns that there is no answer;
//!   an empty result would be one ("the roster has not changed");
//! - where the stanza's own start tag offends: an empty message, since there is no telling who it is from.
//!
//! Any other offence comes from the server itself: the stream breaks.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use minidom::Element;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use xmpp_parsers::message::Message;
use xmpp_parsers::ns;
use xmpp_parsers::stanza::Stanza;

use super::dial::timed_out;
use super::limits::{Broken, Offence};
use super::parser::Parser;
use super::pieces::Pieces;
use super::scanner::{Found, Head, Kind, Scanner, Span};
use super::stage::Stage;

/// How much is read at once: a TLS record.
const CHUNK: usize = 16 * 1024;
/// Bytes of a large stanza that are parsed before other tasks have their turn.
pub(super) const PIECE: usize = 64 * 1024;
/// How long a stanza may take from its first byte to its last. Each byte counts as a sign of life, so a stanza without
/// an end would keep a useless connection alive. On the slowest usable link, 5 kB/s, a roster of 10,000 contacts takes
/// seven minutes.
const STANZA_TIME: Duration = Duration::from_secs(600);
/// A buffer that has grown beyond this is freed once it is empty.
const KEEP: usize = 64 * 1024;

/// What was received.
#[derive(Debug, PartialEq)]
pub(super) enum Received {
    /// The server's stream header.
    Header,
    /// A stanza; absent: it can't be read. It counts all the same.
    Stanza(Option<Box<Stanza>>),
    /// Any other element below the root.
    Element(Element),
    /// The server has closed its stream.
    End,
}

/// See the module's description.
pub(super) struct Reader<S> {
    inner: S,
    scanner: Scanner,
    /// `start..scanned` is the unit being read; the rest has not been scanned.
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    /// The peer's latest stream header, as it was written.
    header: Vec<u8>,
    parser: Parser,
    /// The unit is complete and being parsed in pieces; this many bytes of it are parsed.
    pieces: Option<(Pieces, usize)>,
    /// What replaces the stanza being read.
    replacement: Option<Stanza>,
    /// When the first byte of the unit arrived.
    began: Option<Instant>,
    /// How many reads have brought something.
    heard: u64,
    /// Bytes of the last unit.
    last: usize,
}

impl<S> Reader<S> {
    /// A connection at this stage: the peer's header is due.
    pub(super) fn new(inner: S, stage: Stage) -> Self {
        Self {
            inner,
            scanner: Scanner::new(stage),
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            header: Vec::new(),
            parser: Parser::default(),
            pieces: None,
            replacement: None,
            began: None,
            heard: 0,
            last: 0,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// How many reads have brought something.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Bytes of the last unit; of one parsed in pieces, those of the last piece.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// The account is logged in, and a new stream begins with headers of its own (RFC 6120 §6.4.6).
    ///
    /// # Errors
    /// The server has sent something before it saw our header.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        if !self.buffer[self.start..].trim_ascii().is_empty() {
            return Err(invalid(Broken::Header));
        }
        self.buffer.clear();
        (self.start, self.scanned) = (0, 0);
        self.scanner = Scanner::new(Stage::Session);
        Ok(())
    }

    /// The account is logged in, and the stream goes on (XEP-0388 §2.6.1).
    pub(super) fn logged_in(&mut self) {
        self.scanner.logged_in();
    }

    /// Scans the buffer up to the end of the next unit.
    fn scan(&mut self) -> io::Result<Option<Received>> {
        while self.pieces.is_none() && self.scanned < self.buffer.len() {
            let (read, found) = self.scanner.scan(&self.buffer[self.scanned..]);
            self.scanned += read;
            match found {
                Found::Nothing => {}
                Found::Unit(unit) => {
                    self.began = None;
                    if let Some(received) = self.read_unit(unit.kind)? {
                        self.last = self.scanned - self.start;
                        self.start = self.scanned;
                        return Ok(Some(received));
                    }
                    if self.pieces.is_none() {
                        self.start = self.scanned;
                    }
                }
                Found::Offence(offence) => self.replace(offence),
                Found::Broken(broken) => return Err(invalid(broken)),
            }
            if self.replacement.is_some() {
                // The rest of the stanza only serves to find its end.
                self.buffer.drain(self.start..self.scanned);
                self.scanned = self.start;
            }
        }
        Ok(None)
    }

    /// Parses the unit that has just ended; absent: it is of no interest, or is parsed in pieces from here on.
    fn read_unit(&mut self, kind: Kind) -> io::Result<Option<Received>> {
        let unit = &self.buffer[self.start..self.scanned];
        match kind {
            Kind::Iq | Kind::Message | Kind::Presence => {
                if let Some(replacement) = self.replacement.take() {
                    return Ok(Some(Received::Stanza(Some(Box::new(replacement)))));
                }
                if let Some(stanza) = self.parser.stanza(&self.header, unit) {
                    return Ok(Some(Received::Stanza(Some(Box::new(stanza)))));
                }
                let pieces = Pieces::new(&self.header).ok_or_else(|| invalid(Broken::Syntax))?;
                self.pieces = Some((pieces, 0));
                Ok(None)
            }
            Kind::Header => {
                self.header = unit.to_vec();
                let root =
                    Pieces::new(unit).and_then(Pieces::into_root).ok_or_else(|| invalid(Broken::Syntax))?;
                // Of a server that does not say 1.0 nothing can be expected (RFC 6120 §4.7.5).
                let is_sound = root.is("stream", ns::STREAM) && root.attr("version").is_some();
                if is_sound { Ok(Some(Received::Header)) } else { Err(invalid(Broken::Header)) }
            }
            Kind::Element => {
                let element = Pieces::new(&self.header).and_then(|mut pieces| {
                    pieces.read(unit)?;
                    pieces.element()
                });
                element.map(Received::Element).map(Some).ok_or_else(|| invalid(Broken::Syntax))
            }
            Kind::Other if self.scanner.at_end() => Ok(Some(Received::End)),
            Kind::Other => Ok(None),
        }
    }

    /// Parses the next piece; absent: more follow.
    fn read_piece(&mut self) -> io::Result<Option<Received>> {
        let Some((mut pieces, read)) = self.pieces.take() else { return Ok(None) };
        let stanza = &self.buffer[self.start..self.scanned];
        let end = stanza.len().min(read + PIECE);
        pieces.read(&stanza[read..end]).ok_or_else(|| invalid(Broken::Syntax))?;
        if end < stanza.len() {
            self.pieces = Some((pieces, end));
            return Ok(None);
        }
        // Its other pieces have had turns of their own.
        self.last = end - read;
        self.start = self.scanned;
        Ok(Some(Received::Stanza(pieces.stanza().map(Box::new))))
    }

    fn replace(&mut self, offence: Offence) {
        let kind = self.scanner.kind();
        tracing::warn!(?kind, ?offence, "a stanza that exceeds our limits was dropped");
        let written = match self.scanner.head() {
            Some(head) => replacement(kind, head, &self.buffer[self.start..self.scanned]),
            None => EMPTY.to_vec(),
        };
        let stanza = Pieces::new(&self.header).and_then(|mut pieces| {
            pieces.read(&written)?;
            pieces.stanza()
        });
        // Its attributes may be malformed, too.
        self.replacement = Some(stanza.unwrap_or_else(|| Message::new(None).into()));
    }

    /// A unit that has begun must end in time.
    fn check_time(&mut self) -> io::Result<()> {
        if !self.scanner.is_half_read() {
            return Ok(());
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() <= STANZA_TIME { Ok(()) } else { Err(timed_out("a stanza takes too long")) }
    }
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// What is received next. Must not be called after [`Received::End`].
    ///
    /// # Errors
    /// The connection fails, or what arrives can't be part of an XMPP stream.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        loop {
            if self.pieces.is_some() {
                if let Some(received) = self.read_piece()? {
                    return Poll::Ready(Ok(received));
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(received) = self.scan()? {
                return Poll::Ready(Ok(received));
            }
            if self.pieces.is_some() {
                continue;
            }
            self.check_time()?;
            // What is kept is the beginning of one unit; it moves to the front once.
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.scanned -= self.start;
                self.start = 0;
            }
            if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
            self.buffer.reserve(CHUNK);
            let read = ready!(pin!(self.inner.read_buf(&mut self.buffer)).poll(cx))?;
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.heard += 1;
        }
    }

    /// See [`Reader::poll_next`]. May be dropped at any time; nothing is lost.
    pub(super) async fn next(&mut self) -> io::Result<Received> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

fn invalid(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

/// In place of a stanza whose own start tag offends.
const EMPTY: &[u8] = b"<message xmlns='jabber:client'/>";

/// What takes the place of a stanza whose first bytes are these.
fn replacement(kind: Kind, head: Head, stanza: &[u8]) -> Vec<u8> {
    let value = |span: Option<Span>| span.and_then(|(from, to)| stanza.get(from..to));
    let asks = value(head.type_).is_some_and(|type_| matches!(type_.get(1..4), Some(b"get" | b"set")));
    let (name, type_, content): (&[u8], Option<&[u8]>, &[u8]) = match kind {
        Kind::Iq if asks => (b"iq", value(head.type_), b"<dropped xmlns='urn:x-prosed:limits'/>"),
        Kind::Iq => (
            b"iq",
            Some(b"'error'"),
            b"<error type='cancel'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ),
        Kind::Presence => (b"presence", value(head.type_), b""),
        _ => (b"message", value(head.type_), b""),
    };
    let mut out = Vec::with_capacity(512);
    out.push(b'<');
    out.extend_from_slice(name);
    out.extend_from_slice(b" xmlns='jabber:client'");
    let attributes: [(&[u8], Option<&[u8]>); 4] = [
        (b" from=", value(head.from)),
        (b" to=", value(head.to)),
        (b" id=", value(head.id)),
        (b" type=", type_),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
    }
    out.push(b'>');
    out.extend_from_slice(content);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name);
    out.push(b'>');
    out
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
