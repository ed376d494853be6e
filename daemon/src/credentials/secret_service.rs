//! Secrets in the desktop's keyring, over the freedesktop.org Secret Service API.
//!
//! A new connection for each call: calls are few, and a connection kept open would have to survive buses and keyrings
//! that come and go. On the bus, secrets are encrypted for this connection. A locked keyring stays locked: nothing
//! here raises a prompt.

use std::collections::HashMap;
use std::io::ErrorKind;

use ::secret_service::{EncryptionType, Error, Item, SecretService};
use futures::FutureExt as _;
use jid::BareJid;
use tracing::error;
use zbus::fdo;
use zeroize::Zeroizing;

use super::{Asked, Secret, Store, StoreError, StoreName};

/// What a secret is, for a user who finds it in the keyring.
const CONTENT_TYPE: &str = "application/json";

/// The default keyring of the Secret Service's provider.
pub(super) struct Keyring;

impl Store for Keyring {
    fn name(&self) -> StoreName {
        StoreName::SecretService
    }

    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>> {
        async move {
            let service = SecretService::connect(EncryptionType::Dh).await?;
            let found = service.search_items(attributes(account)).await?;
            let Some(item) = newest(found.unlocked).await? else {
                return if found.locked.is_empty() { Ok(None) } else { Err(StoreError::Locked) };
            };
            let json = Zeroizing::new(item.get_secret().await?);
            let secret = Secret::decode(&json);
            if secret.is_none() {
                error!(%account, "the account's secret in the keyring is damaged: log in again");
            }
            Ok(secret)
        }
        .boxed()
    }

    fn save<'a>(&'a self, account: &'a BareJid, secret: &'a Secret) -> Asked<'a, ()> {
        async move {
            let json = secret.encode()?;
            let service = SecretService::connect(EncryptionType::Dh).await?;
            let keyring = service.get_default_collection().await?;
            keyring.ensure_unlocked().await?;
            let others = service.search_items(attributes(account)).await?.unlocked;
            let label = format!("{account} (XMPP, prosed)");
            let kept = keyring.create_item(&label, attributes(account), &json, true, CONTENT_TYPE).await?;
            // In a keyring that used to be the default.
            for other in others.iter().filter(|other| **other != kept) {
                other.delete().await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn erase<'a>(&'a self, account: &'a BareJid) -> Asked<'a, bool> {
        async move {
            let service = SecretService::connect(EncryptionType::Dh).await?;
            let found = service.search_items(attributes(account)).await?;
            for item in &found.unlocked {
                item.delete().await?;
            }
            if found.locked.is_empty() { Ok(!found.unlocked.is_empty()) } else { Err(StoreError::Locked) }
        }
        .boxed()
    }
}

/// The attributes of our secrets: `secret-tool lookup application prosed account JID`.
fn attributes(account: &BareJid) -> HashMap<&'static str, &str> {
    HashMap::from([("application", "prosed"), ("account", account.as_str())])
}

/// At most one, unless another program has copied it.
async fn newest(items: Vec<Item<'_>>) -> Result<Option<Item<'_>>, StoreError> {
    let mut newest = None;
    for item in items {
        let modified = item.get_modified().await?;
        if newest.as_ref().is_none_or(|(time, _)| modified > *time) {
            newest = Some((modified, item));
        }
    }
    Ok(newest.map(|(_, item)| item))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Locked | Error::Prompt | Error::PromptDisconnected => Self::Locked,
            Error::Unavailable => Self::Absent,
            Error::NoResult => Self::Bus("it has no default keyring".to_owned()),
            Error::Zbus(error) => error.into(),
            Error::ZbusFdo(error) => error.into(),
            other => Self::Bus(other.to_string()),
        }
    }
}

impl From<zbus::Error> for StoreError {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                Self::Absent
            }
            zbus::Error::FDO(error) => (*error).into(),
            zbus::Error::MethodError(name, text, message) => {
                match fdo::Error::from(zbus::Error::MethodError(name, text, message)) {
                    // Unknown text comes back unchanged.
                    fdo::Error::ZBus(error) => Self::Bus(error.to_string()),
                    known => known.into(),
                }
            }
            other => Self::Bus(other.to_string()),
        }
    }
}

impl From<fdo::Error> for StoreError {
    fn from(error: fdo::Error) -> Self {
        match error {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => Self::Absent,
            fdo::Error::ZBus(error) => error.into(),
            other => Self::Bus(other.to_string()),
        }
    }
}
