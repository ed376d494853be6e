//! Builds a stanza's elements while it arrives, so that nothing is held twice. Start tags, texts and end tags come from
//! the [scanner](super::scanner), which bounds them.
//!
//! This enforces the rules of XML: characters, references and names (`text.rs`), matching tags, namespaces
//! (`namespaces.rs`), and unique attributes. The tests compare it with rxml on damaged stanzas.

use std::borrow::Cow;

use minidom::Element;
use minidom::rxml::{Namespace, NcName, XMLNS_XML};

use super::limits::Broken;
use super::namespaces::Namespaces;
use super::text::{Place, is_name, meaning};

/// A buffer that has grown beyond this is freed once it is empty.
const KEEP: usize = 64 * 1024;
/// Texts up to this length are copied out of the buffer; longer ones take the buffer itself.
const COPIED: usize = 4096;

/// An attribute in the start tag: the ranges of its name and its value.
#[derive(Debug, Clone, Copy)]
struct Attribute {
    name: (usize, usize),
    value: (usize, usize),
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Tree {
    /// The tag that is being read, verbatim.
    tag: Vec<u8>,
    name_ends: usize,
    attributes: Vec<Attribute>,
    /// The text that is being read.
    text: Vec<u8>,
    /// The elements that are open, without the stream's root.
    open: Vec<Element>,
    /// Their names, verbatim, from the root inwards, and where each begins.
    names: Vec<u8>,
    names_from: Vec<usize>,
    namespaces: Namespaces,
    /// The language of the stream.
    lang: Option<String>,
    done: Option<Element>,
}

impl Tree {
    /// A tag begins.
    pub(crate) fn begin_tag(&mut self) {
        self.tag.clear();
        self.attributes.clear();
    }

    /// More of the tag.
    pub(crate) fn tag(&mut self, bytes: &[u8]) {
        self.tag.extend_from_slice(bytes);
    }

    /// All of the tag so far is the element's name.
    pub(crate) fn end_name(&mut self) {
        self.name_ends = self.tag.len();
    }

    /// The element's name, without its prefix.
    pub(crate) fn local_name(&self) -> &[u8] {
        let name = &self.tag[..self.name_ends];
        memchr::memrchr(b':', name).map_or(name, |colon| &name[colon + 1..])
    }

    /// An attribute's name begins here.
    pub(crate) fn begin_attribute(&mut self) {
        let here = self.tag.len();
        self.attributes.push(Attribute { name: (here, here), value: (here, here) });
    }

    /// It ends here.
    pub(crate) fn end_attribute_name(&mut self) {
        let here = self.tag.len();
        if let Some(last) = self.attributes.last_mut() {
            last.name.1 = here;
        }
    }

    /// Its value begins here.
    pub(crate) fn begin_value(&mut self) {
        let here = self.tag.len();
        if let Some(last) = self.attributes.last_mut() {
            last.value = (here, here);
        }
    }

    /// It ends here.
    pub(crate) fn end_value(&mut self) {
        let here = self.tag.len();
        if let Some(last) = self.attributes.last_mut() {
            last.value.1 = here;
        }
    }

    /// The start tag ends, and its element begins.
    pub(crate) fn start(&mut self) -> Result<(), Broken> {
        // It includes the delimiters, so no character spans two parts.
        let tag = std::str::from_utf8(&self.tag).map_err(|_| Broken::Syntax)?;
        let level = self.names_from.len();
        let name = &tag[..self.name_ends];
        let written = |attribute: &Attribute| &tag[attribute.name.0..attribute.name.1];
        let value = |attribute: &Attribute| {
            meaning(&tag.as_bytes()[attribute.value.0..attribute.value.1], Place::Value).ok_or(Broken::Syntax)
        };
        for attribute in &self.attributes {
            let prefix = match declared(written(attribute)) {
                None => continue,
                Some(Declares::DefaultNamespace) => None,
                Some(Declares::Prefix(prefix)) => Some(prefix),
            };
            self.namespaces.declare(level, prefix, &value(attribute)?)?;
        }
        let (prefix, local) = split(name)?;
        let namespace = self.namespaces.of_element(prefix).ok_or(Broken::Namespace)?;
        if !is_name(local) {
            return Err(Broken::Syntax);
        }
        let mut element = Element::bare(local, namespace);
        for attribute in &self.attributes {
            let written = written(attribute);
            if declared(written).is_some() {
                continue;
            }
            let (prefix, local) = split(written)?;
            let namespace = self.namespaces.of_attribute(prefix).ok_or(Broken::Namespace)?;
            let local = NcName::try_from(local).map_err(|_| Broken::Syntax)?;
            let value = value(attribute)?.into_owned();
            if element.attrs_mut().insert(namespace, local, value).is_some() {
                return Err(Broken::Syntax);
            }
        }
        self.names_from.push(self.names.len());
        self.names.extend_from_slice(name.as_bytes());
        self.open.push(element);
        Ok(())
    }

    /// The element that has just begun is the stream's root; it stays open for as long as the stream.
    pub(crate) fn begin_stream(&mut self) {
        self.done = self.open.pop();
        self.lang = self.done.as_ref().and_then(|root| root.attr_ns(XMLNS_XML, "lang")).map(str::to_owned);
    }

    /// More text.
    pub(crate) fn text(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// The text so far is complete.
    pub(crate) fn end_text(&mut self) -> Result<(), Broken> {
        self.append(Place::Content)
    }

    /// A CDATA section ends; its two brackets are in the text.
    pub(crate) fn end_cdata(&mut self) -> Result<(), Broken> {
        self.text.truncate(self.text.len().saturating_sub(2));
        self.append(Place::Cdata)
    }

    fn append(&mut self, place: Place) -> Result<(), Broken> {
        if self.text.is_empty() {
            return Ok(());
        }
        let copied = match meaning(&self.text, place).ok_or(Broken::Syntax)? {
            Cow::Borrowed(written) if written.len() > COPIED => None,
            meaning => Some(meaning.into_owned()),
        };
        let text = match copied {
            Some(copied) => copied,
            None => String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| Broken::Syntax)?,
        };
        self.text.clear();
        self.text.shrink_to(KEEP);
        self.open.last_mut().ok_or(Broken::StrayText)?.append_text(text);
        Ok(())
    }

    /// An end tag ends. White space may follow the name.
    pub(crate) fn end_written(&mut self) -> Result<(), Broken> {
        let from = self.names_from.last().ok_or(Broken::Syntax)?;
        if self.tag.trim_ascii_end() != &self.names[*from..] {
            return Err(Broken::Syntax);
        }
        self.end()
    }

    /// The innermost element ends.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        let from = self.names_from.pop().ok_or(Broken::Syntax)?;
        self.names.truncate(from);
        self.namespaces.end(self.names_from.len());
        // The root was taken when it began.
        let Some(element) = self.open.pop() else { return Ok(()) };
        match self.open.last_mut() {
            Some(around) => drop(around.append_child(element)),
            None => {
                self.done = Some(self.in_language(element));
                self.tag.clear();
                self.tag.shrink_to(KEEP);
            }
        }
        Ok(())
    }

    /// A stanza is in the language of the stream, unless it says otherwise (XML 1.0 §2.12).
    fn in_language(&self, mut element: Element) -> Element {
        if let Some(lang) = &self.lang
            && element.attr_ns(XMLNS_XML, "lang").is_none()
            && let Ok(name) = NcName::try_from("lang")
        {
            element.set_attr(Namespace::XML, name, lang);
        }
        element
    }

    /// The root, or its child, that was completed last.
    pub(crate) fn take(&mut self) -> Option<Element> {
        self.done.take()
    }

    /// Whether the stanza that is being read comes neither from our server nor from our account (RFC 6120 §8.1.2.1).
    pub(crate) fn is_of_others(&self) -> bool {
        let Some(stanza) = self.open.first() else { return false };
        let to = stanza.attr("to").unwrap_or_default();
        let account = to.split_once('/').map_or(to, |(account, _)| account);
        let server = account.split_once('@').map_or(account, |(_, server)| server);
        stanza.attr("from").is_some_and(|from| from != account && from != server)
    }

    /// Discards what is being read; returns its outermost element, if that has begun.
    pub(crate) fn give_up(&mut self) -> Option<Element> {
        (self.tag, self.text) = (Vec::new(), Vec::new());
        while self.names_from.len() > 1 {
            let from = self.names_from.pop()?;
            self.names.truncate(from);
            self.namespaces.end(self.names_from.len());
        }
        self.open.drain(..).next()
    }
}

/// What an attribute can declare.
enum Declares<'a> {
    DefaultNamespace,
    Prefix(&'a str),
}

/// What an attribute of this name declares, if anything.
fn declared(name: &str) -> Option<Declares<'_>> {
    match name.strip_prefix("xmlns")? {
        "" => Some(Declares::DefaultNamespace),
        rest => rest.strip_prefix(':').map(Declares::Prefix),
    }
}

/// A name's prefix, if it has one, and the rest, which may not have a colon.
fn split(name: &str) -> Result<(Option<&str>, &str), Broken> {
    match name.split_once(':') {
        None => Ok((None, name)),
        Some(("" | "xmlns", _)) => Err(Broken::Syntax),
        Some((prefix, local)) => Ok((Some(prefix), local)),
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
