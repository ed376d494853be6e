//! What no server can give back: which accounts there are, what each said last, and how far the
//! event log has counted. Small files in the data folder, held by one daemon at a time.
//!
//! Calls that change something write to disk before they return (`fsync`): off the async threads
//! with them, please.

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

/// How many numbers of the event log one write to disk reserves: a write an hour at 250 events a
/// second, and 2^53 lasts for nine billion restarts.
const SEQ_BLOCK: u64 = 1_000_000;

/// The accounts' file, in the data folder.
const ACCOUNTS: &str = "accounts.json";

/// What was said at login of the way to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Connection {
    /// The resource to ask for; absent: one of our own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Where to connect to, in place of what DNS says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where to connect to, in place of what DNS says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How to come to TLS.
    pub tls: TlsMode,
}

/// An account as it was left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// Logs in by itself at start, unless it is `logged_out`.
    pub remember: bool,
    /// Somebody logged it out: it stays out until the next login.
    pub logged_out: bool,
    /// Where its secret is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_store: Option<StoreName>,
    /// The way to the server.
    pub connection: Connection,
    /// What its server is held to at logins.
    #[serde(skip_serializing_if = "Pins::is_empty")]
    pub pins: Pins,
    /// What `set_presence` said last.
    pub presence: OwnPresence,
    /// It is being forgotten, or has yet to become one of ours: nobody sees it, and the next start erases
    /// what a crash has left of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
    /// What a newer version has written there, at whatever depth: it finds it again. See `records`.
    #[serde(skip)]
    newer: serde_json::Value,
}

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Exit code 3.
    #[error("prosed is already running on {}{}", folder.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRunning { folder: PathBuf, pid: Option<u32> },
    /// Exit code 5.
    #[error("{} can't be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The accounts and the event log's mark. A cheap handle; the data folder is ours until the last
/// one is gone.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts_file: PathBuf,
    seq_file: PathBuf,
    /// As they are on disk. Held for moments only: sessions look things up here.
    records: Mutex<Records>,
    /// Held while the disk is waited for; one change after the other.
    changing: Mutex<()>,
    seq_mark: Mutex<u64>,
    _lock: Lock,
}

impl Registry {
    /// Takes the data folder for this process and reads it.
    ///
    /// # Errors
    /// Another daemon has it, or the file system does not let us. Damage is none: a record that can't be
    /// read costs itself only, and is kept as it is.
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

    /// Whether there is a record of the account, be it one that nobody sees or that can't be read.
    pub(crate) fn has_record(&self, account: &BareJid) -> bool {
        let records = self.locked();
        records.accounts.contains_key(account) || records.is_unreadable(account)
    }

    /// One account, if it is known.
    pub(crate) fn entry(&self, account: &BareJid) -> Option<Entry> {
        self.locked().accounts.get(account).filter(|entry| !entry.forgotten).cloned()
    }

    /// Changes an account, which need not be known yet. On disk when this returns; without an
    /// effective change nothing is written. Of a record that can't be read, a copy is set aside before
    /// this one takes its place.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
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

    /// Keeps what `set_presence` said last. On disk when this returns.
    ///
    /// # Errors
    /// What the file system says; `NotFound` for an account that isn't known, so that a late
    /// write does not bring back one that was forgotten.
    pub(crate) fn set_presence(&self, account: &BareJid, presence: &OwnPresence) -> io::Result<()> {
        self.change(|records| {
            let entry = records.accounts.get_mut(account).filter(|entry| !entry.forgotten);
            entry.ok_or(io::ErrorKind::NotFound)?.presence = presence.clone();
            Ok(())
        })
    }

    /// Marks an account that isn't known yet, before anything of it is kept elsewhere: until
    /// [`Registry::update`] makes it one of ours, the next start erases what there is of it. On disk when
    /// this returns.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub(crate) fn expect(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            if !records.is_unreadable(account) {
                let expected = || Entry { forgotten: true, ..Entry::default() };
                records.accounts.entry(account.clone()).or_insert_with(expected);
            }
            Ok(())
        })
    }

    /// Begins to forget an account: from now on it is not there, whatever happens. On disk when this
    /// returns.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub(crate) fn begin_forgetting(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            if records.remove_unreadable(account) {
                records.accounts.entry(account.clone()).or_default();
            }
            records.accounts.entry(account.clone()).and_modify(|entry| entry.forgotten = true);
            Ok(())
        })
    }

    /// Something of an account could not be erased: it is there again, logged out.
    ///
    /// # Errors
    /// What the file system says: it remains to be forgotten at the next start.
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
    /// What the file system says; nothing has changed then.
    pub(crate) fn remove(&self, account: &BareJid) -> io::Result<()> {
        self.change(|records| {
            records.accounts.remove(account);
            Ok(())
        })
    }

    /// No event up to now has had a higher number than this: the next may have this plus one.
    pub(crate) fn seq_mark(&self) -> u64 {
        *self.0.seq_mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the event log may use `next`. Returns the highest number that it may use
    /// before it has to ask again. On disk when this returns.
    ///
    /// # Errors
    /// What the file system says; nothing is reserved then.
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
        // They are replaced whole, so a panic elsewhere leaves them whole.
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the records: on disk first, and only then for those who look things up. They need
    /// not wait for the disk meanwhile.
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

/// What was said at an account's login of the way to its server, from the data folder of a daemon that may
/// be running; nothing where that can't be read.
pub(crate) fn connection(folder: &Path, account: &BareJid) -> Option<Connection> {
    let mut records = Records::read(&files::read(&folder.join(ACCOUNTS)).ok()??);
    records.accounts.remove(account).map(|entry| entry.connection)
}

/// The names of the records in a data folder that can't be read; none where there is no such file.
///
/// # Errors
/// What the file system says.
pub(crate) fn unreadable(folder: &Path) -> io::Result<Vec<String>> {
    let records = files::read(&folder.join(ACCOUNTS))?.map(|json| Records::read(&json)).unwrap_or_default();
    Ok(records.unreadable.into_keys().collect())
}

/// The process's number in the file is for the message only: the lock is the kernel's.
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

/// `used`: there have been accounts, so a missing file is one that got lost.
fn read_seq_mark(path: &Path, used: bool) -> io::Result<u64> {
    let content = files::read(path)?;
    if content.is_none() && !used {
        return Ok(0);
    }
    let content = content.unwrap_or_default();
    let mark = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok());
    // Beyond it no counting leads: numbers are to be exact in JavaScript, too.
    if let Some(mark) = mark.filter(|mark| *mark < 1 << 52) {
        return Ok(mark);
    }
    // Counting by the million at each start and by one an event stays behind the microseconds
    // since 1970, so the clock is ahead of whatever was lost; and it is below 2^53 until 2255.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    tracing::error!("the last event number is lost: continuing far ahead of it");
    Ok(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
