//! The server side of SASL: SCRAM (RFC 5802, RFC 7677), PLAIN and tokens, with the lies that a test wants.

use std::io::{Error, Result};
use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use ring::{digest, hmac, pbkdf2};

use super::Peer;
use super::sasl2::{self, Sasl2, failure, send, success};
use crate::xml;

/// The iteration count required by RFC 7677.
const ITERATIONS: u32 = 4096;
const SALT: &[u8] = b"salt of a test server";

/// How a server may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The server's proof proves nothing: it is a different signature.
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
    /// The announced type of channel binding (XEP-0440).
    pub binding: Option<&'static str>,
    /// Somebody in between relays the exchange: the server that checks it is at another connection.
    pub relays: bool,
    /// SASL2 in place of SASL.
    pub sasl2: Option<Sasl2>,
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
            relays: false,
            sasl2: None,
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

    /// The same server, with somebody in between who relays the exchange.
    pub fn relayed(mut self) -> Self {
        self.relays = true;
        self
    }

    /// With SASL2 in place of SASL.
    pub fn sasl2(mut self, sasl2: Sasl2) -> Self {
        self.sasl2 = Some(sasl2);
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
        let mechanisms = match &self.sasl2 {
            Some(sasl2) => sasl2.offer(&mechanisms),
            None => format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{mechanisms}</mechanisms>"),
        };
        mechanisms + &binding
    }
}

/// From the client's first element to `<success/>` or `<failure/>`. The client may abort after a challenge, or have its
/// token refused, and start again.
pub(super) async fn run(peer: &mut Peer, sasl: &Sasl) -> Result<()> {
    while !exchange(peer, sasl).await? {}
    Ok(())
}

/// One exchange; false if the client may begin another.
async fn exchange(peer: &mut Peer, sasl: &Sasl) -> Result<bool> {
    let request = peer.expect().await?;
    let (mechanism, first) = sasl2::begun(sasl, &request)?;
    if sasl.lie == Some(Lie::NoChallenge) {
        return success(peer, sasl, &request, b"").await.map(|()| true);
    }
    if sasl2::is_for_tokens(&mechanism) {
        return sasl2::by_token(peer, sasl, &mechanism, &request, &first).await;
    }
    let first = String::from_utf8(first).map_err(Error::other)?;
    match mechanism.as_str() {
        "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" => {
            let hash =
                Hash { hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256, digest: &digest::SHA256 };
            scram(peer, sasl, &hash, &request, &first).await
        }
        "SCRAM-SHA-1" | "SCRAM-SHA-1-PLUS" => {
            let hash = Hash {
                hmac: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                pbkdf2: pbkdf2::PBKDF2_HMAC_SHA1,
                digest: &digest::SHA1_FOR_LEGACY_USE_ONLY,
            };
            scram(peer, sasl, &hash, &request, &first).await
        }
        "PLAIN" if first == format!("\0{}\0{}", sasl.name, sasl.password) => {
            success(peer, sasl, &request, b"").await.map(|()| true)
        }
        _ => refuse(peer, sasl).await,
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

async fn scram(peer: &mut Peer, sasl: &Sasl, hash: &Hash, request: &Element, first: &str) -> Result<bool> {
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
    send(peer, sasl, "challenge", challenge.as_bytes()).await?;

    let response = peer.expect().await?;
    if response.name() == "abort" {
        failure(peer, sasl, "aborted").await?;
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
    // Without `-PLUS` only the header's first letter tells, which is up to the client.
    let bound = first.strip_prefix("p=tls-exporter,,").is_none() || {
        let expected = [b"p=tls-exporter,,".as_slice(), &peer.exporter(sasl.relays)].concat();
        attribute(without_proof, 'c')? == BASE64_STANDARD.encode(expected)
    };
    let ours = attribute(without_proof, 'r')? == server_nonce && attribute(bare, 'n')? == sasl.name;
    if !(proven && bound && ours) {
        return refuse(peer, sasl).await;
    }
    let verifier = match sasl.lie {
        Some(Lie::NoSignature) => return success(peer, sasl, request, b"").await.map(|()| true),
        Some(Lie::WrongSignature) => hash.sign(b"another key", signed.as_bytes()),
        _ => hash.sign(&hash.sign(&salted, b"Server Key"), signed.as_bytes()),
    };
    let proof = format!("v={}", BASE64_STANDARD.encode(verifier));
    success(peer, sasl, request, proof.as_bytes()).await.map(|()| true)
}

fn attribute(message: &str, name: char) -> Result<String> {
    let found = message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.map(str::to_owned).ok_or_else(|| Error::other(format!("no {name}= in {message}")))
}

fn decode(element: &Element) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(element.text()).map_err(Error::other)?;
    String::from_utf8(bytes).map_err(Error::other)
}

async fn refuse(peer: &mut Peer, sasl: &Sasl) -> Result<bool> {
    failure(peer, sasl, "not-authorized").await?;
    Err(Error::other("the client does not know the password, or is bound to another connection"))
}
