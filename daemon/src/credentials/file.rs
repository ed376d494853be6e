//! Secrets in files: one per account (0600), in a folder with mode 0700.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use jid::BareJid;
use sha2::{Digest as _, Sha256};
use tracing::error;
use zeroize::Zeroizing;

use super::{Asked, Secret, Store, StoreName};
use crate::files::{self, Durability};

/// File names may have 255 bytes; this leaves room for prefix and suffix.
const FILE_NAME_MAX: usize = 200;

/// The folder of the files.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Secrets live in their own folder inside the data folder.
    ///
    /// # Errors
    /// The folder cannot be created, or remains of a crash in it cannot be removed.
    pub(super) fn open(data_folder: &Path) -> io::Result<Self> {
        let folder = data_folder.join("credentials");
        files::private_subfolder(&folder)?;
        files::sweep(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, account: &BareJid) -> PathBuf {
        self.folder.join(file_name(account.as_str()))
    }
}

impl Store for Files {
    fn name(&self) -> StoreName {
        StoreName::File
    }

    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>> {
        async move {
            let path = self.path(account);
            let Some(json) = off_the_runtime(move || files::read(&path)).await? else { return Ok(None) };
            let secret = Secret::decode(&Zeroizing::new(json));
            if secret.is_none() {
                error!(%account, "the account's secret is damaged: log in again");
            }
            Ok(secret)
        }
        .boxed()
    }

    /// On disk when this returns.
    fn save<'a>(&'a self, account: &'a BareJid, secret: &'a Secret) -> Asked<'a, ()> {
        async move {
            let (path, json) = (self.path(account), secret.encode()?);
            Ok(off_the_runtime(move || files::write_atomic(&path, &json, Durability::Synced)).await?)
        }
        .boxed()
    }

    /// Gone from the folder when this returns; an SSD may keep its bytes for a while.
    fn erase<'a>(&'a self, account: &'a BareJid) -> Asked<'a, bool> {
        async move {
            let (path, folder) = (self.path(account), self.folder.clone());
            let erase = move || {
                let found = files::remove_with_leftover(&path)?;
                files::sync_folder(&folder).map(|()| found)
            };
            Ok(off_the_runtime(erase).await?)
        }
        .boxed()
    }
}

/// Disk work, on a thread where nobody waits for it.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A unique file name for each JID, readable if possible. Two JIDs never share one: the encoding is reversible, and
/// its `+` marks the hashes of those that are too long for it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::credentials::Password;
    use crate::credentials::tests::{keys, me};

    #[tokio::test]
    async fn a_secret_is_kept_replaced_and_erased() {
        let home = tempfile::tempdir().unwrap();
        let store = Files::open(home.path()).unwrap();
        assert!(store.load(&me()).await.unwrap().is_none());

        let password = Secret::Password(Password::from("s3cret\"\u{1}ü".to_owned()));
        store.save(&me(), &password).await.unwrap();
        match Files::open(home.path()).unwrap().load(&me()).await.unwrap() {
            Some(Secret::Password(password)) => assert_eq!(password.expose(), "s3cret\"\u{1}ü"),
            _ => panic!("no password"),
        }
        store.save(&me(), &Secret::Scram(keys())).await.unwrap();
        match store.load(&me()).await.unwrap() {
            Some(Secret::Scram(found)) => {
                assert!(found.salt == keys().salt && found.client_key == keys().client_key)
            }
            _ => panic!("no keys"),
        }
        let path = home.path().join("credentials/me@example.org.json");
        assert!(!fs::read_to_string(&path).unwrap().contains("s3cret"), "the password is gone");

        assert!(store.erase(&me()).await.unwrap());
        assert!(!path.exists() && store.load(&me()).await.unwrap().is_none());
        assert!(!store.erase(&me()).await.unwrap(), "there is nothing any more");
    }

    #[tokio::test]
    async fn a_secret_that_was_never_moved_into_place_is_erased_too() {
        let home = tempfile::tempdir().unwrap();
        let store = Files::open(home.path()).unwrap();
        // What `kill -9` leaves between the write and the rename.
        let leftover = home.path().join("credentials/.me@example.org.json.new");
        fs::write(&leftover, r#"{"password":"s3cret"}"#).unwrap();
        assert!(store.erase(&me()).await.unwrap());
        assert!(!leftover.exists());
        fs::write(&leftover, r#"{"password":"s3cret"}"#).unwrap();
        Files::open(home.path()).unwrap();
        assert!(!leftover.exists(), "the next start");
    }

    #[tokio::test]
    async fn nobody_else_can_read_it() {
        let home = tempfile::tempdir().unwrap();
        let store = Files::open(home.path()).unwrap();
        store.save(&me(), &Secret::Scram(keys())).await.unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.path().join("credentials")), 0o700);
        assert_eq!(mode(home.path().join("credentials/me@example.org.json")), 0o600);
    }

    #[tokio::test]
    async fn a_damaged_secret_is_an_absent_one() {
        let home = tempfile::tempdir().unwrap();
        let store = Files::open(home.path()).unwrap();
        store.save(&me(), &Secret::Scram(keys())).await.unwrap();
        fs::write(home.path().join("credentials/me@example.org.json"), "{\"scram\":{}}").unwrap();
        assert!(store.load(&me()).await.unwrap().is_none());
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
}
