//! From a login to a session: resuming one (XEP-0198), or binding a resource (RFC 6120 §7, XEP-0386).

use std::num::NonZeroU32;

use jid::{BareJid, Jid};
use minidom::Element;
use minidom::rxml::xml_ncname;
use xmpp_parsers::ns;
use xmpp_parsers::stream_limits::Limits;

use super::dialogue::{Dialogue, disorder};
use crate::stream::{ConnectError, short};

/// RFC 6121's predecessor wanted a session to be opened.
const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const CLIENT_STATE: &str = "urn:xmpp:csi:0";
const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";

/// What a stream's features say of sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SessionOffer {
    pub(crate) binds: bool,
    pub(crate) manages: bool,
    /// A session has to be opened once a resource is bound.
    pub(crate) opens: bool,
    pub(crate) roster_versioning: bool,
    /// The server wants to know whether anybody is watching (XEP-0352).
    pub(crate) client_state: bool,
    /// How many bytes of a stanza the server takes (XEP-0478).
    pub(crate) stanza_bytes: Option<u32>,
}

impl SessionOffer {
    /// Limits that can't be read are none: some servers mean "none" by 0.
    pub(crate) fn read(features: &Element) -> Self {
        let limits = features.get_child("limits", ns::STREAM_LIMITS);
        let limits = limits.and_then(|limits| Limits::try_from(limits.clone()).ok());
        let session = features.get_child("session", SESSION);
        Self {
            binds: features.has_child("bind", ns::BIND),
            manages: features.has_child("sm", ns::SM),
            opens: session.is_some_and(|session| !session.has_child("optional", SESSION)),
            client_state: features.has_child("csi", CLIENT_STATE),
            roster_versioning: features.has_child("ver", ROSTER_VERSIONING),
            stanza_bytes: limits.and_then(|limits| limits.max_bytes).map(NonZeroU32::get),
        }
    }
}

/// Tells the server whether anybody is watching (XEP-0352).
pub(crate) fn client_state(active: bool) -> Element {
    Element::builder(if active { "active" } else { "inactive" }, CLIENT_STATE).build()
}

/// A session that was resumed, or one that was bound.
pub(crate) enum Begun {
    /// `answer`: the server's `<resumed/>`.
    Resumed { answer: Element },
    /// `enabled`: what the server answered to a request to manage it, where it has. `failed`: its refusal to resume the
    /// previous session.
    Bound { jid: Jid, enabled: Option<Element>, failed: Option<Element> },
}

/// Asks to resume a session. Returns the answer: anything but `<resumed/>` means that the server does not have it.
pub(crate) async fn resume(dialogue: &mut Dialogue, request: &Element) -> Result<Element, ConnectError> {
    dialogue.send(request).await?;
    loop {
        let answer = dialogue.next().await?;
        if answer.ns() == ns::JABBER_CLIENT {
            continue;
        }
        return match answer.name() {
            "resumed" | "failed" if answer.ns() == ns::SM => Ok(answer),
            "enabled" if answer.ns() == ns::SM => {
                tracing::warn!("the server answers with a new session where it was asked for an old one");
                Ok(answer)
            }
            _ => Err(disorder()),
        };
    }
}

/// Binds this resource, or one of the server's choice (RFC 6120 §7).
pub(crate) async fn bind(
    dialogue: &mut Dialogue,
    account: &BareJid,
    resource: Option<&str>,
    offer: &SessionOffer,
) -> Result<Jid, ConnectError> {
    if !offer.binds {
        return Err(ConnectError::Protocol { text: "the server offers no resource binding".to_owned() });
    }
    let resource = resource.filter(|resource| match account.with_resource_str(resource) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "the resource can't be used; the server chooses one");
            false
        }
    });
    let mut answer = ask(dialogue, bind_request(resource), "resource-binding").await?;
    // Another client has it (RFC 6120 §7.7.2.2).
    if resource.is_some() && condition(&answer).is_some_and(|condition| condition == "conflict") {
        answer = ask(dialogue, bind_request(None), "resource-binding").await?;
    }
    refused(&answer, "to bind a resource")?;
    let bound = answer.get_child("bind", ns::BIND).and_then(|bind| bind.get_child("jid", ns::BIND));
    let jid = bound.and_then(|jid| jid.text().parse::<Jid>().ok()).ok_or_else(|| ConnectError::Protocol {
        text: "the server bound a resource and does not say which".to_owned(),
    })?;
    if offer.opens {
        let session = Element::builder("session", SESSION).build();
        let answer = ask(dialogue, iq("session", session), "session").await?;
        refused(&answer, "to open a session")?;
    }
    Ok(jid)
}

fn bind_request(resource: Option<&str>) -> Element {
    let resource = resource.map(|resource| Element::builder("resource", ns::BIND).append(resource));
    iq("resource-binding", Element::builder("bind", ns::BIND).append_all(resource).build())
}

fn iq(id: &str, payload: Element) -> Element {
    Element::builder("iq", ns::JABBER_CLIENT)
        .attr(xml_ncname!("type").to_owned(), "set")
        .attr(xml_ncname!("id").to_owned(), id)
        .append(payload)
        .build()
}

/// Asks, and waits for the answer to it.
async fn ask(dialogue: &mut Dialogue, request: Element, id: &str) -> Result<Element, ConnectError> {
    dialogue.send(&request).await?;
    loop {
        let answer = dialogue.next().await?;
        if answer.ns() != ns::JABBER_CLIENT {
            return Err(disorder());
        }
        let answers = matches!(answer.attr("type"), Some("result" | "error"));
        if answer.name() == "iq" && answers && answer.attr("id") == Some(id) {
            return Ok(answer);
        }
    }
}

/// RFC 6120 §8.3.3: why a request was refused, if it was.
fn condition(answer: &Element) -> Option<String> {
    if answer.attr("type") != Some("error") {
        return None;
    }
    let error = answer.get_child("error", ns::JABBER_CLIENT);
    let condition = error.and_then(|error| error.children().find(|child| child.name() != "text"));
    Some(condition.map_or("undefined-condition", Element::name).to_owned())
}

fn refused(answer: &Element, what: &str) -> Result<(), ConnectError> {
    let Some(condition) = condition(answer) else { return Ok(()) };
    let error = answer.get_child("error", ns::JABBER_CLIENT);
    let text = error.and_then(|error| error.get_child("text", ns::XMPP_STANZAS)).map(Element::text);
    let text = text.map(|text| format!(": {text}")).unwrap_or_default();
    Err(ConnectError::Protocol { text: short(&format!("the server refused {what}: {condition}{text}")) })
}
