//! Bytes in, stanzas out: everything read behind TLS passes through here.
//!
//! **A stanza is read as it arrives**, in one pass: the [scanner](super::scanner) checks that it stays within the
//! [limits](super::limits), and its tree grows with it. Nothing else of it is kept.
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
use minidom::rxml::xml_ncname;
use prosed_session::read_stanza;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;
use xmpp_parsers::message::{Message, MessageType};
use xmpp_parsers::ns;
use xmpp_parsers::stanza::Stanza;

use super::limits::{Broken, Offence};
use super::scanner::{Found, Kind, Scanner};
use super::stage::Stage;
use crate::stream::error::timed_out;

/// How much is read at once: a TLS record.
const CHUNK: usize = 16 * 1024;
/// Bytes of a large stanza that are parsed before other tasks have their turn.
pub(crate) const PIECE: usize = 64 * 1024;
/// How long a stanza may take from its first byte to its last. Each byte counts as a sign of life, so a stanza without
/// an end would keep a useless connection alive. On the slowest usable link, 5 kB/s, a roster of 10,000 contacts takes
/// seven minutes.
const STANZA_TIME: Duration = Duration::from_secs(600);

/// What was received.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
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
pub(crate) struct Reader<S> {
    inner: S,
    scanner: Scanner,
    /// What was read at once; up to here it is scanned.
    buffer: Vec<u8>,
    scanned: usize,
    /// What replaces the stanza being read.
    replacement: Option<Stanza>,
    /// When the first byte of the unit arrived.
    began: Option<Instant>,
    /// How many reads have brought something.
    heard: u64,
    /// Bytes of the unit since other tasks last had their turn.
    turn: usize,
    /// The same of the last unit, when it ended.
    last: usize,
}

impl<S> Reader<S> {
    /// A connection at this stage: the peer's header is due.
    pub(crate) fn new(inner: S, stage: Stage) -> Self {
        Self {
            inner,
            scanner: Scanner::new(stage),
            buffer: Vec::new(),
            scanned: 0,
            replacement: None,
            began: None,
            heard: 0,
            turn: 0,
            last: 0,
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// How many reads have brought something.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// Bytes of the last unit, since other tasks last had their turn.
    pub(crate) fn last(&self) -> usize {
        self.last
    }

    /// The account is logged in, and a new stream begins with headers of its own (RFC 6120 §6.4.6).
    ///
    /// # Errors
    /// The server has sent something before it saw our header.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        if !self.buffer[self.scanned..].trim_ascii().is_empty() {
            return Err(invalid(Broken::Header));
        }
        self.buffer.clear();
        self.scanned = 0;
        self.scanner = Scanner::new(Stage::Session);
        Ok(())
    }

    /// The account is logged in, and the stream goes on (XEP-0388 §2.6.1).
    pub(crate) fn logged_in(&mut self) {
        self.scanner.logged_in();
    }

    /// Reads the buffer up to the end of the next unit, or of this turn.
    fn scan(&mut self) -> io::Result<Option<Received>> {
        while self.scanned < self.buffer.len() && self.turn < PIECE {
            let end = self.buffer.len().min(self.scanned + PIECE - self.turn);
            let (read, found) = self.scanner.scan(&self.buffer[self.scanned..end]);
            self.scanned += read;
            self.turn += read;
            match found {
                Found::Nothing => {}
                Found::Unit(kind) => {
                    self.began = None;
                    self.last = std::mem::take(&mut self.turn);
                    if let Some(received) = self.received(kind)? {
                        return Ok(Some(received));
                    }
                }
                Found::Offence(offence) => self.replace(offence),
                Found::Broken(broken) => return Err(invalid(broken)),
            }
        }
        Ok(None)
    }

    /// What has just ended; absent: it is of no interest.
    fn received(&mut self, kind: Kind) -> io::Result<Option<Received>> {
        Ok(match kind {
            Kind::Iq | Kind::Message | Kind::Presence => {
                let replacement = self.replacement.take();
                let stanza = replacement.or_else(|| self.scanner.take().and_then(read_stanza));
                Some(Received::Stanza(stanza.map(Box::new)))
            }
            Kind::Header => {
                let root = self.scanner.take();
                // Of a server that does not say 1.0 nothing can be expected (RFC 6120 §4.7.5).
                let is_sound =
                    root.is_some_and(|root| root.is("stream", ns::STREAM) && root.attr("version").is_some());
                if !is_sound {
                    return Err(invalid(Broken::Header));
                }
                Some(Received::Header)
            }
            Kind::Element => self.scanner.take().map(Received::Element),
            Kind::Other => self.scanner.at_end().then_some(Received::End),
        })
    }

    fn replace(&mut self, offence: Offence) {
        let kind = self.scanner.kind();
        tracing::warn!(?kind, ?offence, "a stanza that exceeds our limits was dropped");
        let stanza = self.scanner.give_up().and_then(|stanza| read_stanza(replacement(kind, &stanza)));
        // Its attributes may be malformed, too, or be what offends.
        let nothing = || Message::new_with_type(MessageType::Normal, None).into();
        self.replacement = Some(stanza.unwrap_or_else(nothing));
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
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        loop {
            if let Some(received) = self.scan()? {
                return Poll::Ready(Ok(received));
            }
            if self.turn >= PIECE {
                self.turn = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.check_time()?;
            self.buffer.clear();
            self.scanned = 0;
            self.buffer.reserve(CHUNK);
            let read = ready!(pin!(self.inner.read_buf(&mut self.buffer)).poll(cx))?;
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.heard += 1;
        }
    }

    /// See [`Reader::poll_next`]. May be dropped at any time; nothing is lost.
    pub(crate) async fn next(&mut self) -> io::Result<Received> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

fn invalid(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

/// What takes the place of a stanza that begins like this.
fn replacement(kind: Kind, stanza: &Element) -> Element {
    let type_ = stanza.attr("type");
    let (name, type_, content) = match kind {
        Kind::Iq if matches!(type_, Some("get" | "set")) => {
            ("iq", type_, Some(Element::bare("dropped", "urn:x-prosed:limits")))
        }
        Kind::Iq => {
            let condition = Element::bare("policy-violation", ns::XMPP_STANZAS);
            let error = Element::builder("error", ns::JABBER_CLIENT)
                .attr(xml_ncname!("type").to_owned(), "cancel")
                .append(condition);
            ("iq", Some("error"), Some(error.build()))
        }
        Kind::Presence => ("presence", type_, None),
        _ => ("message", type_, None),
    };
    Element::builder(name, ns::JABBER_CLIENT)
        .attr(xml_ncname!("from").to_owned(), stanza.attr("from"))
        .attr(xml_ncname!("to").to_owned(), stanza.attr("to"))
        .attr(xml_ncname!("id").to_owned(), stanza.attr("id"))
        .attr(xml_ncname!("type").to_owned(), type_)
        .append_all(content)
        .build()
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
