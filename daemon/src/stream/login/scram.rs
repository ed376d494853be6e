//! SCRAM (RFC 5802, RFC 7677): the exchange as a pure machine, bytes in and bytes out.
//!
//! [`ClientFirst`] → [`Challenge`] → [`ServerProof`]. Nothing from the server is trusted: its nonce must extend ours,
//! its iteration count must be sane, and it must prove that it knows the account, too. If it says what it offered
//! (XEP-0474), that must match what reached us.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::stream::reach::binding::BindingType;

/// RFC 7677 §4 requires at least 4,096; fewer let a fake server guess the password from our proof.
pub(crate) const MIN_ITERATIONS: u32 = 4_096;
/// About a second of work. More would let a fake server keep us busy.
pub(crate) const MAX_ITERATIONS: u32 = 1_000_000;
/// Bytes of a salt; known servers use 16 to 36.
const SALT: std::ops::RangeInclusive<usize> = 4..=1024;
/// Bytes of a message from the server; real ones have 200.
const MAX_MESSAGE: usize = 4096;

/// What the first message says about channel binding (RFC 5802 §6). Both sides sign it: if somebody removes the
/// server's offer, the server notices.
pub(crate) enum Gs2<'a> {
    /// `n`: the two sides have no type of binding in common on this connection.
    Impossible,
    /// `y`: we could, but the server, as far as we know, can't.
    NotOffered,
    /// `p`: bound. The mechanism is the one whose name ends in `-PLUS`.
    Bound(BindingType, &'a [u8]),
}

impl Gs2<'_> {
    fn header(&self) -> String {
        match self {
            Self::Impossible => "n,,".to_owned(),
            Self::NotOffered => "y,,".to_owned(),
            Self::Bound(kind, _) => format!("p={},,", kind.name()),
        }
    }
}

/// A SCRAM mechanism, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ScramMechanism {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
    /// Like RFC 7677, with the longer hash (draft-melnikov-scram-sha-512); some servers store nothing else.
    Sha512,
}

impl ScramMechanism {
    /// All of them, weakest first.
    pub(crate) const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// Its name in SASL with channel binding.
    pub(crate) fn bound_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1-PLUS",
            Self::Sha256 => "SCRAM-SHA-256-PLUS",
            Self::Sha512 => "SCRAM-SHA-512-PLUS",
        }
    }

    /// Its name in SASL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn hmac<M: KeyInit + Mac>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha1 => hmac::<Hmac<Sha1>>(key, data),
            Self::Sha256 => hmac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => hmac::<Hmac<Sha512>>(key, data),
        }
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }
}

/// What a password becomes for one account on one server: enough to log in there and nowhere else, so it can be
/// stored instead of the password. Still a secret: no `Debug`, wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ScramKeys {
    /// The keys are for this mechanism only.
    pub mechanism: ScramMechanism,
    /// As sent by the server.
    #[serde(with = "crate::credentials::as_base64")]
    pub salt: Vec<u8>,
    /// As sent by the server.
    pub iterations: u32,
    /// RFC 5802 §3.
    #[serde(with = "crate::credentials::as_base64")]
    pub client_key: Vec<u8>,
    /// RFC 5802 §3.
    #[serde(with = "crate::credentials::as_base64")]
    pub server_key: Vec<u8>,
}

impl Drop for ScramKeys {
    fn drop(&mut self) {
        self.client_key.zeroize();
        self.server_key.zeroize();
    }
}

impl ScramKeys {
    /// Takes up to a second ([`MAX_ITERATIONS`]): don't call it where others wait.
    pub(crate) fn derive(mechanism: ScramMechanism, password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut salted = match mechanism {
            ScramMechanism::Sha1 => {
                pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password.as_bytes(), salt, iterations).to_vec()
            }
            ScramMechanism::Sha256 => {
                pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations).to_vec()
            }
            ScramMechanism::Sha512 => {
                pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password.as_bytes(), salt, iterations).to_vec()
            }
        };
        let keys = Self {
            mechanism,
            salt: salt.to_vec(),
            iterations,
            client_key: mechanism.hmac(&salted, b"Client Key"),
            server_key: mechanism.hmac(&salted, b"Server Key"),
        };
        salted.zeroize();
        keys
    }
}

/// The server violated SCRAM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    #[error("the server's SCRAM message can't be read")]
    Malformed,
    #[error("the server wants a SCRAM extension that we don't know")]
    Extension,
    #[error("the server's nonce does not extend ours")]
    Nonce,
    #[error("the server wants {0} iterations; {MIN_ITERATIONS} to {MAX_ITERATIONS} are accepted")]
    Iterations(String),
    #[error("the server's salt is not acceptable")]
    Salt,
    #[error("the server could not prove that it knows the account")]
    Signature,
    #[error("what the server offered was changed on its way to us")]
    Downgrade,
    #[error("the server refused: {0}")]
    Refused(String),
}

/// The exchange before the server's first message.
pub(crate) struct ClientFirst {
    mechanism: ScramMechanism,
    nonce: String,
    gs2: String,
    /// `c=` of the second message: the header again, and the binding data.
    binding: String,
    bare: String,
}

impl ClientFirst {
    /// `username` after SASLprep; `nonce` random, printable, without commas.
    pub(crate) fn new(mechanism: ScramMechanism, gs2: Gs2<'_>, username: &str, nonce: String) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={username},r={nonce}");
        let header = gs2.header();
        let mut binding = header.clone().into_bytes();
        if let Gs2::Bound(_, data) = gs2 {
            binding.extend_from_slice(data);
        }
        Self { mechanism, nonce, gs2: header, binding: BASE64.encode(binding), bare }
    }

    /// The first message.
    pub(crate) fn message(&self) -> String {
        format!("{}{}", self.gs2, self.bare)
    }

    /// Parses the server's challenge. `advertised`: the offer that we saw, in the form of XEP-0474.
    pub(crate) fn challenged(self, message: &[u8], advertised: &str) -> Result<Challenge, ScramError> {
        let message = text(message)?;
        let mut attributes = message.split(',');
        let mut next = |name: &str| {
            let attribute = attributes.next().ok_or(ScramError::Malformed)?;
            if attribute.starts_with("m=") {
                return Err(ScramError::Extension);
            }
            attribute.strip_prefix(name).ok_or(ScramError::Malformed)
        };
        let nonce = next("r=")?;
        let salt = next("s=")?;
        let iterations = next("i=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let salt = BASE64.decode(salt).map_err(|_| ScramError::Malformed)?;
        if !SALT.contains(&salt.len()) {
            return Err(ScramError::Salt);
        }
        let count = iterations
            .parse()
            .ok()
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
            .ok_or_else(|| ScramError::Iterations(iterations.chars().take(20).collect()))?;
        let seen = BASE64.encode(self.mechanism.hash(advertised.as_bytes()));
        if attributes.filter_map(|attribute| attribute.strip_prefix("h=")).any(|hash| hash != seen) {
            return Err(ScramError::Downgrade);
        }
        let without_proof = format!("c={},r={nonce}", self.binding);
        let auth_message = format!("{},{message},{without_proof}", self.bare);
        Ok(Challenge { mechanism: self.mechanism, salt, iterations: count, without_proof, auth_message })
    }
}

/// A challenge that has passed the checks.
pub(crate) struct Challenge {
    pub mechanism: ScramMechanism,
    pub salt: Vec<u8>,
    pub iterations: u32,
    without_proof: String,
    auth_message: String,
}

impl Challenge {
    /// Whether these keys were made for this challenge's salt and iterations.
    pub(crate) fn fits(&self, keys: &ScramKeys) -> bool {
        keys.mechanism == self.mechanism && keys.salt == self.salt && keys.iterations == self.iterations
    }

    /// Whether the same keys fit another challenge.
    pub(crate) fn asks_the_same_as(&self, other: &Self) -> bool {
        self.mechanism == other.mechanism && self.salt == other.salt && self.iterations == other.iterations
    }

    /// The second message, and what the server must prove in return.
    pub(crate) fn answer(&self, keys: &ScramKeys) -> (String, ServerProof) {
        let auth_message = self.auth_message.as_bytes();
        let stored_key = self.mechanism.hash(&keys.client_key);
        let signature = self.mechanism.hmac(&stored_key, auth_message);
        let mut proof: Vec<u8> = keys.client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let message = format!("{},p={}", self.without_proof, BASE64.encode(&proof));
        proof.zeroize();
        (message, ServerProof(self.mechanism.hmac(&keys.server_key, auth_message)))
    }
}

/// What only a server with the account can know.
pub(crate) struct ServerProof(Vec<u8>);

impl ServerProof {
    /// For a test's server, which must prove itself.
    #[cfg(test)]
    pub(crate) fn expected(&self) -> &[u8] {
        &self.0
    }

    /// Checks the server's final message.
    pub(crate) fn verify(&self, message: &[u8]) -> Result<(), ScramError> {
        let first = text(message)?.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(error.chars().take(64).collect()));
        }
        let signature = first.strip_prefix("v=").ok_or(ScramError::Malformed)?;
        let signature = BASE64.decode(signature).map_err(|_| ScramError::Malformed)?;
        if bool::from(signature.ct_eq(&self.0)) { Ok(()) } else { Err(ScramError::Signature) }
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MAX_MESSAGE {
        return Err(ScramError::Malformed);
    }
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 §5 and RFC 7677 §3: mechanism, client nonce, server-first, client-final, server-final.
    const VECTORS: [(ScramMechanism, &str, &str, &str, &str); 2] = [
        (
            ScramMechanism::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            ScramMechanism::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    fn first(mechanism: ScramMechanism, nonce: &str) -> ClientFirst {
        ClientFirst::new(mechanism, Gs2::Impossible, "user", nonce.to_owned())
    }

    #[test]
    fn the_vectors_of_the_rfcs() {
        for (mechanism, nonce, challenge, answer, proof) in VECTORS {
            let first = first(mechanism, nonce);
            assert_eq!(first.message(), format!("n,,n=user,r={nonce}"));
            let challenge = first.challenged(challenge.as_bytes(), "").unwrap();
            let keys = ScramKeys::derive(mechanism, "pencil", &challenge.salt, challenge.iterations);
            assert!(challenge.fits(&keys));
            let (message, server) = challenge.answer(&keys);
            assert_eq!(message, answer);
            assert_eq!(server.verify(proof.as_bytes()), Ok(()));
            let forged = proof.replace("v=r", "v=s").replace("v=6", "v=7");
            assert_eq!(server.verify(forged.as_bytes()), Err(ScramError::Signature));
            assert_eq!(server.verify(b"v="), Err(ScramError::Signature));
            assert_eq!(server.verify(b""), Err(ScramError::Malformed));
            assert_eq!(
                server.verify(b"e=invalid-proof"),
                Err(ScramError::Refused("invalid-proof".to_owned()))
            );
        }
    }

    #[test]
    fn a_name_with_equals_and_comma_is_escaped() {
        let first = ClientFirst::new(ScramMechanism::Sha1, Gs2::Impossible, "a=b,c", "x".to_owned());
        assert_eq!(first.message(), "n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn challenges_that_are_not_sane_are_refused() {
        let refused = |challenge: &str| {
            first(ScramMechanism::Sha256, "abc").challenged(challenge.as_bytes(), "").err().unwrap()
        };
        assert_eq!(refused("r=abc,s=QSXCR+Q6sek8bf92,i=4096"), ScramError::Nonce);
        assert_eq!(refused("r=xabcd,s=QSXCR+Q6sek8bf92,i=4096"), ScramError::Nonce);
        assert_eq!(refused("m=x,r=abcd,s=QSXCR+Q6sek8bf92,i=4096"), ScramError::Extension);
        for iterations in ["1", "4095", "1000001", "4000000000", "99999999999", "-5", "x"] {
            assert_eq!(
                refused(&format!("r=abcd,s=QSXCR+Q6sek8bf92,i={iterations}")),
                ScramError::Iterations(iterations.to_owned())
            );
        }
        assert_eq!(refused("r=abcd,s=,i=4096"), ScramError::Salt);
        assert_eq!(refused("r=abcd,s=%%,i=4096"), ScramError::Malformed);
        assert_eq!(refused("r=abcd"), ScramError::Malformed);
        assert_eq!(refused(""), ScramError::Malformed);
        assert!(first(ScramMechanism::Sha256, "abc").challenged(&[0xff; 9], "").is_err());
        for iterations in [MIN_ITERATIONS, MAX_ITERATIONS] {
            let challenge = format!("r=abcd,s=QSXCR+Q6sek8bf92,i={iterations},x=later");
            assert!(first(ScramMechanism::Sha256, "abc").challenged(challenge.as_bytes(), "").is_ok());
        }
    }

    #[test]
    fn keys_for_another_salt_do_not_fit() {
        let challenge =
            first(ScramMechanism::Sha1, "a").challenged(b"r=ab,s=QSXCR+Q6sek8bf92,i=4096", "").unwrap();
        let keys = ScramKeys::derive(ScramMechanism::Sha1, "pencil", b"another", 4096);
        assert!(!challenge.fits(&keys));
    }

    #[test]
    fn the_first_message_says_how_it_is_bound_and_the_second_says_it_again() {
        let first = |gs2| ClientFirst::new(ScramMechanism::Sha1, gs2, "user", "x".to_owned());
        let second = |gs2| {
            let challenge = first(gs2).challenged(b"r=xy,s=QSXCR+Q6sek8bf92,i=4096", "").unwrap();
            challenge.without_proof
        };
        assert_eq!(first(Gs2::NotOffered).message(), "y,,n=user,r=x");
        assert_eq!(second(Gs2::NotOffered), "c=eSws,r=xy");
        let bound = || Gs2::Bound(BindingType::Exporter, b"data");
        assert_eq!(first(bound()).message(), "p=tls-exporter,,n=user,r=x");
        assert_eq!(second(bound()), format!("c={},r=xy", BASE64.encode("p=tls-exporter,,data")));
    }

    /// The figures are those of XEP-0474's example.
    #[test]
    fn an_offer_that_was_changed_is_found_out() {
        let seen = "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point";
        let challenged = |seen: &str| {
            let message = b"r=abcd,s=QSXCR+Q6sek8bf92,i=4096,x=y,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=";
            first(ScramMechanism::Sha1, "abc").challenged(message, seen).err()
        };
        assert_eq!(challenged(seen), None);
        assert_eq!(challenged("SCRAM-SHA-1\x1ftls-exporter"), Some(ScramError::Downgrade));
        assert_eq!(challenged(""), Some(ScramError::Downgrade));
    }
}
