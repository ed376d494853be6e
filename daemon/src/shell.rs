//! What all accounts share, what they exchange with their callers, and how an account is stored and erased.

mod metrics;

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use jid::BareJid;
use prosed_session::{Account, Answer, Failure, Notice};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::activity::Activity;
use crate::cache::Store;
use crate::config::{AccountOverride, TlsMode};
use crate::credentials::{Credentials, Found, Password, Secret, StoreName};
use crate::events::EventLog;
use crate::registry::{Connection, Entry, Registry};
use crate::starts::Starts;
use crate::stream::{self, Pins};

pub(crate) use metrics::{SessionMetrics, StanzaKind, StateGauge};

/// How long an account whose forgetting was interrupted by a crash may delay the start. If its keyring does not
/// answer, the next start tries again.
const FORGETTING: Duration = Duration::from_secs(2);

/// State shared by all accounts.
pub(crate) struct Shell {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) starts: Starts,
    pub(crate) credentials: Credentials,
    pub(crate) log: Arc<EventLog>,
    pub(crate) metrics: SessionMetrics,
    pub(crate) activity: Arc<Activity>,
    pub(crate) announcer: Box<dyn Announcer>,
    pub(crate) tls: Arc<stream::TlsConfig>,
    pub(crate) overrides: BTreeMap<BareJid, AccountOverride>,
}

/// How UIs learn what has happened. The doors implement it, since only they know the API's types.
pub(crate) trait Announcer: Send + Sync {
    /// Adds a notice to the log. `account` is only called if the notice is about the account itself.
    fn publish(
        &self,
        log: &EventLog,
        jid: &BareJid,
        notice: Notice,
        account: &mut dyn FnMut() -> (Account, Standing),
    );

    /// The account is gone: it was forgotten, or its first login failed.
    fn publish_gone(&self, log: &EventLog, jid: &BareJid, forgotten: bool);
}

/// What a UI passes to log in. No `Debug`: it contains a password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) jid: BareJid,
    /// Absent: the remembered secret.
    pub(crate) password: Option<Password>,
    /// Whether to log in automatically from now on.
    pub(crate) remember: bool,
    /// How to reach the server.
    pub(crate) connection: Connection,
    /// The server may offer less than it once did, for this login.
    pub(crate) accept_downgrade: bool,
}

/// A session's answer, and the `seq` of the event log at that time.
pub(crate) struct Reply {
    pub(crate) seq: u64,
    pub(crate) result: Result<Answer, Failure>,
}

/// What the shell knows about an account in addition to its session's state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) remembered: bool,
    pub(crate) secret_store: Option<StoreName>,
    pub(crate) resource: Option<String>,
}

/// Why a call never reached a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("no such account here")]
    Unknown(BareJid),
    #[error("no password given and none remembered")]
    CredentialsMissing(BareJid),
    #[error("the account is logged out")]
    Offline(BareJid),
    #[error("the data could not be stored")]
    StorageFailed,
    #[error("the account's session has crashed")]
    Crashed(BareJid),
    #[error("the daemon is stopping")]
    Stopping(BareJid),
    #[error("limit reached: {what} ({limit})")]
    LimitExceeded { what: &'static str, limit: usize },
}

impl Shell {
    pub(crate) fn standing(&self, account: &BareJid) -> Standing {
        let Some(entry) = self.registry.entry(account) else { return Standing::default() };
        Standing {
            remembered: entry.remember,
            secret_store: entry.secret_store,
            resource: entry.connection.resource,
        }
    }

    /// The remembered secret, or systemd's.
    pub(crate) async fn secret(&self, account: &BareJid) -> Result<Found, AccountError> {
        let found = match self.registry.entry(account) {
            Some(entry) if entry.remember => self.credentials.load(account, entry.secret_store).await,
            // Any other copy was not meant to be remembered.
            _ => self.credentials.load_given(account).await,
        };
        found.ok_or_else(|| AccountError::CredentialsMissing(account.clone()))
    }

    /// How to reach the server as given at login; if nothing was given, as at the login before.
    pub(crate) fn way(&self, account: &BareJid, said: Connection) -> Connection {
        let before = self.registry.entry(account).map(|entry| entry.connection);
        if said == Connection::default() { before.unwrap_or_default() } else { said }
    }

    /// How to reach the server: the configuration overrides what was given at login.
    pub(crate) fn settings(&self, account: &BareJid, said: Connection) -> stream::Settings {
        let pins = self.registry.entry(account).map(|entry| entry.pins).unwrap_or_default();
        stream::Settings { pins, ..settings(account, said, &self.overrides, &self.tls) }
    }

    /// The server has accepted the account: from now on it is one of ours. `secret` is what to store, if it is not
    /// stored yet; `found` is where it was found. Returns where it is now.
    pub(crate) async fn welcome(
        &self,
        account: &BareJid,
        connection: &Connection,
        pins: Pins,
        remember: bool,
        secret: Option<Secret>,
        found: Option<StoreName>,
    ) -> io::Result<Option<StoreName>> {
        let kept = self.registry.entry(account).and_then(|entry| entry.secret_store);
        let is_new = secret.is_some() || found.is_some();
        if remember && secret.is_some() && !self.registry.has_record(account) {
            // A crash must not leave a secret without a record.
            let (registry, jid) = (self.registry.clone(), account.clone());
            off_thread(move || registry.expect(&jid)).await?;
        }
        let store = match secret {
            // Its provider changes it: our copy would only go stale.
            _ if found == Some(StoreName::SystemdCredential) => found,
            Some(secret) if remember => {
                Some(self.credentials.save(account, &secret).await.map_err(io::Error::other)?)
            }
            _ if remember => found.or(kept),
            _ => None,
        };
        let erased = match remember {
            false if is_new => {
                self.credentials.erase(account, kept).await.map(drop).map_err(io::Error::other)
            }
            _ => Ok(()),
        };
        let (registry, jid, connection) = (self.registry.clone(), account.clone(), connection.clone());
        let update = move |entry: &mut Entry| {
            entry.remember = remember;
            entry.logged_out = false;
            entry.secret_store = store;
            entry.connection = connection;
            entry.pins = pins;
        };
        off_thread(move || registry.update(&jid, update)).await?;
        erased.map(|()| store)
    }

    /// Logged out: it stays so until the next login, across restarts.
    pub(crate) async fn keep_out(&self, account: &BareJid) -> Result<(), AccountError> {
        if self.registry.entry(account).is_none() {
            return Ok(());
        }
        let (registry, jid) = (self.registry.clone(), account.clone());
        let kept = off_thread(move || registry.update(&jid, |entry| entry.logged_out = true));
        kept.await.map_err(|error| {
            error!(%account, %error, "the logout can't be kept");
            AccountError::StorageFailed
        })
    }

    /// Erases everything about an account, and tells the UIs. If a crash interrupts this, the account is there in
    /// full or not at all (decision 8). If something cannot be erased, the account stays, logged out, and can be
    /// forgotten once its store has recovered.
    pub(crate) async fn forget(&self, account: &BareJid) -> Result<(), AccountError> {
        let was_kept = self.registry.entry(account).is_some();
        let result = self.erase_account(account).await;
        if result.is_ok() || !was_kept {
            self.announcer.publish_gone(&self.log, account, true);
        }
        result
    }

    /// Its first login failed. It never was one of ours, so nobody has forgotten it.
    pub(crate) async fn drop_account(&self, account: &BareJid) {
        // What cannot be erased is in the log.
        let _ = self.erase_account(account).await;
        self.announcer.publish_gone(&self.log, account, false);
    }

    async fn erase_account(&self, account: &BareJid) -> Result<(), AccountError> {
        let kept = self.registry.entry(account).and_then(|entry| entry.secret_store);
        let result = match self.off_registry(account, Registry::begin_forgetting).await {
            Ok(()) => self.erase(account, kept).await.map(drop),
            failed => failed,
        };
        let Err(error) = result else { return Ok(()) };
        error!(%account, error, "the account can't be erased");
        if let Err(error) = self.off_registry(account, Registry::give_up_forgetting).await {
            error!(%account, error, "the next start will try again");
        }
        Err(AccountError::StorageFailed)
    }

    /// Erases what is left of an account that has no session; returns whether there was anything.
    pub(crate) async fn forget_unknown(&self, account: &BareJid) -> Result<bool, AccountError> {
        let had_record = self.registry.has_record(account);
        let erased = async {
            self.off_registry(account, Registry::begin_forgetting).await?;
            self.erase(account, None).await
        };
        match erased.await {
            Ok(found) => {
                if found || had_record {
                    info!(%account, "what was left of an account that isn't known is erased");
                }
                Ok(found || had_record)
            }
            Err(error) => {
                error!(%account, error, "what is left of the account can't be erased");
                Err(AccountError::StorageFailed)
            }
        }
    }

    /// Finishes what a crash interrupted, before anybody can log in again.
    pub(crate) async fn finish_forgetting(&self) {
        for (account, entry) in self.registry.forgotten() {
            match timeout(FORGETTING, self.erase(&account, entry.secret_store)).await {
                Ok(Ok(_)) => info!(%account, "what a crash has left of the account is erased"),
                Ok(Err(error)) => warn!(%account, error, "still not erased: the next start tries again"),
                Err(_) => warn!(%account, "erasing it takes too long: the next start tries again"),
            }
        }
    }

    /// Erases the secret, the cache, and then the entry, which says where they are. Returns whether there was a
    /// secret or anything in the cache.
    async fn erase(&self, account: &BareJid, kept: Option<StoreName>) -> Result<bool, String> {
        let secret = self.credentials.erase(account, kept).await.map_err(|error| error.to_string());
        let cache = self.store.forget(account).await.map_err(|error| error.to_string());
        let (starts, noted) = (self.starts.clone(), account.clone());
        let notes = off_thread(move || starts.forget(&noted)).await.map_err(|error| error.to_string());
        let found = secret? | cache?;
        notes?;
        self.off_registry(account, Registry::remove).await.map(|()| found)
    }

    async fn off_registry(
        &self,
        account: &BareJid,
        work: fn(&Registry, &BareJid) -> io::Result<()>,
    ) -> Result<(), String> {
        let (registry, account) = (self.registry.clone(), account.clone());
        off_thread(move || work(&registry, &account)).await.map_err(|error| error.to_string())
    }
}

/// How to reach an account's server. `overrides` take precedence over what was `said` at login.
pub(crate) fn settings(
    account: &BareJid,
    said: Connection,
    overrides: &BTreeMap<BareJid, AccountOverride>,
    tls: &Arc<stream::TlsConfig>,
) -> stream::Settings {
    let fixed = overrides.get(account).cloned().unwrap_or_default();
    let given_tls = (said.tls != TlsMode::Auto).then_some(said.tls);
    stream::Settings {
        bind2: false,
        account: account.clone(),
        resource: fixed.resource.or(said.resource),
        host: fixed.host.or(said.host),
        port: fixed.port.or(said.port),
        tls: fixed.tls.or(given_tls).unwrap_or_default(),
        pins: Pins::default(),
        accept_downgrade: false,
        tls_config: Arc::clone(tls),
    }
}

/// Runs blocking disk work on a thread where nothing else waits for it.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
