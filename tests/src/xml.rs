//! An XMPP stream read element by element, and helpers to write one by hand.

use std::io::{Error, ErrorKind, Result};

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{Parse, RawParser};
use minidom::tree_builder::TreeBuilder;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How many bytes to read at once.
const READ_SIZE: usize = 16 * 1024;

/// The reading side of a stream (RFC 6120 §4).
pub struct XmlStream<R> {
    io: R,
    unread: Vec<u8>,
    parser: RawParser,
    tree: TreeBuilder,
    ended: bool,
}

impl<R: AsyncRead + Unpin> XmlStream<R> {
    /// A stream before its header.
    pub fn new(io: R) -> Self {
        Self { io, unread: Vec::new(), parser: RawParser::new(), tree: TreeBuilder::new(), ended: false }
    }

    /// The underlying connection, without what was read but not parsed (nothing, in a proper handshake).
    pub fn into_inner(self) -> R {
        self.io
    }

    /// Restarts the stream on the same connection, as after SASL.
    pub fn restart(&mut self) {
        self.parser = RawParser::new();
        self.tree = TreeBuilder::new();
        self.ended = false;
    }

    /// Waits for the stream header; returns one of its attributes.
    pub async fn header(&mut self, attribute: &str) -> Result<Option<String>> {
        while self.tree.depth() == 0 {
            self.step().await?;
        }
        Ok(self.tree.top().and_then(|root| root.attr(attribute).map(str::to_owned)))
    }

    /// The next child of the stream's root; none if the peer closed the stream.
    pub async fn next(&mut self) -> Result<Option<Element>> {
        loop {
            if self.tree.depth() == 1
                && let Some(element) = self.tree.unshift_child()
            {
                return Ok(Some(element));
            }
            if self.ended || self.tree.root.is_some() {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// Like [`XmlStream::next`], but the end is an error.
    pub async fn expect(&mut self) -> Result<Element> {
        self.next().await?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Parses one event, reading more if needed.
    async fn step(&mut self) -> Result<()> {
        loop {
            let mut rest = self.unread.as_slice();
            let parsed = self.parser.parse(&mut rest, false);
            let used = self.unread.len() - rest.len();
            self.unread.drain(..used);
            match parsed {
                Ok(Some(event)) => return self.tree.process_event(event).map_err(Error::other),
                Ok(None) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(EndOrError::Error(error)) => return Err(Error::other(error)),
                Err(EndOrError::NeedMoreData) => {
                    let mut chunk = vec![0; READ_SIZE];
                    match self.io.read(&mut chunk).await? {
                        0 => return Err(ErrorKind::UnexpectedEof.into()),
                        n => self.unread.extend(&chunk[..n]),
                    }
                }
            }
        }
    }
}

/// Text escaped for an element or attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The first descendant with this name and namespace, depth first.
pub fn find<'a>(element: &'a Element, name: &str, namespace: &str) -> Option<&'a Element> {
    if element.is(name, namespace) {
        return Some(element);
    }
    element.children().find_map(|child| find(child, name, namespace))
}

/// An element as one line of XML, for failure messages.
pub fn print(element: &Element) -> String {
    let mut bytes = Vec::new();
    match element.write_to(&mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("({error})"),
    }
}
