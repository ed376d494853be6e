//! SASL2 (XEP-0388): how the exchange is written, what is done along with it, and tokens (XEP-0484).

use std::io::{Error, Result};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use ring::hmac;

use super::scram::{Lie, Sasl};
use super::{DOMAIN, Peer};
use crate::xml::{self, escape, find};

const SASL2: &str = "urn:xmpp:sasl:2";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const FAST: &str = "urn:xmpp:fast:0";
/// The token that every client gets that requests one.
const TOKEN: &str = "token of a test server";

/// What a server offers and does with SASL2, in place of SASL.
#[derive(Clone, Debug, Default)]
pub struct Sasl2 {
    /// Mechanisms for tokens: `HT-SHA-256-NONE`, `HT-SHA-256-EXPR`.
    pub tokens: Vec<&'static str>,
    /// A token is refused, as if it had expired.
    pub refuses_tokens: bool,
    /// What else it offers to do along with a login.
    pub inline: &'static str,
    /// What it claims to have done along with a login.
    pub done: String,
    /// Who it claims has logged in; absent: the account.
    pub identity: Option<String>,
}

impl Sasl2 {
    /// The stream feature, for these mechanisms.
    pub(super) fn offer(&self, mechanisms: &str) -> String {
        let tokens: String =
            self.tokens.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
        let fast = if tokens.is_empty() { tokens } else { format!("<fast xmlns='{FAST}'>{tokens}</fast>") };
        let inline = self.inline;
        format!(
            "<authentication xmlns='{SASL2}'>{mechanisms}<inline>{fast}{inline}</inline></authentication>"
        )
    }
}

/// The client's first element of an exchange: its mechanism and its message.
pub(super) fn begun(sasl: &Sasl, request: &Element) -> Result<(String, Vec<u8>)> {
    let (name, message) = match &sasl.sasl2 {
        None => ("auth", request.text()),
        Some(_) => {
            let initial = find(request, "initial-response", SASL2).map(Element::text);
            ("authenticate", initial.unwrap_or_default())
        }
    };
    let mechanism = request.attr("mechanism").unwrap_or_default().to_owned();
    let tokens = sasl.sasl2.iter().flat_map(|sasl2| sasl2.tokens.iter().copied());
    let offered = sasl.mechanisms.iter().map(String::as_str).chain(tokens).any(|name| name == mechanism);
    if request.name() != name || !offered {
        return Err(Error::other(format!("not offered: {}", xml::print(request))));
    }
    Ok((mechanism, BASE64_STANDARD.decode(message).map_err(Error::other)?))
}

/// Whether the mechanism takes a token.
pub(super) fn is_for_tokens(mechanism: &str) -> bool {
    mechanism.starts_with("HT-")
}

/// The exchange by a token, after the client's message; false if it was refused, and the client may try another way.
pub(super) async fn by_token(
    peer: &mut Peer,
    sasl: &Sasl,
    mechanism: &str,
    request: &Element,
    message: &[u8],
) -> Result<bool> {
    let binding = if mechanism.ends_with("-EXPR") { peer.exporter(sasl.relays) } else { Vec::new() };
    let key = hmac::Key::new(hmac::HMAC_SHA256, TOKEN.as_bytes());
    let sign = |role: &str| hmac::sign(&key, &[role.as_bytes(), &binding].concat());
    let expected = [sasl.name.as_bytes(), b"\0", sign("Initiator").as_ref()].concat();
    let refuses = sasl.sasl2.as_ref().is_some_and(|sasl2| sasl2.refuses_tokens);
    if refuses || message != expected {
        failure(peer, sasl, "credentials-expired").await?;
        return Ok(false);
    }
    let proof = sign(if sasl.lie == Some(Lie::WrongSignature) { "Initiator" } else { "Responder" });
    success(peer, sasl, request, proof.as_ref()).await?;
    Ok(true)
}

/// Lets the client in. `request`: the element with which it began.
pub(super) async fn success(peer: &mut Peer, sasl: &Sasl, request: &Element, data: &[u8]) -> Result<()> {
    let Some(sasl2) = &sasl.sasl2 else { return send(peer, sasl, "success", data).await };
    let data = BASE64_STANDARD.encode(data);
    let identity = sasl2.identity.clone().unwrap_or_else(|| format!("{}@{DOMAIN}", sasl.name));
    let identity = escape(&identity);
    let token = find(request, "request-token", FAST)
        .map(|_| format!("<token xmlns='{FAST}' token='{TOKEN}' expiry='2099-01-01T00:00:00Z'/>"));
    peer.send(&format!(
        "<success xmlns='{SASL2}'><additional-data>{data}</additional-data>\
         <authorization-identifier>{identity}</authorization-identifier>{}{}</success>",
        token.unwrap_or_default(),
        sasl2.done
    ))
    .await
}

/// Refuses the client.
pub(super) async fn failure(peer: &mut Peer, sasl: &Sasl, condition: &str) -> Result<()> {
    let namespace = if sasl.sasl2.is_some() { SASL2 } else { SASL };
    peer.send(&format!("<failure xmlns='{namespace}'><{condition} xmlns='{SASL}'/></failure>")).await
}

/// Sends an element with data.
pub(super) async fn send(peer: &mut Peer, sasl: &Sasl, name: &str, data: &[u8]) -> Result<()> {
    let namespace = if sasl.sasl2.is_some() { SASL2 } else { SASL };
    peer.send(&format!("<{name} xmlns='{namespace}'>{}</{name}>", BASE64_STANDARD.encode(data))).await
}
