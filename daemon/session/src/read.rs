//! Reading stanzas: a malformed child affects only itself.
//!
//! The library refuses a whole stanza for one bad child, and a contact would be missing because of a `<show/>` that
//! nobody needs. RFC 6121 §4.7.2 says to ignore such a child; we treat all others here the same way. Required parts
//! must be there: a valid `from`, if there is one; an iq's type and id.

use std::collections::BTreeMap;

use jid::Jid;
use minidom::Element;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::{Id, Lang, Message, MessageType, Thread};
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Priority, Show, Type};
use xmpp_parsers::stanza::Stanza;
use xmpp_parsers::stanza_error::{DefinedCondition, StanzaError};

use crate::xml;

/// The stanza in this element, without its malformed parts; absent: it is not one.
pub fn read_stanza(element: Element) -> Option<Stanza> {
    if !element.has_ns(ns::JABBER_CLIENT) {
        return None;
    }
    match element.name() {
        "iq" => iq(element).map(Stanza::Iq),
        "message" => message(element).map(Stanza::Message),
        "presence" => presence(element).map(Stanza::Presence),
        _ => None,
    }
}

/// The sender, if given.
fn from(stanza: &Element) -> Result<Option<Jid>, jid::Error> {
    stanza.attr("from").map(Jid::new).transpose()
}

/// It reached us in any case.
fn to(stanza: &Element) -> Option<Jid> {
    Jid::new(stanza.attr("to")?).ok()
}

fn id(stanza: &Element) -> Option<String> {
    stanza.attr("id").map(str::to_owned)
}

/// `xml:lang` applies to everything inside (XML 1.0 §2.12).
fn lang(element: &Element, around: &Lang) -> Lang {
    element.attr_ns(xml::NS, "lang").map_or_else(|| around.clone(), Lang::from)
}

/// The text of an element that contains nothing else.
fn only_text(element: &Element) -> Option<String> {
    element.children().next().is_none().then(|| element.text())
}

/// RFC 6120 §8.2.3: one payload, or an error.
fn iq(mut stanza: Element) -> Option<Iq> {
    let (from, to, id) = (from(&stanza).ok()?, to(&stanza), id(&stanza)?);
    let type_ = stanza.attr("type")?.to_owned();
    let mut children = stanza.take_contents_as_children();
    Some(match type_.as_str() {
        "get" => Iq::Get { from, to, id, payload: children.next()? },
        "set" => Iq::Set { from, to, id, payload: children.next()? },
        "result" => Iq::Result { from, to, id, payload: children.next() },
        "error" => {
            let (errors, others): (Vec<Element>, Vec<Element>) =
                children.partition(|child| child.is("error", ns::JABBER_CLIENT));
            let error = errors.into_iter().find_map(|error| StanzaError::try_from(error).ok());
            // Whatever it is, the request has failed.
            let error = error.unwrap_or_else(|| xml::error(DefinedCondition::UndefinedCondition));
            Iq::Error { from, to, id, error, payload: others.into_iter().next() }
        }
        _ => return None,
    })
}

/// RFC 6121 §5.2.
fn message(mut stanza: Element) -> Option<Message> {
    let type_ = match stanza.attr("type") {
        Some("chat") => MessageType::Chat,
        Some("error") => MessageType::Error,
        Some("groupchat") => MessageType::Groupchat,
        Some("headline") => MessageType::Headline,
        // §5.2.2: unknown types count as normal, too.
        _ => MessageType::Normal,
    };
    let language = lang(&stanza, &Lang::new());
    let mut message = Message::new_with_type(type_, to(&stanza));
    message.from = from(&stanza).ok()?;
    message.id = id(&stanza).map(Id);
    for child in stanza.take_contents_as_children() {
        if !child.has_ns(ns::JABBER_CLIENT) {
            message.payloads.push(child);
            continue;
        }
        match (child.name(), only_text(&child)) {
            ("body", Some(text)) => drop(message.bodies.entry(lang(&child, &language)).or_insert(text)),
            ("subject", Some(text)) => drop(message.subjects.entry(lang(&child, &language)).or_insert(text)),
            ("thread", Some(id)) if message.thread.is_none() => {
                message.thread = Some(Thread { parent: child.attr("parent").map(str::to_owned), id });
            }
            ("body" | "subject" | "thread", _) => {}
            _ => message.payloads.push(child),
        }
    }
    Some(message)
}

/// RFC 6121 §4.7.
fn presence(mut stanza: Element) -> Option<Presence> {
    let type_ = match stanza.attr("type") {
        None => Type::None,
        Some("error") => Type::Error,
        Some("probe") => Type::Probe,
        Some("subscribe") => Type::Subscribe,
        Some("subscribed") => Type::Subscribed,
        Some("unavailable") => Type::Unavailable,
        Some("unsubscribe") => Type::Unsubscribe,
        Some("unsubscribed") => Type::Unsubscribed,
        Some(_) => return None,
    };
    let language = lang(&stanza, &Lang::new());
    let mut presence =
        Presence { from: from(&stanza).ok()?, to: to(&stanza), id: id(&stanza), ..Presence::new(type_) };
    let mut statuses = BTreeMap::new();
    let mut priority = None;
    for child in stanza.take_contents_as_children() {
        if !child.has_ns(ns::JABBER_CLIENT) {
            presence.payloads.push(child);
            continue;
        }
        // The first with a meaning counts.
        match (child.name(), only_text(&child)) {
            ("show", Some(text)) => presence.show = presence.show.or_else(|| read_show(text.trim())),
            ("priority", Some(text)) => priority = priority.or_else(|| text.trim().parse().ok()),
            ("status", Some(text)) => drop(statuses.entry(lang(&child, &language)).or_insert(text)),
            ("show" | "priority" | "status", None) => {}
            _ => presence.payloads.push(child),
        }
    }
    presence.statuses = statuses;
    presence.priority = Priority(priority.unwrap_or_default());
    Some(presence)
}

/// RFC 6121 §4.7.2.1.
pub fn read_show(text: &str) -> Option<Show> {
    Some(match text {
        "away" => Show::Away,
        "chat" => Show::Chat,
        "dnd" => Show::Dnd,
        "xa" => Show::Xa,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stanza: &str) -> Option<Element> {
        let head = stanza.find(['>', '/']).unwrap();
        let (name, rest) = stanza.split_at(stanza[..head].find(' ').unwrap_or(head));
        let element: Element = format!("{name} xmlns='jabber:client'{rest}").parse().unwrap();
        Some(match read_stanza(element)? {
            Stanza::Iq(iq) => iq.into(),
            Stanza::Message(message) => message.into(),
            Stanza::Presence(presence) => presence.into(),
        })
    }

    /// Each is read as if its malformed parts were absent.
    #[test]
    fn what_is_malformed_spoils_only_itself() {
        for (spoilt, sound) in [
            ("<presence from='a@b/c'><show/></presence>", "<presence from='a@b/c'/>"),
            ("<presence><show>online</show></presence>", "<presence/>"),
            (
                "<presence><show>away<b/></show><show>xa</show></presence>",
                "<presence><show>xa</show></presence>",
            ),
            ("<presence><show>xa</show><show>dnd</show></presence>", "<presence><show>xa</show></presence>"),
            ("<presence><show> xa </show></presence>", "<presence><show>xa</show></presence>"),
            (
                "<presence><priority>5225</priority><show>dnd</show></presence>",
                "<presence><show>dnd</show></presence>",
            ),
            ("<presence><priority/><status>s</status></presence>", "<presence><status>s</status></presence>"),
            (
                "<presence><priority>1</priority><priority>2</priority></presence>",
                "<presence><priority>1</priority></presence>",
            ),
            ("<presence><priority> 5 </priority></presence>", "<presence><priority>5</priority></presence>"),
            (
                "<presence><status>a</status><status>b</status></presence>",
                "<presence><status>a</status></presence>",
            ),
            ("<presence>text<status>a<b/></status></presence>", "<presence/>"),
            ("<presence odd='1' to='@' from='a@b/c'/>", "<presence from='a@b/c'/>"),
            ("<message type='made up' to='/'/>", "<message/>"),
            (
                "<message><thread><b/></thread><body>hello</body><body>again</body></message>",
                "<message><body>hello</body></message>",
            ),
            (
                "<message><subject>a</subject><subject>b</subject></message>",
                "<message><subject>a</subject></message>",
            ),
            (
                "<message><thread>a</thread><thread>b</thread></message>",
                "<message><thread>a</thread></message>",
            ),
            ("<iq type='result' id='1' to='@'/>", "<iq type='result' id='1'/>"),
            (
                "<iq type='result' id='1'>text<a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
                "<iq type='result' id='1'><a xmlns='urn:a'/></iq>",
            ),
        ] {
            assert_eq!(read(spoilt), read(sound), "{spoilt}");
            assert!(read(sound).is_some(), "{sound}");
        }
    }

    #[test]
    fn an_error_is_one_whatever_is_wrong_with_it() {
        let undefined =
            "<error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let undefined = read(&format!("<iq type='error' id='1'>{undefined}</iq>"));
        assert!(undefined.is_some());
        for error in [
            "",
            "<error/>",
            "<error type='cancel'/>",
            "<error type='made-up'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            "<error type='cancel'><made-up xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ] {
            assert_eq!(read(&format!("<iq type='error' id='1'>{error}</iq>")), undefined, "{error}");
        }
    }

    /// The first error that can be read counts. One in another namespace is not the stanza's.
    #[test]
    fn an_error_is_found_among_others() {
        let gone = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let of = |errors: &str| read(&format!("<iq type='error' id='1'>{errors}</iq>"));
        assert_eq!(of(&format!("<error type='made-up'/>{gone}<error/>")), of(gone));
        let theirs = "<error xmlns='urn:x' type='cancel'/>";
        assert_eq!(of(&format!("{theirs}{gone}")), of(&format!("{gone}{theirs}")));
        assert!(of(theirs).unwrap().has_child("error", "urn:x"), "it is the payload");
    }

    #[test]
    fn a_language_applies_to_everything_inside() {
        for (around, inside) in [
            (
                "<message xml:lang='de'><body>a</body><body xml:lang='fr'>b</body><subject>c</subject></message>",
                "<message><body xml:lang='de'>a</body><body xml:lang='fr'>b</body><subject xml:lang='de'>c</subject></message>",
            ),
            (
                "<presence xml:lang='de'><status>a</status></presence>",
                "<presence><status xml:lang='de'>a</status></presence>",
            ),
        ] {
            assert_eq!(read(around), read(inside), "{around}");
        }
    }

    #[test]
    fn only_stanzas_of_clients_are_read() {
        for name in ["presence", "message", "iq"] {
            let stanza = |ns: &str| format!("<{name} xmlns='{ns}' type='error' id='1'/>").parse().unwrap();
            assert!(read_stanza(stanza("jabber:client")).is_some(), "{name}");
            assert_eq!(read_stanza(stanza("jabber:server")), None, "{name}");
        }
    }

    #[test]
    fn what_is_required_must_be_there() {
        for stanza in [
            "<presence from='@'/>",
            "<presence type='made-up'/>",
            "<message from='@'/>",
            "<iq type='result'/>",
            "<iq id='1'/>",
            "<iq id='1' type='made-up'/>",
            "<iq id='1' type='get'/>",
            "<iq id='1' type='set'/>",
            "<iq id='1' type='result' from='@'/>",
            "<other/>",
        ] {
            assert_eq!(read(stanza), None, "{stanza}");
        }
    }

    /// Whatever the library can read, we must read the same way.
    #[test]
    fn what_is_sound_is_read_as_the_library_reads_it() {
        for stanza in [
            "<presence from='a@b/c' type='subscribe' id='1' to='d@e'><status xml:lang='en'>a</status><status>b</status>\
             <x xmlns='urn:x'/><show xmlns='urn:x'>away</show><status xmlns='urn:x' xml:lang='de'>c</status></presence>",
            "<presence type='error'><error type='cancel'/></presence>",
            "<message type='chat' id='1'><body>a</body><body xml:lang='de'>b</body><subject>c</subject>\
             <thread parent='d'>e</thread><x xmlns='urn:x'/><body xmlns='http://www.w3.org/1999/xhtml' xml:lang='fr'>f</body></message>",
            "<message type='error'><error type='cancel'/></message>",
            "<iq type='error' id='1'><a xmlns='urn:a'/><error type='auth' by='a@b'>\
             <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text></error></iq>",
            "<iq type='get' id='1'><a xmlns='urn:a'/></iq>",
            "<iq type='set' id='1' from='a@b/c'><a xmlns='urn:a'/></iq>",
            "<iq type='result' id='1'/>",
        ] {
            let name_ends = stanza.find(' ').unwrap();
            let (name, rest) = stanza.split_at(name_ends);
            let element: Element = format!("{name} xmlns='jabber:client'{rest}").parse().unwrap();
            let library = match element.name() {
                "iq" => Stanza::Iq(element.clone().try_into().unwrap()),
                "message" => Stanza::Message(element.clone().try_into().unwrap()),
                _ => Stanza::Presence(element.clone().try_into().unwrap()),
            };
            assert_eq!(read_stanza(element), Some(library), "{stanza}");
        }
    }
}
