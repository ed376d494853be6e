//! Secrets: where they are looked up, where they are stored, and how they are erased.
//!
//! Three stores, in the order in which they are read: the Secret Service of the session bus (the desktop's keyring),
//! systemd's credentials (read only), and files that only we can read. If one fails, the next is tried: a keyring
//! that is locked, hangs or is gone costs a few seconds at most. No `Debug` here shows a secret, and dropped secrets
//! are wiped. No call blocks a thread of the async runtime.

mod file;
mod secret;
mod secret_service;
mod systemd;
#[cfg(test)]
mod tests;
mod timeouts;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use jid::BareJid;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::config::SecretStoreKind;
use file::Files;
use secret_service::Keyring;
use systemd::Given;
use timeouts::Patient;

pub(crate) use secret::{Password, Secret, as_base64};

/// Where a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StoreName {
    /// The desktop's keyring.
    SecretService,
    /// Given by systemd.
    SystemdCredential,
    /// A file of ours.
    File,
}

impl fmt::Display for StoreName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::SecretService => "Secret Service",
            Self::SystemdCredential => "systemd credentials",
            Self::File => "files",
        })
    }
}

/// A secret and where it was found.
pub(crate) struct Found {
    pub(crate) secret: Secret,
    pub(crate) store: StoreName,
}

/// Why a secret was not stored or erased.
#[derive(Debug, thiserror::Error)]
#[error("the secret store «{store}» failed: {source}")]
pub(crate) struct CredentialsError {
    store: StoreName,
    source: StoreError,
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No session bus, or no provider of secrets on it.
    #[error("there is none here")]
    Absent,
    /// Only its owner can open it. We never ask them to: a prompt from a daemon comes out of nowhere.
    #[error("it is locked")]
    Locked,
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// It timed out a moment ago, and was not tried again.
    #[error("it has just failed to answer, and is left alone for a while")]
    Paused,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Bus(String),
}

/// A store's pending answer.
type Asked<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// One place for secrets.
trait Store: Send + Sync {
    fn name(&self) -> StoreName;

    /// The account's secret, if it is there. A damaged one counts as absent: a login replaces it.
    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>>;

    /// Stores a secret, replacing the previous one.
    fn save<'a>(&'a self, account: &'a BareJid, secret: &'a Secret) -> Asked<'a, ()>;

    /// Erases a secret, if there is one that is ours to erase; returns whether there was.
    fn erase<'a>(&'a self, account: &'a BareJid) -> Asked<'a, bool>;
}

/// All stores of this daemon.
pub(crate) struct Credentials {
    /// In the order in which they are read.
    stores: Vec<Box<dyn Store>>,
    /// The ones to write to: the first that accepts.
    written: &'static [StoreName],
    given: Given,
}

impl Credentials {
    /// The stores that the configuration selects. `given` is systemd's `$CREDENTIALS_DIRECTORY`. None is contacted
    /// yet.
    ///
    /// # Errors
    /// The folder for the files cannot be created.
    pub(crate) fn open(kind: SecretStoreKind, data_folder: &Path, given: Option<&Path>) -> io::Result<Self> {
        let files = Files::open(data_folder)?;
        let given = Given::list(given);
        let keyring = (kind != SecretStoreKind::File).then(|| Box::new(Patient::new(Keyring)) as _);
        let others: [Box<dyn Store>; 2] = [Box::new(given.clone()), Box::new(files)];
        Ok(Self { stores: keyring.into_iter().chain(others).collect(), written: written_to(kind), given })
    }

    /// Whether systemd gives us a secret for this account.
    pub(crate) fn is_given(&self, account: &BareJid) -> bool {
        self.given.has(account)
    }

    /// The account's secret. `kept` is where it was last stored: that store is read first, since the others may have
    /// older ones.
    pub(crate) async fn load(&self, account: &BareJid, kept: Option<StoreName>) -> Option<Found> {
        let (first, others): (Vec<_>, Vec<_>) =
            self.stores.iter().partition(|store| Some(store.name()) == kept);
        for store in first.into_iter().chain(others) {
            if let Some(found) = look(store.as_ref(), account).await {
                return Some(found);
            }
        }
        None
    }

    /// Only the secret given by systemd.
    pub(crate) async fn load_given(&self, account: &BareJid) -> Option<Found> {
        look(&self.given, account).await
    }

    /// Stores a secret, replacing the previous one, in the first store that accepts it, and erases the file if the
    /// secret is now elsewhere. Returns where it is. On disk when this returns.
    ///
    /// # Errors
    /// No store accepted it; the previous secret is still there.
    pub(crate) async fn save(
        &self,
        account: &BareJid,
        secret: &Secret,
    ) -> Result<StoreName, CredentialsError> {
        let mut failed = Err(CredentialsError { store: StoreName::File, source: StoreError::Absent });
        for store in self.stores.iter().filter(|store| self.written.contains(&store.name())) {
            match store.save(account, secret).await {
                Ok(()) => {
                    if store.name() != StoreName::File {
                        self.erase_file(account).await;
                    }
                    return Ok(store.name());
                }
                Err(source) => {
                    tell(account, store.name(), &source, "did not take the secret");
                    failed = Err(CredentialsError { store: store.name(), source });
                }
            }
        }
        failed
    }

    /// Erases the account's secret everywhere, except systemd's, and returns whether there was any. `kept` is where
    /// it was last stored.
    ///
    /// # Errors
    /// A copy is, or may be, left: it was stored in a store that cannot be reached, or one did not answer. The other
    /// stores have erased theirs.
    pub(crate) async fn erase(
        &self,
        account: &BareJid,
        kept: Option<StoreName>,
    ) -> Result<bool, CredentialsError> {
        let mut found = false;
        let mut result = Ok(());
        for store in &self.stores {
            match store.erase(account).await {
                Ok(erased) => found |= erased,
                Err(StoreError::Absent) if kept != Some(store.name()) => {}
                Err(source) => result = Err(CredentialsError { store: store.name(), source }),
            }
        }
        if let Some(kept) = kept.filter(|kept| self.stores.iter().all(|store| store.name() != *kept)) {
            warn!(%account, store = %kept, "not used any more: a copy of the secret may be left there");
        }
        result.map(|()| found)
    }

    async fn erase_file(&self, account: &BareJid) {
        for store in self.stores.iter().filter(|store| store.name() == StoreName::File) {
            if let Err(error) = store.erase(account).await {
                warn!(%account, %error, "an older copy of the secret is left in its file");
            }
        }
    }
}

/// Which stores secrets are written to, best first.
fn written_to(kind: SecretStoreKind) -> &'static [StoreName] {
    match kind {
        SecretStoreKind::Auto => &[StoreName::SecretService, StoreName::File],
        SecretStoreKind::SecretService => &[StoreName::SecretService],
        SecretStoreKind::File => &[StoreName::File],
    }
}

/// One store's answer; a failure only means trying the next.
async fn look(store: &dyn Store, account: &BareJid) -> Option<Found> {
    match store.load(account).await {
        Ok(secret) => secret.map(|secret| Found { secret, store: store.name() }),
        Err(error) => {
            tell(account, store.name(), &error, "can't be asked for the secret");
            None
        }
    }
}

/// A missing keyring is not an error, and not worth a line at each login.
fn tell(account: &BareJid, store: StoreName, error: &StoreError, what: &str) {
    match error {
        StoreError::Absent => debug!(%account, %store, %error, "{what}"),
        _ => warn!(%account, %store, %error, "{what}"),
    }
}
