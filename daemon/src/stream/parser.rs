//! Parses usual stanzas, faster than rxml does and with the same result: the tests compare the two on damaged stanzas.
//! What is unusual is left to [`pieces`](super::pieces).

use std::collections::BTreeMap;

use jid::Jid;
use minidom::Element;
use minidom::rxml::{Namespace, NcName};
use prosed_session::read_show;
use roxmltree::{Document, NS_XML_URI, Node};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::{Id, Lang, Message, MessageType};
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Priority, Type};
use xmpp_parsers::stanza::Stanza;
use xmpp_parsers::stanza_error::StanzaError;

use super::namespaces::character;

/// How a stream ends whose header has the prefix that servers must use (RFC 6120 §4.8.5).
const FOOTER: &str = "</stream:stream>";
/// A document that has grown beyond this for a big stanza is given back.
const KEEP: usize = 64 * 1024;
/// Longer stanzas are read in pieces: the tree that we read through makes room for an attribute at each `=` before
/// it looks, and all of it is one piece of work. A roster of 10,000 contacts has 2 MB.
const MAX_BYTES: usize = 2 << 20;
/// Declarations of namespaces in a stanza. Each element that makes one takes over all of those around it,
/// in time that grows with the square of their number. Whatever is sent in the course of a day has ten.
const MAX_DECLARATIONS: usize = 64;

/// Reads stanzas of the stream that has this header.
#[derive(Default)]
pub(super) struct Parser {
    /// The stream as if there were nothing but this stanza in it: the header has a say in what
    /// namespaces and languages mean.
    document: String,
}

impl Parser {
    /// A stanza in which nothing is unusual.
    pub(super) fn stanza(&mut self, header: &[u8], stanza: &[u8]) -> Option<Stanza> {
        if stanza.len() > MAX_BYTES || is_laborious(stanza) || is_disputed(stanza) {
            return None;
        }
        self.document.clear();
        self.document.shrink_to(KEEP);
        self.document.push_str(std::str::from_utf8(header).ok()?);
        self.document.push_str(std::str::from_utf8(stanza).ok()?);
        self.document.push_str(FOOTER);
        let document = Document::parse(&self.document).ok()?;
        let root = document.root_element();
        // What is said without a namespace is a stanza.
        if root.default_namespace() != Some(ns::JABBER_CLIENT) {
            return None;
        }
        usual(root.first_child()?)
    }
}

fn is_laborious(stanza: &[u8]) -> bool {
    memchr::memmem::find_iter(stanza, b"xmlns").nth(MAX_DECLARATIONS).is_some()
}

/// What the two don't agree on: what becomes of a carriage return, that a prefix can't be empty, that
/// what is called `xmlns` may have one, and that there is no character of some numbers.
fn is_disputed(stanza: &[u8]) -> bool {
    let disputed = |colon: usize| {
        let (before, behind) = stanza.split_at(colon);
        matches!(before.last(), Some(b'<' | b'/' | b' ' | b'\t' | b'\n')) || behind.starts_with(b":xmlns")
    };
    let is_none = |at: usize| {
        let behind = &stanza[at + 1..];
        memchr::memchr(b';', behind).and_then(|end| character(&behind[..end])).is_none()
    };
    memchr::memchr(b'\r', stanza).is_some()
        || memchr::memchr_iter(b':', stanza).any(disputed)
        || memchr::memmem::find_iter(stanza, b"&#").any(is_none)
}

/// As xmpp-parsers would read it; absent: it is unusual.
fn usual(stanza: Node<'_, '_>) -> Option<Stanza> {
    let head = Head::read(stanza)?;
    // Elements, and nothing in between.
    let mut children = Vec::new();
    for child in stanza.children() {
        if !child.is_element() {
            return None;
        }
        children.push(child);
    }
    let stanza = match stanza.tag_name().name() {
        "iq" => iq(head, &children)?.into(),
        "message" => message(head, &children)?.into(),
        "presence" => presence(head, &children)?.into(),
        _ => return None,
    };
    Some(stanza)
}

/// What all stanzas have (RFC 6120 §8.1).
struct Head<'a> {
    from: Option<Jid>,
    to: Option<Jid>,
    id: Option<String>,
    type_: Option<&'a str>,
}

impl<'a> Head<'a> {
    fn read(stanza: Node<'a, '_>) -> Option<Self> {
        if stanza.tag_name().namespace() != Some(ns::JABBER_CLIENT) {
            return None;
        }
        let mut head = Self { from: None, to: None, id: None, type_: None };
        for attribute in stanza.attributes() {
            match (attribute.namespace(), attribute.name()) {
                (None, "from") => head.from = Some(Jid::new(attribute.value()).ok()?),
                (None, "to") => head.to = Some(Jid::new(attribute.value()).ok()?),
                (None, "id") => head.id = Some(attribute.value().to_owned()),
                (None, "type") => head.type_ = Some(attribute.value()),
                (Some(NS_XML_URI), "lang") => {}
                _ => return None,
            }
        }
        Some(head)
    }
}

fn iq(head: Head<'_>, children: &[Node<'_, '_>]) -> Option<Iq> {
    let Head { from, to, id, type_ } = head;
    let (id, type_) = (id?, type_?);
    let is_ours = |child: &&Node<'_, '_>| child.tag_name().namespace() == Some(ns::JABBER_CLIENT);
    if type_ == "error" {
        // What offended may stand beside it.
        let mut errors = children.iter().filter(is_ours);
        let (Some(error), None, 1..=2) = (errors.next(), errors.next(), children.len()) else { return None };
        let payload = match children.iter().find(|child| !is_ours(child)) {
            Some(child) => Some(element(*child)?),
            None => None,
        };
        return Some(Iq::Error { from, to, id, error: stanza_error(*error)?, payload });
    }
    let payload = match children {
        [] => None,
        [child] => Some(element(*child)?),
        _ => return None,
    };
    Some(match (type_, payload) {
        ("get", Some(payload)) => Iq::Get { from, to, id, payload },
        ("set", Some(payload)) => Iq::Set { from, to, id, payload },
        ("result", payload) => Iq::Result { from, to, id, payload },
        _ => return None,
    })
}

/// An error (RFC 6120 §8.3) without a text: what language that is in is not in the element alone.
fn stanza_error(error: Node<'_, '_>) -> Option<StanzaError> {
    let is_simple = error.children().all(|child| child.is_element() && child.tag_name().name() != "text");
    if is_simple { StanzaError::try_from(element(error)?).ok() } else { None }
}

fn message(head: Head<'_>, children: &[Node<'_, '_>]) -> Option<Message> {
    let Head { from, to, id, type_ } = head;
    let type_ = match type_ {
        None | Some("normal") => MessageType::Normal,
        Some("chat") => MessageType::Chat,
        Some("groupchat") => MessageType::Groupchat,
        Some("headline") => MessageType::Headline,
        Some(_) => return None,
    };
    let mut message = Message::new_with_type(type_, to);
    message.from = from;
    message.id = id.map(Id);
    for child in children {
        // What people write comes seldom enough.
        if child.tag_name().namespace() == Some(ns::JABBER_CLIENT) {
            return None;
        }
        message.payloads.push(element(*child)?);
    }
    Some(message)
}

fn presence(head: Head<'_>, children: &[Node<'_, '_>]) -> Option<Presence> {
    let Head { from, to, id, type_ } = head;
    let type_ = match type_ {
        None => Type::None,
        Some("unavailable") => Type::Unavailable,
        Some(_) => return None,
    };
    let mut presence = Presence { from, to, id, ..Presence::new(type_) };
    let mut has_priority = false;
    for child in children {
        if child.tag_name().namespace() != Some(ns::JABBER_CLIENT) {
            presence.payloads.push(element(*child)?);
            continue;
        }
        let text = only_text(*child)?;
        let is_plain = child.attributes().len() == 0;
        let is_plain_but_for_language =
            child.attributes().all(|one| (one.namespace(), one.name()) == (Some(NS_XML_URI), "lang"));
        match child.tag_name().name() {
            "show" if is_plain && presence.show.is_none() => presence.show = Some(read_show(text)?),
            "priority" if is_plain && !has_priority => {
                has_priority = true;
                presence.priority = Priority(text.parse().ok()?);
            }
            "status" if is_plain_but_for_language && presence.statuses.is_empty() => {
                presence.statuses = BTreeMap::from([(language(*child), text.to_owned())]);
            }
            _ => return None,
        }
    }
    Some(presence)
}

/// The text of an element that holds nothing else.
fn only_text<'a>(element: Node<'a, '_>) -> Option<&'a str> {
    let mut children = element.children();
    match (children.next(), children.next()) {
        (None, _) => Some(""),
        (Some(text), None) if text.is_text() => text.text(),
        _ => None,
    }
}

/// In which language something is: `xml:lang` counts for all inside (XML 1.0 §2.12).
fn language(element: Node<'_, '_>) -> Lang {
    let said = element.ancestors().find_map(|around| around.attribute((NS_XML_URI, "lang")));
    said.map_or_else(Lang::new, Lang::from)
}

/// An element with everything in it. The scanner has bounded how deep that is.
fn element(node: Node<'_, '_>) -> Option<Element> {
    let name = node.tag_name();
    let mut element = Element::bare(name.name(), name.namespace().unwrap_or_default());
    for attribute in node.attributes() {
        let namespace = attribute.namespace().map_or(Namespace::NONE, |ns| Namespace::from(ns.to_owned()));
        element.set_attr(namespace, NcName::try_from(attribute.name()).ok()?, attribute.value());
    }
    for child in node.children() {
        if child.is_element() {
            element.append_child(self::element(child)?);
        } else {
            element.append_text_node(child.text()?);
        }
    }
    Some(element)
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
