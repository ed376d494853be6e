//! Secrets: how they are held in memory and kept on disk.
//!
//! One file an account (0600, in a folder of 0700), holding the password or, better, the SCRAM
//! keys derived from it. Nothing here has a `Debug`, and what is dropped is wiped. Calls touch
//! the disk: off the async threads with them, please.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jid::BareJid;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::files::{self, Durability};
use crate::stream::ScramKeys;

/// File names may have 255 bytes; this leaves room for what is put around it.
const FILE_NAME_MAX: usize = 200;

/// A password. No `Debug`, wiped when dropped.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// The password itself, for a SASL exchange and for nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// What logs an account in. No `Debug`.
#[derive(Clone)]
pub(crate) enum Secret {
    /// Where the server knows no SCRAM.
    Password(Password),
    /// Everywhere else.
    Scram(ScramKeys),
}

/// Why a secret was not kept, found or erased.
#[derive(Debug, thiserror::Error)]
#[error("the secret store «{store}» failed: {source}")]
pub(crate) struct CredentialsError {
    store: &'static str,
    source: io::Error,
}

/// Secrets in files.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Secrets live in a folder of their own inside the data folder.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(crate) fn open(data_folder: &Path) -> Result<Self, CredentialsError> {
        let folder = data_folder.join("credentials");
        files::private_folder(&folder).map_err(failed)?;
        Ok(Self { folder })
    }

    /// Where secrets are kept, as `get_account` says it.
    pub(crate) fn store_name(&self) -> &'static str {
        STORE_NAME
    }

    /// Keeps a secret in place of the one before. On disk when this returns.
    ///
    /// # Errors
    /// What the file system says; the secret before is then still there.
    pub(crate) fn save(&self, account: &BareJid, secret: &Secret) -> Result<(), CredentialsError> {
        let stored = match secret {
            Secret::Password(password) => Outgoing::Password(password.expose()),
            Secret::Scram(keys) => Outgoing::Scram(keys),
        };
        // Into a buffer that won't grow, so that no copy is left behind unwiped.
        let mut json = Zeroizing::new(Vec::with_capacity(json_bound(&stored)));
        serde_json::to_writer(&mut *json, &stored).map_err(|error| failed(error.into()))?;
        files::write_atomic(&self.path(account), &json, Durability::Synced).map_err(failed)
    }

    /// The secret that was kept. A damaged one is an absent one: it takes a login to mend it.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn load(&self, account: &BareJid) -> Result<Option<Secret>, CredentialsError> {
        let Some(json) = files::read(&self.path(account)).map_err(failed)? else { return Ok(None) };
        let json = Zeroizing::new(json);
        match serde_json::from_slice(&json) {
            Ok(Incoming::Password(text)) => Ok(Some(Secret::Password(text.into()))),
            Ok(Incoming::Scram(keys)) => Ok(Some(Secret::Scram(keys))),
            Err(_) => {
                tracing::error!(%account, "the account's secret is damaged: log in again");
                Ok(None)
            }
        }
    }

    /// Erases a secret, if there is one. Gone from the folder when this returns; an SSD may keep
    /// its bytes for a while.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn erase(&self, account: &BareJid) -> Result<(), CredentialsError> {
        files::remove(&self.path(account)).map_err(failed)?;
        files::sync_folder(&self.folder).map_err(failed)
    }

    fn path(&self, account: &BareJid) -> PathBuf {
        self.folder.join(file_name(account.as_str()))
    }
}

const STORE_NAME: &str = "file";

fn failed(source: io::Error) -> CredentialsError {
    CredentialsError { store: STORE_NAME, source }
}

/// The file's content, on its way to it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outgoing<'a> {
    Password(&'a str),
    Scram(&'a ScramKeys),
}

/// The file's content, on its way from it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Incoming {
    Password(String),
    Scram(ScramKeys),
}

/// More bytes than the JSON of a secret has: a character takes at most six (`\u0000`).
fn json_bound(stored: &Outgoing<'_>) -> usize {
    const FRAME: usize = 256;
    FRAME
        + match stored {
            Outgoing::Password(text) => text.len() * 6,
            Outgoing::Scram(keys) => (keys.salt.len() + keys.client_key.len() + keys.server_key.len()) * 2,
        }
}

/// One file name for each JID, readable where it can be. Two JIDs never share one: the encoding
/// is reversible, and its `+` is kept for hashes of those that are too long for it.
fn file_name(jid: &str) -> String {
    let mut name = String::with_capacity(jid.len() + 8);
    for byte in jid.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
    }
    if name.len() > FILE_NAME_MAX {
        name.clear();
        name.push('+');
        for byte in Sha256::digest(jid.as_bytes()) {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name + ".json"
}

/// For serde: bytes that are wiped on their way to and from base64.
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
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::stream::ScramMechanism;

    fn me() -> BareJid {
        BareJid::new("me@example.org").unwrap()
    }

    fn keys() -> ScramKeys {
        ScramKeys {
            mechanism: ScramMechanism::Sha256,
            salt: b"salt".to_vec(),
            iterations: 4096,
            client_key: vec![1; 32],
            server_key: vec![0xff; 32],
        }
    }

    #[test]
    fn a_secret_is_kept_replaced_and_erased() {
        let home = tempfile::tempdir().unwrap();
        let store = Credentials::open(home.path()).unwrap();
        assert!(store.load(&me()).unwrap().is_none());

        store.save(&me(), &Secret::Password(Password::from("s3cret\"\u{1}ü".to_owned()))).unwrap();
        match Credentials::open(home.path()).unwrap().load(&me()).unwrap() {
            Some(Secret::Password(password)) => assert_eq!(password.expose(), "s3cret\"\u{1}ü"),
            _ => panic!("no password"),
        }
        store.save(&me(), &Secret::Scram(keys())).unwrap();
        match store.load(&me()).unwrap() {
            Some(Secret::Scram(found)) => {
                assert!(found.salt == keys().salt && found.client_key == keys().client_key)
            }
            _ => panic!("no keys"),
        }
        let path = home.path().join("credentials/me@example.org.json");
        assert!(!fs::read_to_string(&path).unwrap().contains("s3cret"), "the password is gone");

        store.erase(&me()).unwrap();
        assert!(!path.exists() && store.load(&me()).unwrap().is_none());
        store.erase(&me()).unwrap();
    }

    #[test]
    fn nobody_else_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let store = Credentials::open(home.path()).unwrap();
        store.save(&me(), &Secret::Scram(keys())).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.path().join("credentials")), 0o700);
        assert_eq!(mode(home.path().join("credentials/me@example.org.json")), 0o600);
    }

    #[test]
    fn a_damaged_secret_is_an_absent_one() {
        let home = tempfile::tempdir().unwrap();
        let store = Credentials::open(home.path()).unwrap();
        store.save(&me(), &Secret::Scram(keys())).unwrap();
        fs::write(home.path().join("credentials/me@example.org.json"), "{\"scram\":{}}").unwrap();
        assert!(store.load(&me()).unwrap().is_none());
    }

    #[test]
    fn no_two_jids_share_a_file_and_none_leaves_the_folder() {
        let long = "ä".repeat(300);
        let other = format!("{long}b");
        let jids =
            ["a@b", "a%40b", "a@b/../c", "../../etc/passwd", "..", ".", "A@b", "%41@b", "+00", &long, &other];
        let names: BTreeSet<_> = jids.iter().map(|jid| file_name(jid)).collect();
        assert_eq!(names.len(), jids.len());
        for name in names {
            assert!(name.len() <= 255 && !name.contains('/') && !name.starts_with('.'), "{name}");
        }
        assert_eq!(file_name("me@example.org"), "me@example.org.json");
    }

    #[test]
    fn the_buffer_never_grows() {
        for stored in [Outgoing::Password(&"\u{1}".repeat(1000)), Outgoing::Scram(&keys())] {
            assert!(serde_json::to_vec(&stored).unwrap().len() <= json_bound(&stored));
        }
    }
}
