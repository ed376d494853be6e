//! A reader that stands between TLS and the XML parser and lets only bearable stanzas through.
//!
//! **A stanza goes on when it is complete.** Whether it offends is known only once it does, and
//! what the parser has seen can't be taken back: cutting it short would make half a roster look
//! like a whole one. So its bytes wait here, at most [`MAX_STANZA`](super::limits::MAX_STANZA) of
//! them, in the buffer that they were read into: nothing is copied. While they wait, the parser
//! gets a space for each read, so that its watchdog sees a slow link and not a dead one. (White
//! space between stanzas is what RFC 6120 §4.6.1 uses to keep connections alive.)
//!
//! **An offending stanza is replaced by a small one**, so that stream management's counters stay
//! true and no contact can end our stream, let alone by a stanza that an archive delivers again:
//!
//! - a message or presence: the same with nothing in it (`from`, `to`, `id` and `type` are kept);
//! - an iq of type `get` or `set`: the same with a payload that nobody knows, so that whoever asked
//!   gets `service-unavailable`, as for any other payload that nobody knows;
//! - an iq of type `result` or `error`: an error, so that whoever waits for it learns that there is
//!   no answer; an empty result would be one ("the roster has not changed");
//! - where the stanza's own start tag offends: an empty message, since there is no telling who it
//!   is from.
//!
//! Whatever else offends comes from the server itself: the stream breaks.
//!
//! **Stanzas are set aside.** Once the library has begun to count, a stanza is parsed by ourselves
//! ([`parser`](super::parser), or [`pieces`](super::pieces) over several turns) and goes on as a blank, and is put in the blank's place again behind
//! the library ([`aside`](super::aside)). Before that, one that the library would refuse for something
//! malformed in it goes on without that.
//!
//! **A `<failed/>` without a count gets one.** XEP-0198 §5 leaves `h` to the server, and one that was
//! restarted has none to tell; the parser demands it and fails the stream before the library has
//! dropped the session that it then tries to resume again, for ever. Of a count that can't be, the
//! library takes no notice.
//!
//! **An `<enabled/>` before we have asked to be bound becomes a `<failed/>`.** What we asked is to resume a session.
//! The library would take the answer for one to `<enable/>`, and panics, since no resource is bound. So it binds one.
//!
//! **Limits that can't be read are taken out** (XEP-0478): the library would refuse all features over them, and nobody
//! could log in to a server that means "none" by 0.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use minidom::Element;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use xmpp_parsers::ns;
use xmpp_parsers::stream_limits::Limits;

use super::aside::Aside;
use super::dial::timed_out;
use super::limits::{Broken, Offence};
use super::parser::Parser;
use super::pieces::Pieces;
use super::scanner::{Found, Head, Kind, Scanner, Span};
use super::stage::Stage;

/// How much is read at once: a TLS record.
const CHUNK: usize = 16 * 1024;
/// So much is given to the parser, and then it is other tasks' turn. The parser takes all that is ready in one
/// go, which may be a stanza of [`MAX_STANZA`](super::limits::MAX_STANZA).
const PIECE: usize = 64 * 1024;
/// How long a stanza may take from its first byte to its last. While it comes, each byte counts as a sign
/// of life, and one that never ends would keep up a stream that brings nothing. On the slowest link that is
/// of any use, 5 kB/s, a roster of 10,000 contacts takes seven minutes.
const STANZA_TIME: Duration = Duration::from_secs(600);
/// A buffer that has grown beyond this for a big stanza is given back when it is empty.
const KEEP: usize = 64 * 1024;

/// What only a request to be bound has in it, of all that we send before stanzas are counted.
const BIND: &[u8] = b"urn:ietf:params:xml:ns:xmpp-bind";

/// How a stream header begins; servers must use this prefix (RFC 6120 §4.8.5).
const HEADER: &[u8] = b"<stream:stream";

/// A connection's other handle: what the limiter saw, and a way to end it at once.
#[derive(Default)]
pub(super) struct Link {
    cut: AtomicBool,
    conflict: AtomicBool,
    heard: AtomicU64,
    reader: AtomicWaker,
    aside: Arc<Aside>,
}

impl Link {
    pub(super) fn new(aside: Arc<Aside>) -> Self {
        Self { aside, ..Self::default() }
    }

    /// Ends the connection without a word: reads and writes fail from now on.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// The server ended the stream because another client took our resource (RFC 6120 §4.9.3.3).
    pub(super) fn conflict(&self) -> bool {
        self.conflict.load(Ordering::Acquire)
    }

    /// How many times something came from the server.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut by us"));
        }
        Ok(())
    }
}

/// See the module's description.
pub(super) struct Limiter<S> {
    inner: S,
    link: Arc<Link>,
    scanner: Scanner,
    /// `..start` is used up, `start..ready` goes on, `ready..scanned` is the unit that is being
    /// read, the rest has not been looked at.
    buffer: Vec<u8>,
    start: usize,
    ready: usize,
    scanned: usize,
    /// The peer's latest stream header, as it was written.
    header: Vec<u8>,
    parser: Parser,
    /// The unit is a stanza that is read in pieces, and so many bytes of it are.
    pieces: Option<(Pieces, usize)>,
    /// We have asked to be bound.
    bound: bool,
    /// The library counts stanzas from here on, and wants no other of them.
    counted: bool,
    /// Bytes up to and including this many `>` are taken from the writer and not sent.
    unsent: u8,
    /// What the stanza that is being read will be replaced by.
    replacement: Option<Vec<u8>>,
    /// When what is half read began.
    began: Option<Instant>,
    /// Bytes given to the parser in this turn.
    given: usize,
    /// A space is due, to show the parser's watchdog that the link lives.
    space: bool,
    ended: bool,
}

impl<S> Limiter<S> {
    /// A connection at this stage: the peer's header is due.
    pub(super) fn new(inner: S, link: Arc<Link>, stage: Stage) -> Self {
        Self {
            inner,
            link,
            scanner: Scanner::new(stage),
            buffer: Vec::new(),
            start: 0,
            ready: 0,
            scanned: 0,
            header: Vec::new(),
            parser: Parser::default(),
            pieces: None,
            bound: false,
            counted: false,
            unsent: 0,
            replacement: None,
            began: None,
            given: 0,
            space: false,
            ended: false,
        }
    }

    /// The connection below, and what was read from it and not used.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.inner, self.buffer[self.start..].to_vec())
    }

    /// The account is logged in, and a new stream begins with headers of its own (RFC 6120 §6.4.6).
    /// What the server said before it saw ours belongs to no stream.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        if !self.buffer[self.start..].trim_ascii().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Broken::Header));
        }
        self.buffer.clear();
        (self.start, self.ready, self.scanned) = (0, 0, 0);
        self.scanner = Scanner::new(Stage::Session);
        Ok(())
    }

    /// The account is logged in. Lets a new parser begin in the middle of the stream, as if it had just been opened: it reads
    /// the peer's header once more, and the one that it writes goes nowhere. SASL2 goes on without
    /// a new header (XEP-0388 §2.6.1), which the library has no way to do. Nothing may be half read.
    pub(super) fn begin_anew(&mut self) {
        self.scanner.logged_in();
        self.buffer.splice(self.start..self.start, self.header.iter().copied());
        self.ready += self.header.len();
        self.scanned += self.header.len();
        self.unsent = 2; // The XML declaration and the header.
    }

    /// Looks at what was read, until something can go on or all is looked at.
    fn scan(&mut self) -> io::Result<()> {
        while self.scanned < self.buffer.len() && self.pieces.is_none() {
            let (read, found) = self.scanner.scan(&self.buffer[self.scanned..]);
            self.scanned += read;
            match found {
                Found::Nothing => {}
                Found::Unit(unit) => {
                    self.began = None;
                    if unit.kind == Kind::StreamError && contains(self.unit(), b"<conflict") {
                        self.link.conflict.store(true, Ordering::Release);
                    }
                    if self.unit().starts_with(HEADER) {
                        self.header = self.unit().to_vec();
                    }
                    let is_unasked = unit.kind == Kind::Enabled && !self.bound;
                    if is_unasked {
                        tracing::warn!(
                            "the server answers with a new session where it was asked for an old one"
                        );
                        self.replacement = Some(FAILED.to_vec());
                    }
                    let replacement = self.replacement.take().or_else(|| self.in_its_place(unit.kind));
                    if self.pieces.is_some() {
                        return Ok(());
                    }
                    if let Some(replacement) = replacement {
                        let len = replacement.len();
                        self.buffer.splice(self.ready..self.scanned, replacement);
                        self.scanned = self.ready + len;
                    }
                    if !self.counted
                        && let Some((from, to)) = unreadable_limits(self.unit())
                    {
                        self.buffer.drain(self.ready + from..self.ready + to);
                        self.scanned -= to - from;
                    }
                    self.counted |= matches!(unit.kind, Kind::Enabled | Kind::Resumed) && !is_unasked;
                    if unit.kind == Kind::Failed
                        && let Some(at) = place_for_count(self.unit())
                    {
                        self.buffer.splice(self.ready + at..self.ready + at, COUNT);
                        self.scanned += COUNT.len();
                    }
                    self.ready = self.scanned;
                }
                Found::Offence(offence) => self.replace(offence),
                Found::Broken(broken) => return Err(io::Error::new(io::ErrorKind::InvalidData, broken)),
            }
            if self.replacement.is_some() {
                // The rest of the stanza only serves to find its end.
                self.buffer.drain(self.ready..self.scanned);
                self.scanned = self.ready;
            }
        }
        Ok(())
    }

    /// What is half read must come to its end.
    fn check_time(&mut self) -> io::Result<()> {
        if !self.scanner.is_half_read() {
            return Ok(());
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() <= STANZA_TIME { Ok(()) } else { Err(timed_out("a stanza takes too long")) }
    }

    fn unit(&self) -> &[u8] {
        &self.buffer[self.ready..self.scanned]
    }

    /// What goes in the place of the stanza that has just been read: a blank, or the same without what is
    /// malformed.
    fn in_its_place(&mut self, kind: Kind) -> Option<Vec<u8>> {
        if !matches!(kind, Kind::Iq | Kind::Message | Kind::Presence) {
            return None;
        }
        let stanza = &self.buffer[self.ready..self.scanned];
        if !self.counted {
            return self.parser.mended(&self.header, stanza);
        }
        let Some(stanza) = self.parser.stanza(&self.header, stanza) else {
            self.pieces = Pieces::new(&self.header).map(|pieces| (pieces, 0));
            return None;
        };
        Some(self.link.aside.put(stanza).into_bytes())
    }

    /// Reads on in a stanza that is read in pieces, as far as this turn goes. Behind its end the next unit begins.
    fn read_piece(&mut self) -> io::Result<()> {
        let Some((mut pieces, read)) = self.pieces.take() else { return Ok(()) };
        let stanza = self.unit();
        let end = stanza.len().min(read + PIECE.saturating_sub(self.given));
        let is_xml = pieces.read(&stanza[read..end]).is_some();
        let is_whole = end == stanza.len();
        self.given += end - read;
        if is_xml && !is_whole {
            self.pieces = Some((pieces, end));
            return Ok(());
        }
        // What is no XML or no stanza is for the library to judge.
        if let Some(stanza) = pieces.stanza().filter(|_| is_xml) {
            let blank = self.link.aside.put(stanza).into_bytes();
            let len = blank.len();
            self.buffer.splice(self.ready..self.scanned, blank);
            self.scanned = self.ready + len;
        }
        self.ready = self.scanned;
        self.scan()
    }

    fn replace(&mut self, offence: Offence) {
        let kind = self.scanner.kind();
        tracing::warn!(?kind, ?offence, "a stanza that exceeds our limits was dropped");
        self.replacement = Some(match self.scanner.head() {
            Some(head) => replacement(kind, head, self.unit()),
            None => b"<message xmlns='jabber:client'/>".to_vec(),
        });
    }
}

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

/// See the module's description.
const COUNT: [u8; 6] = *b" h='0'";

/// See the module's description.
const FAILED: &[u8] = b"<failed xmlns='urn:xmpp:sm:3' h='0'/>";

/// Where in a `<failed/>` without a count one has its place: behind the name.
fn place_for_count(failed: &[u8]) -> Option<usize> {
    let tag = failed.split(|byte| *byte == b'>').next()?;
    let counted = tag.split(u8::is_ascii_whitespace).any(|attribute| attribute.starts_with(b"h="));
    let name_ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/';
    (!counted).then(|| tag.iter().position(name_ends).unwrap_or(tag.len()))
}

/// Where in a unit there are limits that the library can't read.
fn unreadable_limits(unit: &[u8]) -> Option<(usize, usize)> {
    let namespace = memchr::memmem::find(unit, ns::STREAM_LIMITS.as_bytes())?;
    let from = memchr::memrchr(b'<', &unit[..namespace])?;
    let start_ends = namespace + memchr::memchr(b'>', &unit[namespace..])?;
    let to = if unit[start_ends - 1] == b'/' {
        start_ends + 1
    } else {
        let name = unit[from + 1..].split(|byte| !is_name(*byte)).next()?;
        let end = [b"</", name, b">"].concat();
        start_ends + memchr::memmem::find(&unit[start_ends..], &end)? + end.len()
    };
    let limits: Element = std::str::from_utf8(&unit[from..to]).ok()?.parse().ok()?;
    Limits::try_from(limits).is_err().then_some((from, to))
}

fn is_name(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'>' | b'/')
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

impl<S: AsyncRead + Unpin> AsyncBufRead for Limiter<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.link.reader.register(cx.waker());
        loop {
            this.link.check()?;
            if this.start < this.ready {
                if this.given >= PIECE {
                    this.given = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let end = this.ready.min(this.start + PIECE - this.given);
                return Poll::Ready(Ok(&this.buffer[this.start..end]));
            }
            if this.pieces.is_some() {
                if this.given >= PIECE {
                    this.given = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.read_piece()?;
                continue;
            }
            if this.space {
                return Poll::Ready(Ok(b" "));
            }
            if this.ended && !this.scanner.at_end() {
                // The parser would call it broken XML: a violation, and the end of a session that
                // could be resumed.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if this.ended {
                return Poll::Ready(Ok(&[]));
            }
            // Nothing is ready, so what is kept is the beginning of one unit; it moves to the
            // front once, since from then on nothing before it is used up.
            if this.start > 0 {
                this.buffer.drain(..this.start);
                this.scanned -= this.start;
                (this.start, this.ready) = (0, 0);
            }
            if this.buffer.is_empty() && this.buffer.capacity() > KEEP {
                this.buffer = Vec::new();
            }
            this.buffer.reserve(CHUNK);
            let read = ready!(pin!(this.inner.read_buf(&mut this.buffer)).poll(cx))?;
            this.ended = read == 0;
            this.link.heard.fetch_add(1, Ordering::Relaxed);
            this.scan()?;
            this.check_time()?;
            this.space = read > 0 && this.start == this.ready && this.scanner.inside();
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        if this.start < this.ready {
            this.start = (this.start + amount).min(this.ready);
            this.given += amount;
        } else if amount > 0 {
            this.space = false;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limiter<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Limiter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.check()?;
        // Whole, since it is small and the first that goes out of an empty buffer.
        self.bound |= !self.counted && contains(bytes, BIND);
        if self.unsent > 0 && !bytes.is_empty() {
            let end = memchr::memchr(b'>', bytes);
            self.unsent -= u8::from(end.is_some());
            return Poll::Ready(Ok(end.map_or(bytes.len(), |end| end + 1)));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.check()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
