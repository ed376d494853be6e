//! Secrets in memory, and their form at rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::stream::ScramKeys;

/// A password. No `Debug`, wiped when dropped.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// The password itself, for a SASL exchange only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// What an account logs in with. No `Debug`.
#[derive(Clone)]
pub(crate) enum Secret {
    /// If the server does not support SCRAM.
    Password(Password),
    /// Otherwise.
    Scram(ScramKeys),
}

impl Secret {
    /// As JSON, in memory that is wiped.
    ///
    /// # Errors
    /// None that we know of; serde's signature allows them.
    pub(super) fn encode(&self) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let stored = match self {
            Self::Password(password) => Outgoing::Password(password.expose()),
            Self::Scram(keys) => Outgoing::Scram(keys),
        };
        // Into a buffer that cannot grow, so that no copy is left unwiped.
        let mut json = Zeroizing::new(Vec::with_capacity(json_bound(&stored)));
        serde_json::to_writer(&mut *json, &stored)?;
        Ok(json)
    }

    /// From JSON; `None` if it is damaged.
    pub(super) fn decode(json: &[u8]) -> Option<Self> {
        match serde_json::from_slice(json).ok()? {
            Incoming::Password(text) => Some(Self::Password(text.into())),
            Incoming::Scram(keys) => Some(Self::Scram(keys)),
        }
    }
}

/// A secret on the way to its store.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outgoing<'a> {
    Password(&'a str),
    Scram(&'a ScramKeys),
}

/// A secret on the way from its store.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Incoming {
    Password(String),
    Scram(ScramKeys),
}

/// More bytes than a secret's JSON can have: a character takes at most six (`\u0000`).
fn json_bound(stored: &Outgoing<'_>) -> usize {
    const FRAME: usize = 256;
    FRAME
        + match stored {
            Outgoing::Password(text) => text.len() * 6,
            Outgoing::Scram(keys) => (keys.salt.len() + keys.client_key.len() + keys.server_key.len()) * 2,
        }
}

/// For serde: bytes that are wiped after conversion to and from base64.
pub(crate) mod as_base64 {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64.encode(bytes));
        to.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let mut text = String::deserialize(from)?;
        let bytes = BASE64.decode(&text);
        text.zeroize();
        bytes.map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::keys;

    #[test]
    fn the_buffer_never_grows() {
        for stored in [Outgoing::Password(&"\u{1}".repeat(1000)), Outgoing::Scram(&keys())] {
            assert!(serde_json::to_vec(&stored).unwrap().len() <= json_bound(&stored));
        }
    }
}
