//! What no server can return: the list of accounts, each account's last `set_presence`, and how far the event log has
//! counted. Small files in the data folder, held by one daemon at a time.
//!
//! Calls that change something write to disk before they return (`fsync`): run them off the async threads.

mod records;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jid::BareJid;
use prosed_session::OwnPresence;
use serde::{Deserialize, Serialize};

use crate::config::TlsMode;
use crate::credentials::StoreName;
use crate::files::{self, Durability, Lock};
use crate::stream::Pins;
use records::Records;

/// How many numbers of the event log one write to disk reserves: at 250 events a second that is a write per hour, and
/// 2^53 lasts for nine billion restarts.
const SEQ_BLOCK: u64 = 1_000_000;

/// The accounts' file, in the data folder.
const ACCOUNTS: &str = "accounts.json";

/// How to reach the server, as given at login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Connection {
    /// The resource to request; absent: we choose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The host to connect to, instead of DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port to connect to, instead of DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How to establish TLS.
    pub tls: TlsMode,
}

/// An account's stored state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// Logs in automatically at start, unless it is `logged_out`.
    pub remember: bool,
    /// A user logged it out: it stays so until the next login.
    pub logged_out: bool,
    /// Where its secret is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<StoreName>,
    /// How to reach the server.
    pub connection: Connection,
    /// What its server must offer at logins.
    #[serde(skip_serializing_if = "Pins::is_empty")]
    pub pins: Pins,
    /// As last set by `set_presence`.
    pub presence: OwnPresence,
    /// It is being forgotten, or is not yet one of ours: it is hidden, and the next start erases what a crash has
    /// left of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
    /// What a newer version has written there, at any depth, preserved for it. See `records`.
    #[serde(skip)]
    newer: serde_json::Value,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Exit code 3.
    #[error("prosed is already running on {}{}", folder.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRunning { folder: PathBuf, pid: Option<u32> },
    /// Exit code 5.
    #[error("{} can't be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The accounts and the event log's mark. A cheap handle; the data folder is ours until the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts_file: PathBuf,
    seq_file: PathBuf,
    /// The state on disk. Locked only for moments: sessions read it.
    records: Mutex<Records>,
    /// Locked while waiting for the disk; one change at a time.
    changing: Mutex<()>,
    seq_mark: Mutex<u64>,
    _lock: Lock,
}

impl Registry {
    /// Locks the data folder for this process and reads it.
    ///
    /// # Errors
    /// Another daemon has it, or those of the file system. Damage is not an error: an unreadable record affects only
    /// itself, and is kept as it is.
    pub(crate) fn open(folder: &Path) -> Result<Self, RegistryError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::Io { path, source }
        };
        files::private_folder(folder).map_err(io(folder))?;
        let lock = lock(folder)?;
        files::sweep(folder).map_err(io(folder))?;
        let accounts_file = folder.join(ACCOUNTS);
        let seq_file = folder.join("seq");
        let records = Records::load(&accounts_file).map_err(io(&accounts_file))?;
        let seq_mark = read_seq_mark(&seq_file, !records.is_empty()).map_err(io(&seq_file))?;
        Ok(Self(Arc::new(Inner {
            accounts_file,
            seq_file,
            records: Mutex::new(records),
            changing: Mutex::new(()),
            seq_mark: Mutex::new(seq_mark),
            _lock: lock,
        })))
    }

    /// All accounts, sorted by JID.
    pub(crate) fn accounts(&self) -> Vec<(BareJid, Entry)> {
        self.those(|entry| !entry.forgotten)
    }

    /// The accounts whose forgetting, or whose first login, was interrupted.
    pub(crate) fn forgotten(&self) -> Vec<(BareJid, Entry)> {
        self.those(|entry| entry.forgotten)
    }

    /// Whether there is a record of the account, even if hidden or unreadable.
    pub(crate) fn has_record(&self, account: &BareJid) -> bool {
        let records = self.locked();
        records.accounts.contains_key(account) || records.is_unreadable(account)
    }

    /// One account, if it is known.
    pub(crate) fn entry(&self, account: &BareJid) -> Option<Entry> {
        self.locked().accounts.get(account).filter(|entry| !entry.forgotten).cloned()
    }

    /// Changes an account, creating it if necessary. On disk when this returns; nothing is written if nothing
    /// changes. An unreadable record is copied aside before this one replaces it.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed.
    pub(crate) fn update(&self, account: &BareJid, change: impl FnOnce(&mut Entry)) -> io::Result<()> {
        self.change(|records| {
            if records.remove_unreadable(account) {
                files::copy_aside(
                    &self.0.accounts_file,
                    &files::read(&self.0.accounts_file)?.unwrap_or_default(),
                )?;
            }
            let entry = records.accounts.entry(account.clone()).or_default();
            if entry.forgotten {
                *entry = Entry::default();
            }
            change(entry);
            Ok(())
        })
    }

    /// Stores what `set_presence` said last. On disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; `NotFound` for an unknown account, so that a late write does not bring back a
    /// forgotten one.
    pub(crate) fn set_presence(&self, account: &BareJid, presence: &OwnPresence) -> io::Result<()> {
        self.change(|records| {
            let entry = records.accounts.get_mut(account).filter(|entry| !entry.forgotten);
            entry.ok_or(io::ErrorKind::NotFound)?.presence = presence.clone();
            Ok(())
        })
    }

    /// Marks an unknown account before anything about it is stored elsewhere: until [`Registry::update`] makes it one
    /// of ours, the next start erases all of it. On disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed.
    pub(crate) fn expect(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            if !records.is_unreadable(account) {
                let expected = || Entry { forgotten: true, ..Entry::default() };
                records.accounts.entry(account.clone()).or_insert_with(expected);
            }
            Ok(())
        })
    }

    /// Begins to forget an account: from now on it is gone, whatever happens. On disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed.
    pub(crate) fn begin_forgetting(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            if records.remove_unreadable(account) {
                records.accounts.entry(account.clone()).or_default();
            }
            records.accounts.entry(account.clone()).and_modify(|entry| entry.forgotten = true);
            Ok(())
        })
    }

    /// Part of an account could not be erased: it is back, logged out.
    ///
    /// # Errors
    /// Those of the file system: the next start will forget it.
    pub(crate) fn give_up_forgetting(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            records.accounts.entry(account.clone()).and_modify(|entry| {
                entry.forgotten = false;
                entry.logged_out = true;
            });
            Ok(())
        })
    }

    /// Forgets an account. On disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed.
    pub(crate) fn remove(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            records.accounts.remove(account);
            Ok(())
        })
    }

    /// No event so far has had a higher number than this: the next may have this plus one.
    pub(crate) fn seq_mark(&self) -> u64 {
        *self.0.seq_mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ensures that the event log may use `next`. Returns the highest number that it may use before it has to call
    /// again. On disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; nothing is reserved.
    pub(crate) fn reserve(&self, next: u64) -> io::Result<u64> {
        let mut mark = self.0.seq_mark.lock().unwrap_or_else(PoisonError::into_inner);
        if next > *mark {
            let limit = next.saturating_add(SEQ_BLOCK - 1);
            files::write_atomic(&self.0.seq_file, format!("{limit}\n").as_bytes(), Durability::Synced)?;
            *mark = limit;
        }
        Ok(*mark)
    }

    fn those(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<(BareJid, Entry)> {
        let records = self.locked();
        records
            .accounts
            .iter()
            .filter(|(_, entry)| wanted(entry))
            .map(|(jid, entry)| (jid.clone(), entry.clone()))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Records> {
        // They are replaced as a whole, so a panic elsewhere leaves them consistent.
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the records: on disk first, and only then in memory. Readers need not wait for the disk.
    fn change(&self, change: impl FnOnce(&mut Records) -> io::Result<()>) -> io::Result<()> {
        let _in_turn = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.locked().clone();
        let mut after = before.clone();
        change(&mut after)?;
        if after.differ_from(&before) {
            files::write_atomic(&self.0.accounts_file, &after.encode()?, Durability::Synced)?;
            *self.locked() = after;
        }
        Ok(())
    }
}

/// How an account's server is reached, as given at its login, from the data folder of a daemon that may be running;
/// the default if it cannot be read.
pub(crate) fn connection(folder: &Path, account: &BareJid) -> Option<Connection> {
    let mut records = Records::read(&files::read(&folder.join(ACCOUNTS)).ok()??);
    records.accounts.remove(account).map(|entry| entry.connection)
}

/// The names of the unreadable records in a data folder; none if there is no such file.
///
/// # Errors
/// Those of the file system.
pub(crate) fn unreadable(folder: &Path) -> io::Result<Vec<String>> {
    let records = files::read(&folder.join(ACCOUNTS))?.map(|json| Records::read(&json)).unwrap_or_default();
    Ok(records.unreadable.into_keys().collect())
}

/// The process id in the file is only for the message: the kernel holds the lock.
fn lock(folder: &Path) -> Result<Lock, RegistryError> {
    let path = folder.join("lock");
    match Lock::take(&path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => {
            let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            Err(RegistryError::AlreadyRunning { folder: folder.to_owned(), pid })
        }
        Err(source) => Err(RegistryError::Io { path, source }),
    }
}

/// `used`: there have been accounts, so a missing file has been lost.
fn read_seq_mark(path: &Path, used: bool) -> io::Result<u64> {
    let content = files::read(path)?;
    if content.is_none() && !used {
        return Ok(0);
    }
    let content = content.unwrap_or_default();
    let mark = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
    // Counting cannot get beyond it: numbers must be exact in JavaScript, too.
    if let Some(mark) = mark.filter(|mark| *mark < 1 << 52) {
        return Ok(mark);
    }
    // Counting by a million per start and by one per event stays below the microseconds since 1970, so the clock is
    // ahead of whatever was lost; and it is below 2^53 until 2255.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    tracing::error!("the last event number is lost: continuing far ahead of it");
    Ok(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
