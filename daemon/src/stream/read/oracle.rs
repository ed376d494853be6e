//! What rxml, the parser of the XMPP libraries, makes of a stanza. For tests only.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{self, Event, Namespace, NcName, Parse, XMLNS_XML};

/// The one element below the root of a stream that has this header, in the language that is said around it; absent: it
/// is something else, or no XML.
pub(crate) fn element(header: &str, stanza: &[u8]) -> Option<Element> {
    let written = [header.as_bytes(), stanza, b"</stream:stream>"].concat();
    let (mut parser, mut rest) = (rxml::Parser::default(), written.as_slice());
    let (mut open, mut root): (Vec<Element>, _) = (Vec::new(), None);
    loop {
        match parser.parse(&mut rest, false) {
            Ok(None) | Err(EndOrError::NeedMoreData) => break,
            Err(EndOrError::Error(_)) => return None,
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (namespace, name), attributes))) => {
                let mut element = Element::bare(name.as_str(), namespace.as_str());
                for ((namespace, name), value) in attributes {
                    element.set_attr(namespace, name, value);
                }
                open.push(element);
            }
            Ok(Some(Event::Text(_, text))) => open.last_mut()?.append_text(text),
            Ok(Some(Event::EndElement(_))) => {
                let element = open.pop()?;
                match open.last_mut() {
                    Some(around) => drop(around.append_child(element)),
                    None => root = Some(element),
                }
            }
        }
    }
    let root = root?;
    let mut children = root.children();
    let (Some(only), None, true) = (children.next(), children.next(), root.text().trim().is_empty()) else {
        return None;
    };
    let mut only = only.clone();
    let lang = root.attr_ns(XMLNS_XML, "lang");
    if let Some(lang) = lang.filter(|_| only.attr_ns(XMLNS_XML, "lang").is_none()) {
        only.set_attr(Namespace::XML, NcName::try_from("lang").ok()?, lang);
    }
    Some(only)
}
