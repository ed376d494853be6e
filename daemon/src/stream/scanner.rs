//! Reads the outline of an XML stream, byte by byte, and says where stanzas end and when one of
//! them goes beyond what the parser behind us can bear.
//!
//! It understands just as much XML as XMPP allows (RFC 6120 §11: no comments, processing
//! instructions or document types) and leaves well-formedness to the parser: names are not matched,
//! entities not expanded. What it doesn't understand breaks the stream, so the two can't come to
//! differ about where an element begins. Of namespaces it checks what the parser does not.
//!
//! It also knows how far the stream has come ([`Stage`]): a stream has one header, and before the login
//! is done a server has little to say.

use memchr::memchr;

use super::limits::{
    Broken, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_STANZA, MAX_TEXT, MAX_TOKEN, Offence,
};
use super::namespaces::Declarations;
use super::stage::{Progress, Stage};
pub(super) use super::unit::{Found, Head, Kind, Span, Unit};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tags.
    Text,
    /// Behind `<`.
    Open,
    /// In a start tag's name.
    Name,
    /// In a start tag, between attributes.
    Tag,
    /// In an attribute's name.
    Attribute,
    /// Behind an attribute's name and white space.
    Equals,
    /// Behind `=`.
    Quote,
    /// In an attribute's value, up to this quote.
    Value(u8),
    /// Behind the `/` of an empty element.
    Empty,
    /// In an end tag.
    Close,
    /// Behind `<!`, with this many bytes of `[CDATA[` read.
    Bang(usize),
    /// In a CDATA section, behind this many `]`.
    Cdata(u8),
    /// In the XML declaration; true: behind a `?`.
    Declaration(bool),
    /// Behind `</stream:stream>`.
    End,
}

const CDATA: &[u8] = b"[CDATA[";

/// The first bytes of a name: enough to tell those that matter from all others.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    bytes: [u8; 12],
    len: usize,
}

impl Word {
    fn clear(&mut self) {
        self.len = 0;
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len += 1;
    }

    /// The name's beginning.
    fn start(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// The whole name, or nothing where it is longer than any that matters.
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Fed with the bytes of a stream in any chunks.
pub(super) struct Scanner {
    progress: Progress,
    state: State,
    /// Open elements below the root.
    depth: u32,
    elements: u32,
    attributes: u32,
    /// Length of the name or value that is being read.
    token: usize,
    /// Length of the run of text that is being read.
    text: usize,
    /// Bytes of the unit so far.
    len: usize,
    kind: Kind,
    is_header: bool,
    word: Word,
    declarations: Declarations,
    /// Where the value that is being read began.
    value_from: usize,
    head: Head,
    head_done: bool,
    offence: Option<Offence>,
}

impl Scanner {
    /// A new stream at this stage: its header is due.
    pub(super) fn new(stage: Stage) -> Self {
        Self {
            progress: Progress::new(stage),
            state: State::Text,
            depth: 0,
            elements: 0,
            attributes: 0,
            token: 0,
            text: 0,
            len: 0,
            kind: Kind::Other,
            is_header: false,
            word: Word::default(),
            declarations: Declarations::default(),
            value_from: 0,
            head: Head::default(),
            head_done: false,
            offence: None,
        }
    }

    /// The account is logged in, and the stream goes on without another header (XEP-0388 §2.6.1).
    pub(super) fn logged_in(&mut self) {
        self.progress.logged_in();
    }

    /// True where something has begun and has not come to its end.
    pub(super) fn is_half_read(&self) -> bool {
        self.depth > 0 || !matches!(self.state, State::Text | State::End)
    }

    /// True behind the stream's own end.
    pub(super) fn at_end(&self) -> bool {
        self.state == State::End
    }

    /// What is being read, once its name is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The attributes of the stanza that is being read, once its whole start tag is.
    pub(super) fn head(&self) -> Option<Head> {
        self.head_done.then_some(self.head)
    }

    /// Reads on until something is found; also says how many bytes were read.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> (usize, Found) {
        let mut at = 0;
        while at < bytes.len() {
            let (read, found) = self.step(&bytes[at..]);
            at += read;
            self.len += read;
            if let Err(broken) = self.progress.read(read) {
                return (at, Found::Broken(broken));
            }
            match found {
                Found::Nothing if self.len > MAX_STANZA => {
                    if let found @ (Found::Offence(_) | Found::Broken(_)) = self.offend(Offence::Size) {
                        return (at, found);
                    }
                }
                Found::Nothing => {}
                Found::Unit(unit) => {
                    self.begin_unit();
                    return (at, Found::Unit(unit));
                }
                Found::Offence(_) | Found::Broken(_) => return (at, found),
            }
        }
        (at, Found::Nothing)
    }

    fn begin_unit(&mut self) {
        self.elements = 0;
        self.text = 0;
        self.len = 0;
        self.kind = Kind::Other;
        self.is_header = false;
        self.head = Head::default();
        self.head_done = false;
        self.offence = None;
    }

    /// Reads at least one byte; long stretches of text and values in one go.
    fn step(&mut self, bytes: &[u8]) -> (usize, Found) {
        let byte = bytes[0];
        let found = match self.state {
            State::Text if self.depth == 0 => return self.between(bytes),
            State::Text => {
                let run = memchr(b'<', bytes).unwrap_or(bytes.len());
                if run > 0 {
                    return (run, self.add_text(run));
                }
                self.state = State::Open;
                Found::Nothing
            }
            State::Open => match byte {
                b'/' => {
                    self.state = State::Close;
                    Found::Nothing
                }
                b'!' if self.depth > 0 => {
                    self.state = State::Bang(0);
                    Found::Nothing
                }
                b'?' if self.depth == 0 && self.progress.declared() => {
                    self.state = State::Declaration(false);
                    Found::Nothing
                }
                b'!' | b'?' => Found::Broken(Broken::Restricted),
                _ if ends_name(byte) => Found::Broken(Broken::Syntax),
                _ => self.open(byte),
            },
            State::Name => match byte {
                b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n' => {
                    if self.depth == 1
                        && let Err(broken) = self.name_unit()
                    {
                        return (1, Found::Broken(broken));
                    }
                    self.in_tag(byte)
                }
                b'<' | b'=' | b'\'' | b'"' => Found::Broken(Broken::Syntax),
                _ => self.add_name(byte, true),
            },
            State::Tag => self.in_tag(byte),
            State::Attribute | State::Equals => match byte {
                b'=' => {
                    self.state = State::Quote;
                    self.declarations.begin(self.word.start());
                    Found::Nothing
                }
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.state = State::Equals;
                    Found::Nothing
                }
                _ if self.state == State::Equals || ends_name(byte) => Found::Broken(Broken::Syntax),
                _ => self.add_name(byte, false),
            },
            State::Quote => match byte {
                b'\'' | b'"' => {
                    self.state = State::Value(byte);
                    self.token = 0;
                    self.value_from = self.len;
                    Found::Nothing
                }
                b' ' | b'\t' | b'\r' | b'\n' => Found::Nothing,
                _ => Found::Broken(Broken::Syntax),
            },
            State::Value(quote) => {
                let run = memchr(quote, bytes).unwrap_or(bytes.len());
                if run > 0 {
                    self.declarations.add(&bytes[..run]);
                    return (run, self.add_token(run));
                }
                if self.depth == 1 {
                    self.note_attribute();
                }
                self.state = State::Tag;
                if self.declarations.end() { Found::Nothing } else { Found::Broken(Broken::Namespace) }
            }
            State::Empty => match byte {
                b'>' => self.close(),
                _ => Found::Broken(Broken::Syntax),
            },
            State::Close => match byte {
                b'>' => self.close(),
                b'<' => Found::Broken(Broken::Syntax),
                _ => Found::Nothing,
            },
            State::Bang(read) => {
                if byte != CDATA[read] {
                    Found::Broken(Broken::Restricted)
                } else {
                    self.state =
                        if read + 1 == CDATA.len() { State::Cdata(0) } else { State::Bang(read + 1) };
                    Found::Nothing
                }
            }
            State::Cdata(brackets) => {
                if brackets == 0 {
                    let run = memchr(b']', bytes).unwrap_or(bytes.len());
                    if run > 0 {
                        return (run, self.add_text(run));
                    }
                }
                self.state = match byte {
                    b']' => State::Cdata((brackets + 1).min(2)),
                    b'>' if brackets == 2 => State::Text,
                    _ => State::Cdata(0),
                };
                self.add_text(1)
            }
            State::Declaration(question) => match byte {
                b'>' if question => {
                    self.state = State::Text;
                    Found::Unit(Unit { kind: Kind::Other, offence: None })
                }
                b'<' | b'>' => Found::Broken(Broken::Syntax),
                _ => {
                    self.state = State::Declaration(byte == b'?');
                    self.add_token(1)
                }
            },
            // White space may trail; it is not worth breaking a stream that has ended.
            State::End => match byte {
                b' ' | b'\t' | b'\r' | b'\n' => Found::Unit(Unit { kind: Kind::Other, offence: None }),
                _ => Found::Broken(Broken::AfterEnd),
            },
        };
        (1, found)
    }

    /// Between stanzas: white space goes on at once (it keeps connections alive).
    fn between(&mut self, bytes: &[u8]) -> (usize, Found) {
        let space = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        if space > 0 {
            return (space, Found::Unit(Unit { kind: Kind::Other, offence: None }));
        }
        if bytes[0] != b'<' {
            return (1, Found::Broken(Broken::StrayText));
        }
        self.token = 0;
        self.state = State::Open;
        (1, Found::Nothing)
    }

    /// An element begins with this byte of its name.
    fn open(&mut self, byte: u8) -> Found {
        self.state = State::Name;
        self.depth += 1;
        self.elements += 1;
        self.attributes = 0;
        self.token = 0;
        self.text = 0;
        self.word.clear();
        self.declarations.begin_tag();
        if let Err(broken) = self.progress.opened(self.depth) {
            return Found::Broken(broken);
        }
        if self.depth > MAX_DEPTH {
            return self.offend(Offence::Depth);
        }
        if self.elements > MAX_ELEMENTS {
            return self.offend(Offence::Elements);
        }
        self.add_name(byte, true)
    }

    /// Between the attributes of a start tag.
    fn in_tag(&mut self, byte: u8) -> Found {
        match byte {
            b'>' => {
                self.state = State::Text;
                self.head_done = true;
                if self.depth == 1 && self.is_header {
                    // The root is not closed as long as the stream lives, and depth counts from it.
                    self.depth = 0;
                    self.progress.begun();
                    return Found::Unit(Unit { kind: Kind::Header, offence: None });
                }
                Found::Nothing
            }
            b'/' if self.depth == 1 && self.is_header => Found::Broken(Broken::Syntax),
            b'/' => {
                self.state = State::Empty;
                Found::Nothing
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                self.state = State::Tag;
                Found::Nothing
            }
            _ if ends_name(byte) => Found::Broken(Broken::Syntax),
            _ => {
                self.state = State::Attribute;
                self.token = 0;
                self.word.clear();
                self.attributes += 1;
                if self.attributes > MAX_ATTRIBUTES {
                    return self.offend(Offence::Attributes);
                }
                self.add_name(byte, false)
            }
        }
    }

    /// An element ends.
    fn close(&mut self) -> Found {
        self.text = 0;
        self.head_done = true;
        if self.depth == 0 && self.progress.is_unopened() {
            return Found::Broken(Broken::Header);
        }
        if self.depth == 0 {
            self.state = State::End;
            return Found::Unit(Unit { kind: Kind::Other, offence: None });
        }
        self.state = State::Text;
        self.depth -= 1;
        if self.depth > 0 {
            return Found::Nothing;
        }
        Found::Unit(Unit { kind: self.kind, offence: self.offence })
    }

    /// The name of what stands below the root, or of the root itself, is known.
    fn name_unit(&mut self) -> Result<(), Broken> {
        let name = self.word.get();
        self.is_header = name == b"stream";
        self.progress.named(name)?;
        match name {
            b"iq" => self.kind = Kind::Iq,
            b"message" => self.kind = Kind::Message,
            b"presence" => self.kind = Kind::Presence,
            _ => self.kind = Kind::Element,
        }
        Ok(())
    }

    fn note_attribute(&mut self) {
        let span = Some((self.value_from, self.len + 1));
        match self.word.get() {
            b"from" => self.head.from = span,
            b"to" => self.head.to = span,
            b"id" => self.head.id = span,
            b"type" => self.head.type_ = span,
            _ => {}
        }
    }

    /// One more byte of an element's or attribute's name. Of an element's name only what follows
    /// the prefix tells its kind; an attribute with a prefix is none of those that we keep.
    fn add_name(&mut self, byte: u8, element: bool) -> Found {
        if element && byte == b':' {
            self.word.clear();
        } else {
            self.word.push(byte);
        }
        self.add_token(1)
    }

    fn add_token(&mut self, len: usize) -> Found {
        self.token += len;
        if self.token > MAX_TOKEN { self.offend(Offence::Token) } else { Found::Nothing }
    }

    fn add_text(&mut self, len: usize) -> Found {
        self.text += len;
        if self.text > MAX_TEXT { self.offend(Offence::Text) } else { Found::Nothing }
    }

    fn offend(&mut self, offence: Offence) -> Found {
        if self.offence.is_some() {
            return Found::Nothing;
        }
        if !matches!(self.kind, Kind::Iq | Kind::Message | Kind::Presence) {
            return Found::Broken(Broken::TooBig);
        }
        self.offence = Some(offence);
        Found::Offence(offence)
    }
}

/// What can't stand in a name: a name that has begun ends here, or the XML is wrong.
fn ends_name(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b'/' | b'=' | b'\'' | b'"')
}
