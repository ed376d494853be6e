//! Tokens instead of the password (XEP-0484, FAST), with the HT mechanisms (draft-schmaus-kitten-sasl-ht): one
//! message each way, and each side proves that it has the token.
//!
//! A token lives as long as the stream that received it: it saves reconnects the work and the round trips of SCRAM.
//! SCRAM's keys, which don't expire, are stored on disk.

use hmac::{Hmac, KeyInit, Mac};
use minidom::Element;
use minidom::rxml::xml_ncname;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use xmpp_parsers::ns;
use zeroize::Zeroizing;

use super::offer::Offer;
use super::pins::Pins;
use crate::stream::reach::binding::{BindingType, Bindings};

/// What the server issued for the next login. A secret: no `Debug`, wiped when dropped.
pub(crate) struct Token {
    /// The mechanism that it was requested for; it works with no other.
    kind: TokenMechanism,
    secret: Zeroizing<String>,
}

/// A mechanism of the HT family with SHA-256, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenMechanism {
    Unbound,
    Bound(BindingType),
}

impl TokenMechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unbound => "HT-SHA-256-NONE",
            Self::Bound(BindingType::EndPoint) => "HT-SHA-256-ENDP",
            Self::Bound(BindingType::Exporter) => "HT-SHA-256-EXPR",
        }
    }

    /// The strongest that the server offers and this connection supports.
    pub(crate) fn best(offer: &Offer, bindings: &Bindings) -> Option<Self> {
        let all = [BindingType::Exporter, BindingType::EndPoint].map(Self::Bound);
        all.into_iter().chain([Self::Unbound]).find(|kind| kind.usable(offer, bindings))
    }

    fn usable(self, offer: &Offer, bindings: &Bindings) -> bool {
        // A token is bound as tightly as a login can be: otherwise it would be the weaker way in.
        let is_tight = match self {
            Self::Unbound => Pins::of(offer, bindings).binding.is_none(),
            Self::Bound(kind) => Some(kind) >= Pins::of(offer, bindings).binding,
        };
        is_tight && offer.fast.iter().any(|name| name == self.name()) && self.data(bindings).is_some()
    }

    fn data(self, bindings: &Bindings) -> Option<&[u8]> {
        match self {
            Self::Unbound => Some(&[]),
            Self::Bound(kind) => bindings.get(kind),
        }
    }

    /// Requests a token along with another mechanism (XEP-0484 §3.2).
    pub(crate) fn request(self) -> Element {
        let mechanism = xml_ncname!("mechanism").to_owned();
        Element::builder("request-token", ns::FAST).attr(mechanism, self.name()).build()
    }
}

impl Token {
    pub(crate) fn new(kind: TokenMechanism, secret: String) -> Self {
        Self { kind, secret: Zeroizing::new(secret) }
    }

    /// The same type with a new secret: the server renews tokens unasked.
    pub(crate) fn renewed(&self, secret: String) -> Self {
        Self::new(self.kind, secret)
    }

    pub(crate) fn mechanism(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether it can be used on this connection.
    pub(crate) fn fits(&self, offer: &Offer, bindings: &Bindings) -> bool {
        self.kind.usable(offer, bindings)
    }

    /// What we send with it is worthless on any other connection, even if it is intercepted (RFC 9266). Not so with
    /// `HT-SHA-256-NONE`, where it is always the same, or with an end point, where it is for one certificate.
    pub(crate) fn serves_one_connection(&self) -> bool {
        self.kind == TokenMechanism::Bound(BindingType::Exporter)
    }

    /// Our only message.
    pub(crate) fn message(&self, username: &str, bindings: &Bindings) -> Vec<u8> {
        let mut message = format!("{username}\0").into_bytes();
        message.extend(self.hmac(b"Initiator", bindings).finalize().into_bytes());
        message
    }

    /// Whether the server has the token, too.
    pub(crate) fn is_proven(&self, answer: &[u8], bindings: &Bindings) -> bool {
        self.hmac(b"Responder", bindings).finalize().into_bytes().as_slice().ct_eq(answer).into()
    }

    /// Marks the mechanism as a token's (XEP-0484 §3.4).
    pub(crate) fn mark() -> Element {
        Element::builder("fast", ns::FAST).build()
    }

    fn hmac(&self, role: &[u8], bindings: &Bindings) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(role);
        mac.update(self.kind.data(bindings).unwrap_or_default());
        mac
    }
}
