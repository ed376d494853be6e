//! Reads an XML stream and finds where stanzas end. When a stanza exceeds a limit, the rest of it is read only to find
//! its end.
//!
//! It knows only the XML that XMPP allows (RFC 6120 §11: no comments, processing instructions or document types).
//! Anything else ends the stream. Names, values and texts go to the [tree](super::tree) as they arrive, each within its
//! limit.
//!
//! It also tracks the [`Stage`] of the stream: there is one header, and before the login a server may send only little.

use memchr::memchr;
use minidom::Element;

use super::limits::{
    Broken, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_ELEMENTS_OF_OTHERS, MAX_STANZA, MAX_TEXT, MAX_TOKEN,
    Offence,
};
use super::stage::{Progress, Stage};
use super::tree::Tree;
pub(crate) use super::unit::{Found, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tags.
    Text,
    /// After `<`.
    Open,
    /// In a start tag's name.
    Name,
    /// In a start tag, right after a name or value.
    Behind,
    /// In a start tag, between attributes.
    Tag,
    /// In an attribute's name.
    Attribute,
    /// After an attribute's name and white space.
    Equals,
    /// After `=`.
    Quote,
    /// In an attribute's value, up to this quote.
    Value(u8),
    /// After the `/` of an empty element.
    Empty,
    /// In an end tag.
    Close,
    /// After `<!`, with this many bytes of `[CDATA[` read.
    Bang(usize),
    /// In a CDATA section, after this many `]`.
    Cdata(u8),
    /// In the XML declaration; true: after a `?`.
    Declaration(bool),
    /// After `</stream:stream>`.
    End,
}

const CDATA: &[u8] = b"[CDATA[";

/// Takes the bytes of a stream in chunks of any size.
pub(crate) struct Scanner {
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
    /// The limit that the current stanza has exceeded.
    offence: Option<Offence>,
    tree: Tree,
}

impl Scanner {
    /// A new stream at this stage: its header is due.
    pub(crate) fn new(stage: Stage) -> Self {
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
            offence: None,
            tree: Tree::default(),
        }
    }

    /// The account is logged in, and the stream continues without another header (XEP-0388 §2.6.1).
    pub(crate) fn logged_in(&mut self) {
        self.progress.logged_in();
    }

    /// Whether something has begun and is not complete.
    pub(crate) fn is_half_read(&self) -> bool {
        self.depth > 0 || !matches!(self.state, State::Text | State::End)
    }

    /// Whether the stream has ended.
    pub(crate) fn at_end(&self) -> bool {
        self.state == State::End
    }

    /// The kind of what is being read, once its name has been read.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What has just been completed: the stream's root, a stanza, or another element.
    pub(crate) fn take(&mut self) -> Option<Element> {
        self.tree.take()
    }

    /// The stanza that exceeds a limit, as far as it has been read, if its start tag has.
    pub(crate) fn give_up(&mut self) -> Option<Element> {
        self.tree.give_up()
    }

    /// Reads until something is found; also returns the number of bytes read.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> (usize, Found) {
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
                Found::Unit(kind) => {
                    self.begin_unit();
                    return (at, Found::Unit(kind));
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
        self.offence = None;
    }

    /// Reads at least one byte; names, texts and values in one go.
    fn step(&mut self, bytes: &[u8]) -> (usize, Found) {
        let byte = bytes[0];
        let found = match self.state {
            State::Text if self.depth == 0 => return self.between(bytes),
            State::Text => {
                let run = memchr(b'<', bytes).unwrap_or(bytes.len());
                if run > 0 {
                    return (run, self.add_text(&bytes[..run]));
                }
                self.state = State::Open;
                Found::Nothing
            }
            State::Open => match byte {
                b'/' => {
                    self.state = State::Close;
                    self.token = 0;
                    self.build(|tree| {
                        tree.begin_tag();
                        tree.end_text()
                    })
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
                _ => return self.open(bytes),
            },
            State::Name => match byte {
                b'<' | b'=' | b'\'' | b'"' => Found::Broken(Broken::Syntax),
                _ if ends_name(byte) => {
                    self.tree.end_name();
                    if self.depth == 1
                        && let Err(broken) = self.name_unit()
                    {
                        return (1, Found::Broken(broken));
                    }
                    self.in_tag(bytes)
                }
                _ => return self.add_name(bytes),
            },
            State::Behind | State::Tag => self.in_tag(bytes),
            State::Attribute if !ends_name(byte) => return self.add_name(bytes),
            State::Attribute | State::Equals => match byte {
                b'=' | b' ' | b'\t' | b'\r' | b'\n' => {
                    if self.state == State::Attribute {
                        self.tree.end_attribute_name();
                        self.add_tag(&bytes[..1]);
                    }
                    self.state = if byte == b'=' { State::Quote } else { State::Equals };
                    Found::Nothing
                }
                _ => Found::Broken(Broken::Syntax),
            },
            State::Quote => match byte {
                b'\'' | b'"' => {
                    self.state = State::Value(byte);
                    self.token = 0;
                    self.tree.begin_value();
                    Found::Nothing
                }
                b' ' | b'\t' | b'\r' | b'\n' => Found::Nothing,
                _ => Found::Broken(Broken::Syntax),
            },
            State::Value(quote) => {
                let run = memchr(quote, bytes).unwrap_or(bytes.len());
                if run > 0 {
                    self.add_tag(&bytes[..run]);
                    return (run, self.add_token(run));
                }
                self.state = State::Behind;
                self.tree.end_value();
                self.add_tag(&bytes[..1]);
                Found::Nothing
            }
            State::Empty => match byte {
                b'>' => self.build(Tree::start).or_else(|| self.build(Tree::end)).or_else(|| self.close()),
                _ => Found::Broken(Broken::Syntax),
            },
            State::Close => match byte {
                b'>' => self.build(Tree::end_written).or_else(|| self.close()),
                b'<' => Found::Broken(Broken::Syntax),
                _ => {
                    let run =
                        bytes.iter().position(|byte| matches!(byte, b'<' | b'>')).unwrap_or(bytes.len());
                    self.add_tag(&bytes[..run]);
                    return (run, self.add_token(run));
                }
            },
            State::Bang(read) => {
                if byte != CDATA[read] {
                    Found::Broken(Broken::Restricted)
                } else if read + 1 < CDATA.len() {
                    self.state = State::Bang(read + 1);
                    Found::Nothing
                } else {
                    self.state = State::Cdata(0);
                    self.build(Tree::end_text)
                }
            }
            State::Cdata(brackets) => {
                if brackets == 0 {
                    let run = memchr(b']', bytes).unwrap_or(bytes.len());
                    if run > 0 {
                        return (run, self.add_text(&bytes[..run]));
                    }
                }
                if byte == b'>' && brackets == 2 {
                    self.state = State::Text;
                    self.build(Tree::end_cdata)
                } else {
                    self.state = State::Cdata(if byte == b']' { (brackets + 1).min(2) } else { 0 });
                    self.add_text(&bytes[..1])
                }
            }
            State::Declaration(question) => match byte {
                b'>' if question => {
                    self.state = State::Text;
                    Found::Unit(Kind::Other)
                }
                b'<' | b'>' => Found::Broken(Broken::Syntax),
                _ => {
                    self.state = State::Declaration(byte == b'?');
                    self.add_token(1)
                }
            },
            // Trailing white space does no harm.
            State::End => match byte {
                b' ' | b'\t' | b'\r' | b'\n' => Found::Unit(Kind::Other),
                _ => Found::Broken(Broken::AfterEnd),
            },
        };
        (1, found)
    }

    /// Between stanzas: white space is reported at once (it keeps connections alive).
    fn between(&mut self, bytes: &[u8]) -> (usize, Found) {
        let space = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        if space > 0 {
            return (space, Found::Unit(Kind::Other));
        }
        if bytes[0] != b'<' {
            return (1, Found::Broken(Broken::StrayText));
        }
        self.token = 0;
        self.state = State::Open;
        (1, Found::Nothing)
    }

    /// An element begins with the first bytes of its name.
    fn open(&mut self, bytes: &[u8]) -> (usize, Found) {
        self.state = State::Name;
        self.depth += 1;
        self.elements += 1;
        self.attributes = 0;
        self.token = 0;
        self.text = 0;
        if let Err(broken) = self.progress.opened(self.depth) {
            return (1, Found::Broken(broken));
        }
        let begun = self.build(|tree| {
            tree.begin_tag();
            tree.end_text()
        });
        if !matches!(begun, Found::Nothing) {
            return (1, begun);
        }
        if self.depth > MAX_DEPTH {
            return (1, self.offend(Offence::Depth));
        }
        if self.has_too_many_elements() {
            return (1, self.offend(Offence::Elements));
        }
        self.add_name(bytes)
    }

    fn has_too_many_elements(&self) -> bool {
        self.elements > MAX_ELEMENTS_OF_OTHERS && (self.elements > MAX_ELEMENTS || self.tree.is_of_others())
    }

    /// In a start tag, after a name or value.
    fn in_tag(&mut self, bytes: &[u8]) -> Found {
        match bytes[0] {
            b'>' => {
                self.state = State::Text;
                self.build(Tree::start).or_else(|| {
                    if self.depth > 1 || !self.is_header {
                        return Found::Nothing;
                    }
                    // The root stays open for as long as the stream, and depth counts from it.
                    self.depth = 0;
                    self.progress.begun();
                    self.tree.begin_stream();
                    Found::Unit(Kind::Header)
                })
            }
            b'/' if self.depth == 1 && self.is_header => Found::Broken(Broken::Syntax),
            b'/' => {
                self.state = State::Empty;
                Found::Nothing
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                if self.state != State::Tag {
                    self.state = State::Tag;
                    self.add_tag(&bytes[..1]);
                }
                Found::Nothing
            }
            byte if ends_name(byte) || self.state != State::Tag => Found::Broken(Broken::Syntax),
            _ => {
                self.state = State::Attribute;
                self.token = 0;
                self.attributes += 1;
                if self.attributes > MAX_ATTRIBUTES {
                    return self.offend(Offence::Attributes);
                }
                if self.offence.is_none() {
                    self.tree.begin_attribute();
                }
                self.add_tag(&bytes[..1]);
                self.add_token(1)
            }
        }
    }

    /// An element ends.
    fn close(&mut self) -> Found {
        self.text = 0;
        if self.depth == 0 && self.progress.is_unopened() {
            return Found::Broken(Broken::Header);
        }
        if self.depth == 0 {
            self.state = State::End;
            return Found::Unit(Kind::Other);
        }
        self.state = State::Text;
        self.depth -= 1;
        if self.depth > 0 {
            return Found::Nothing;
        }
        Found::Unit(self.kind)
    }

    /// The name of a child of the root, or of the root itself, is known.
    fn name_unit(&mut self) -> Result<(), Broken> {
        let name = self.tree.local_name();
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

    /// More of an element's or attribute's name.
    fn add_name(&mut self, bytes: &[u8]) -> (usize, Found) {
        let run = bytes.iter().position(|byte| ends_name(*byte)).unwrap_or(bytes.len());
        self.add_tag(&bytes[..run]);
        (run, self.add_token(run))
    }

    fn add_token(&mut self, len: usize) -> Found {
        self.token += len;
        if self.token > MAX_TOKEN { self.offend(Offence::Token) } else { Found::Nothing }
    }

    fn add_text(&mut self, bytes: &[u8]) -> Found {
        self.text += bytes.len();
        if self.text > MAX_TEXT {
            return self.offend(Offence::Text);
        }
        if self.offence.is_none() {
            self.tree.text(bytes);
        }
        Found::Nothing
    }

    /// More of a tag; [`Scanner::add_token`] bounds it.
    fn add_tag(&mut self, bytes: &[u8]) {
        if self.offence.is_none() {
            self.tree.tag(bytes);
        }
    }

    /// Continues building, unless the stanza exceeds a limit.
    fn build(&mut self, step: impl FnOnce(&mut Tree) -> Result<(), Broken>) -> Found {
        if self.offence.is_some() {
            return Found::Nothing;
        }
        step(&mut self.tree).map_or_else(Found::Broken, |()| Found::Nothing)
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

/// Characters that end a name, or are wrong there.
fn ends_name(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b'/' | b'=' | b'\'' | b'"')
}
