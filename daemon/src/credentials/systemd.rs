//! Secrets that systemd passes to the service: `LoadCredential=` and its siblings.
//!
//! A credential named after an account (its bare JID) holds that account's password. Read only.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use jid::BareJid;
use tracing::warn;
use zeroize::Zeroizing;

use super::{Asked, Secret, Store, StoreError, StoreName};
use crate::files;

/// The accounts with a credential. They don't change while a service runs.
#[derive(Clone)]
pub(super) struct Given(Arc<BTreeMap<BareJid, PathBuf>>);

impl Given {
    /// The content of systemd's folder; names that are not accounts are ignored.
    pub(super) fn list(folder: Option<&Path>) -> Self {
        let mut found = BTreeMap::new();
        let entries = folder.map(std::fs::read_dir).transpose().unwrap_or_else(|error| {
            warn!(%error, "systemd's credentials can't be read");
            None
        });
        for entry in entries.into_iter().flatten().flatten() {
            let account = entry.file_name().to_str().and_then(|name| BareJid::new(name).ok());
            if let Some(account) = account.filter(|account| account.node().is_some()) {
                found.insert(account, entry.path());
            }
        }
        Self(Arc::new(found))
    }

    pub(super) fn has(&self, account: &BareJid) -> bool {
        self.0.contains_key(account)
    }
}

impl Store for Given {
    fn name(&self) -> StoreName {
        StoreName::SystemdCredential
    }

    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>> {
        async move {
            let Some(path) = self.0.get(account).cloned() else { return Ok(None) };
            Ok(super::file::off_the_runtime(move || password(&path)).await?.map(Secret::Password))
        }
        .boxed()
    }

    fn save<'a>(&'a self, _: &'a BareJid, _: &'a Secret) -> Asked<'a, ()> {
        async { Err(StoreError::Io(ErrorKind::ReadOnlyFilesystem.into())) }.boxed()
    }

    /// It is not ours to erase.
    fn erase<'a>(&'a self, _: &'a BareJid) -> Asked<'a, bool> {
        async { Ok(false) }.boxed()
    }
}

/// The file's content. An editor's trailing newline is not part of the password: XMPP passwords contain no control
/// characters (RFC 4013).
fn password(path: &Path) -> io::Result<Option<super::Password>> {
    let Some(content) = files::read_theirs(path)?.map(Zeroizing::new) else { return Ok(None) };
    let text = std::str::from_utf8(&content)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the credential is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned().into()))
}
