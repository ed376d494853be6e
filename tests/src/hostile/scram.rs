//! The server side of SASL: SCRAM (RFC 5802, RFC 7677) and PLAIN, with the lies that a test wants.

use std::io::{Error, Result};
use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use ring::{digest, hmac, pbkdf2};

use super::Peer;
use crate::xml;

/// The iteration count required by RFC 7677.
const ITERATIONS: u32 = 4096;
const SALT: &[u8] = b"salt of a test server";

/// How a server may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The final `v=` proves nothing: it is a different signature.
    WrongSignature,
    /// `<success/>` comes without a signature.
    NoSignature,
    /// `<success/>` comes before any challenge.
    NoChallenge,
    /// The server's nonce does not begin with the client's.
    ForeignNonce,
    /// The challenge says that something else was offered (XEP-0474), as if somebody in between had changed it.
    ChangedOffer,
}

/// What the server offers and does.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// Offered mechanisms, in this order.
    pub mechanisms: Vec<String>,
    /// The announced type of channel binding (XEP-0440). Whether it matches the connection is not checked: that is up
    /// to the client.
    pub binding: Option<&'static str>,
    /// Announced and used iterations.
    pub iterations: u32,
    /// The account's name.
    pub name: String,
    /// The account's password.
    pub password: String,
    /// The one lie it tells.
    pub lie: Option<Lie>,
}

impl Sasl {
    /// An honest server that offers SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN.
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            mechanisms: ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"].map(str::to_owned).into(),
            binding: None,
            iterations: ITERATIONS,
            name: name.to_owned(),
            password: password.to_owned(),
            lie: None,
        }
    }

    /// With these mechanisms.
    pub fn offering(mut self, mechanisms: &[&str]) -> Self {
        self.mechanisms = mechanisms.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// An honest server that also offers channel binding.
    pub fn binding(mut self) -> Self {
        self.mechanisms.insert(0, "SCRAM-SHA-256-PLUS".to_owned());
        self.binding = Some("tls-exporter");
        self
    }

    /// With an iteration count, small or huge. Above a million the server itself doesn't compute it: the client must
    /// refuse.
    pub fn iterating(mut self, iterations: u32) -> Self {
        self.iterations = iterations;
        self
    }

    /// With a lie.
    pub fn lying(mut self, lie: Lie) -> Self {
        self.lie = Some(lie);
        self
    }

    /// The stream feature.
    pub(super) fn offer(&self) -> String {
        let mechanisms: String =
            self.mechanisms.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
        let binding = self.binding.map(|kind| {
            format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='{kind}'/></sasl-channel-binding>")
        });
        let binding = binding.unwrap_or_default();
        format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{mechanisms}</mechanisms>{binding}")
    }
}

/// From the client's `<auth/>` to `<success/>` or `<failure/>`. The client may abort after a challenge, and start
/// again.
pub(super) async fn run(peer: &mut Peer, sasl: &Sasl) -> Result<()> {
    while !exchange(peer, sasl).await? {
        peer.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>").await?;
    }
    Ok(())
}

/// One exchange; false if the client aborted it.
async fn exchange(peer: &mut Peer, sasl: &Sasl) -> Result<bool> {
    let auth = peer.expect().await?;
    let mechanism = auth.attr("mechanism").unwrap_or_default().to_owned();
    if auth.name() != "auth" || !sasl.mechanisms.contains(&mechanism) {
        return Err(Error::other(format!("not offered: {}", xml::print(&auth))));
    }
    if sasl.lie == Some(Lie::NoChallenge) {
        return success(peer, "").await.map(|()| true);
    }
    let first = decode(&auth)?;
    match mechanism.as_str() {
        "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" => {
            let hash =
                Hash { hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256, digest: &digest::SHA256 };
            scram(peer, sasl, &hash, &first).await
        }
        "SCRAM-SHA-1" | "SCRAM-SHA-1-PLUS" => {
            let hash = Hash {
                hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
                digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            };
            scram(peer, sasl, &hash, &first).await
        }
        "PLAIN" if first == format!("\0{}\0{}", sasl.name, sasl.password) => {
            success(peer, "").await.map(|()| true)
        }
        _ => failure(peer).await,
    }
}

struct Hash {
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
    digest: &'static digest::Algorithm,
}

impl Hash {
    fn sign(&self, key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac, key), text).as_ref().to_vec()
    }
}

async fn scram(peer: &mut Peer, sasl: &Sasl, hash: &Hash, first: &str) -> Result<bool> {
    // gs2-header: cbind-flag "," [authzid] ","
    let bare = first.splitn(3, ',').nth(2).unwrap_or_default();
    let nonce = attribute(bare, 'r')?;
    let server_nonce = match sasl.lie {
        Some(Lie::ForeignNonce) => format!("x{nonce}y"),
        _ => format!("{nonce}{:x}", rand::random::<u64>()),
    };
    let mut challenge = format!("r={server_nonce},s={},i={}", BASE64_STANDARD.encode(SALT), sasl.iterations);
    if sasl.lie == Some(Lie::ChangedOffer) {
        let offer = digest::digest(hash.digest, b"SCRAM-SHA-256-PLUS\x1ftls-exporter");
        challenge += &format!(",h={}", BASE64_STANDARD.encode(offer));
    }
    send(peer, "challenge", &challenge).await?;

    let response = peer.expect().await?;
    if response.name() == "abort" {
        return Ok(false);
    }
    if response.name() != "response" {
        return Err(Error::other(format!("the client gave up: {}", xml::print(&response))));
    }
    let last = decode(&response)?;
    let (without_proof, proof) =
        last.rsplit_once(",p=").ok_or_else(|| Error::other("the client's final message has no proof"))?;
    let proof = BASE64_STANDARD.decode(proof).map_err(Error::other)?;
    let signed = format!("{bare},{challenge},{without_proof}");

    let length = hash.digest.output_len();
    let mut salted = vec![0; length];
    let iterations =
        NonZeroU32::new(sasl.iterations).ok_or_else(|| Error::other("the client accepted 0 iterations"))?;
    pbkdf2::derive(hash.pbkdf2, iterations, SALT, sasl.password.as_bytes(), &mut salted);
    let stored_key = digest::digest(hash.digest, &hash.sign(&salted, b"Client Key"));
    let signature = hash.sign(stored_key.as_ref(), signed.as_bytes());
    let client_key: Vec<_> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let proven =
        proof.len() == length && digest::digest(hash.digest, &client_key).as_ref() == stored_key.as_ref();
    if !proven || attribute(without_proof, 'r')? != server_nonce || attribute(bare, 'n')? != sasl.name {
        return failure(peer).await;
    }
    let verifier = match sasl.lie {
        Some(Lie::NoSignature) => return success(peer, "").await.map(|()| true),
        Some(Lie::WrongSignature) => hash.sign(b"another key", signed.as_bytes()),
        _ => hash.sign(&hash.sign(&salted, b"Server Key"), signed.as_bytes()),
    };
    success(peer, &format!("v={}", BASE64_STANDARD.encode(verifier))).await.map(|()| true)
}

fn attribute(message: &str, name: char) -> Result<String> {
    let found = message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.map(str::to_owned).ok_or_else(|| Error::other(format!("no {name}= in {message}")))
}

fn decode(element: &Element) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(element.text()).map_err(Error::other)?;
    String::from_utf8(bytes).map_err(Error::other)
}

async fn success(peer: &mut Peer, content: &str) -> Result<()> {
    send(peer, "success", content).await
}

async fn failure(peer: &mut Peer) -> Result<bool> {
    peer.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>").await?;
    Err(Error::other("the client does not know the password"))
}

async fn send(peer: &mut Peer, name: &str, content: &str) -> Result<()> {
    let content = BASE64_STANDARD.encode(content);
    peer.send(&format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{content}</{name}>")).await
}
