//! Reads the stanzas that [`parser`](super::parser) leaves alone because they are unusual or large: with rxml, which
//! is stricter and slower, piece by piece. What is malformed in them is left out, and the rest counts.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{self, Event, Namespace, NcName, Parse};
use prosed_session::read_stanza;
use roxmltree::NS_XML_URI;
use xmpp_parsers::stanza::Stanza;

/// A stanza that is being read.
pub(super) struct Pieces {
    parser: rxml::Parser,
    /// The elements that are open: the stream, the stanza, and what is in it.
    open: Vec<Element>,
    stanza: Option<Element>,
}

impl Pieces {
    /// Begins to read one, of the stream that has this header.
    pub(super) fn new(header: &[u8]) -> Option<Self> {
        let mut pieces = Self { parser: rxml::Parser::default(), open: Vec::new(), stanza: None };
        pieces.read(header)?;
        Some(pieces)
    }

    /// Reads its next bytes; absent: they are no XML.
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Option<()> {
        loop {
            match self.parser.parse(&mut piece, false) {
                Ok(event) => self.take(event?)?,
                Err(EndOrError::NeedMoreData) => return Some(()),
                Err(EndOrError::Error(_)) => return None,
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<()> {
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (namespace, name), attributes) => {
                let mut element = Element::bare(name.as_str(), namespace.as_str());
                for ((namespace, name), value) in attributes {
                    element.set_attr(namespace, name, value);
                }
                self.open.push(element);
            }
            Event::Text(_, text) => self.open.last_mut()?.append_text(text),
            Event::EndElement(_) => {
                let element = self.open.pop()?;
                match self.open.as_mut_slice() {
                    [_stream] => self.stanza = Some(element),
                    open => drop(open.last_mut()?.append_child(element)),
                }
            }
        }
        Some(())
    }

    /// The stream's root.
    pub(super) fn into_root(self) -> Option<Element> {
        self.open.into_iter().next()
    }

    /// The element that was read, in the language that is said around it.
    pub(super) fn element(self) -> Option<Element> {
        let mut stanza = self.stanza?;
        let lang = self.open.first()?.attr_ns(NS_XML_URI, "lang");
        if let Some(lang) = lang.filter(|_| stanza.attr_ns(NS_XML_URI, "lang").is_none()) {
            stanza.set_attr(Namespace::XML, NcName::try_from("lang").ok()?, lang);
        }
        Some(stanza)
    }

    /// The stanza that it is, without what is malformed in it; absent: it is none.
    pub(super) fn stanza(self) -> Option<Stanza> {
        read_stanza(self.element()?)
    }
}
