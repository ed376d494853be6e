//! What no server can give back: which accounts there are, what each said last, and how far the
//! event log has counted. Small files in the data folder, held by one daemon at a time.
//!
//! Calls that change something write to disk before they return (`fsync`): off the async threads
//! with them, please.

use std::collections::BTreeMap;
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
    /// What `set_presence` said last.
    pub presence: OwnPresence,
    /// It is being forgotten: nobody sees it any more, and the next start finishes what a crash
    /// has interrupted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
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
    accounts: Mutex<Accounts>,
    /// Held while the disk is waited for; one change after the other.
    changing: Mutex<()>,
    seq_mark: Mutex<u64>,
    _lock: Lock,
}

type Accounts = BTreeMap<BareJid, Entry>;

impl Registry {
    /// Takes the data folder for this process and reads it.
    ///
    /// # Errors
    /// Another daemon has it, or the file system does not let us. A damaged file is none: it is
    /// set aside.
    pub(crate) fn open(folder: &Path) -> Result<Self, RegistryError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::Io { path, source }
        };
        files::private_folder(folder).map_err(io(folder))?;
        let lock = lock(folder)?;
        let accounts_file = folder.join(ACCOUNTS);
        let seq_file = folder.join("seq");
        let accounts = read_accounts(&accounts_file).map_err(io(&accounts_file))?;
        let seq_mark = read_seq_mark(&seq_file, !accounts.is_empty()).map_err(io(&seq_file))?;
        Ok(Self(Arc::new(Inner {
            accounts_file,
            seq_file,
            accounts: Mutex::new(accounts),
            changing: Mutex::new(()),
            seq_mark: Mutex::new(seq_mark),
            _lock: lock,
        })))
    }

    /// All accounts, sorted by JID.
    pub(crate) fn accounts(&self) -> Vec<(BareJid, Entry)> {
        self.those(|entry| !entry.forgotten)
    }

    /// The accounts whose forgetting was interrupted.
    pub(crate) fn forgotten(&self) -> Vec<(BareJid, Entry)> {
        self.those(|entry| entry.forgotten)
    }

    /// One account, if it is known.
    pub(crate) fn entry(&self, account: &BareJid) -> Option<Entry> {
        self.locked().get(account).filter(|entry| !entry.forgotten).cloned()
    }

    /// Changes an account, which need not be known yet. On disk when this returns; without an
    /// effective change nothing is written.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub(crate) fn update(&self, account: &BareJid, change: impl FnOnce(&mut Entry)) -> io::Result<()> {
        self.change(|accounts| {
            let entry = accounts.entry(account.clone()).or_default();
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
        self.change(|accounts| {
            let entry = accounts.get_mut(account).filter(|entry| !entry.forgotten);
            entry.ok_or(io::ErrorKind::NotFound)?.presence = presence.clone();
            Ok(())
        })
    }

    /// Begins to forget an account: from now on it is not there, whatever happens. On disk when this
    /// returns.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub(crate) fn begin_forgetting(&self, account: &BareJid) -> io::Result<()> {
        self.change(|accounts| {
            accounts.entry(account.clone()).and_modify(|entry| entry.forgotten = true);
            Ok(())
        })
    }

    /// Something of an account could not be erased: it is there again, logged out.
    ///
    /// # Errors
    /// What the file system says: it remains to be forgotten at the next start.
    pub(crate) fn give_up_forgetting(&self, account: &BareJid) -> io::Result<()> {
        self.change(|accounts| {
            accounts.entry(account.clone()).and_modify(|entry| {
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
        self.change(|accounts| {
            accounts.remove(account);
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
        let accounts = self.locked();
        accounts
            .iter()
            .filter(|(_, entry)| wanted(entry))
            .map(|(jid, entry)| (jid.clone(), entry.clone()))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Accounts> {
        // The map is replaced whole, so a panic elsewhere leaves it whole.
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the accounts: on disk first, and only then for those who look things up. They need
    /// not wait for the disk meanwhile.
    fn change(&self, change: impl FnOnce(&mut Accounts) -> io::Result<()>) -> io::Result<()> {
        let _in_turn = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.locked().clone();
        let mut after = before.clone();
        change(&mut after)?;
        if after != before {
            let json = serde_json::to_vec_pretty(&after)?;
            files::write_atomic(&self.0.accounts_file, &json, Durability::Synced)?;
            *self.locked() = after;
        }
        Ok(())
    }
}

/// What was said at an account's login of the way to its server, from the data folder of a daemon that may
/// be running; nothing where that can't be read.
pub(crate) fn connection(folder: &Path, account: &BareJid) -> Option<Connection> {
    let mut accounts: Accounts = serde_json::from_slice(&fs::read(folder.join(ACCOUNTS)).ok()?).ok()?;
    accounts.remove(account).map(|entry| entry.connection)
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

fn read_accounts(path: &Path) -> io::Result<BTreeMap<BareJid, Entry>> {
    let Some(json) = files::read(path)? else { return Ok(BTreeMap::new()) };
    match serde_json::from_slice(&json) {
        Ok(accounts) => Ok(accounts),
        Err(error) => {
            let aside = files::set_aside(path)?;
            tracing::error!(
                set_aside = %aside.display(),
                // The category only: the message may quote what is in the file.
                reason = ?error.classify(),
                line = error.line(),
                "the list of accounts is damaged: starting without any",
            );
            Ok(BTreeMap::new())
        }
    }
}

/// `used`: there have been accounts, so a missing file is one that got lost.
fn read_seq_mark(path: &Path, used: bool) -> io::Result<u64> {
    let content = files::read(path)?;
    if content.is_none() && !used {
        return Ok(0);
    }
    let content = content.unwrap_or_default();
    if let Some(mark) = std::str::from_utf8(&content).ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(mark);
    }
    // Counting by the million at each start and by one an event stays behind the microseconds
    // since 1970, so the clock is ahead of whatever was lost; and it is below 2^53 until 2255.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    tracing::error!("the event log's mark is lost: going on far ahead of it");
    Ok(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prosed_session::Availability;

    fn me() -> BareJid {
        BareJid::new("me@example.org").unwrap()
    }

    #[test]
    fn accounts_come_back_as_they_were_left() {
        let home = tempfile::tempdir().unwrap();
        let left = Entry {
            remember: true,
            logged_out: true,
            secret_store: Some(StoreName::SystemdCredential),
            connection: Connection {
                resource: Some("desk".into()),
                host: Some("localhost".into()),
                port: Some(5222),
                tls: TlsMode::StartTls,
            },
            presence: OwnPresence {
                availability: Availability::Dnd,
                status: Some("busy".into()),
                priority: Some(-1),
            },
            forgotten: false,
        };
        {
            let registry = Registry::open(home.path()).unwrap();
            let entry = left.clone();
            registry.update(&me(), |it| *it = Entry { presence: OwnPresence::default(), ..entry }).unwrap();
            registry.set_presence(&me(), &left.presence).unwrap();
        }
        let registry = Registry::open(home.path()).unwrap();
        assert_eq!(registry.accounts(), [(me(), left.clone())]);
        assert_eq!(registry.entry(&me()), Some(left));
        registry.remove(&me()).unwrap();
        drop(registry);
        assert_eq!(Registry::open(home.path()).unwrap().accounts(), []);
    }

    #[test]
    fn a_forgotten_account_is_not_brought_back_by_a_late_presence() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        let error = registry.set_presence(&me(), &OwnPresence::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(registry.accounts(), []);
    }

    #[test]
    fn what_is_being_forgotten_is_not_there_and_not_gone_either() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        registry.begin_forgetting(&me()).unwrap();
        assert_eq!(registry.forgotten(), [], "of a stranger there is nothing to be forgotten");
        let secret_store = Some(StoreName::File);
        registry
            .update(&me(), |entry| *entry = Entry { remember: true, secret_store, ..Entry::default() })
            .unwrap();
        registry.begin_forgetting(&me()).unwrap();
        drop(registry);
        let registry = Registry::open(home.path()).unwrap();
        assert_eq!((registry.accounts(), registry.entry(&me())), (vec![], None));
        assert_eq!(registry.forgotten()[0].1.secret_store, secret_store, "so that it is found");
        let error = registry.set_presence(&me(), &OwnPresence::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);

        registry.give_up_forgetting(&me()).unwrap();
        let back = registry.entry(&me()).unwrap();
        assert_eq!((back.remember, back.logged_out, back.secret_store), (true, true, secret_store));

        // Who logs in meanwhile has a new account.
        registry.begin_forgetting(&me()).unwrap();
        registry.update(&me(), |entry| entry.remember = true).unwrap();
        assert_eq!(registry.entry(&me()), Some(Entry { remember: true, ..Entry::default() }));
        assert_eq!(registry.forgotten(), []);
    }

    #[test]
    fn who_looks_something_up_does_not_wait_for_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        registry.update(&me(), |entry| entry.remember = true).unwrap();
        let (done, looked_up) = std::sync::mpsc::channel();
        let changed = std::thread::scope(|scope| {
            let changing = registry.clone();
            let changer = scope.spawn(move || {
                let mut in_time = false;
                let change = |entry: &mut Entry| {
                    entry.logged_out = true;
                    // A change that takes as long as somebody else's look.
                    in_time = looked_up.recv_timeout(std::time::Duration::from_secs(10)).is_ok();
                };
                changing.update(&me(), change).unwrap();
                in_time
            });
            while registry.0.changing.try_lock().is_ok() {
                std::thread::yield_now();
            }
            assert!(!registry.entry(&me()).unwrap().logged_out, "as it is on disk");
            let _ = done.send(());
            changer.join().unwrap()
        });
        assert!(changed, "the look had to wait");
        assert!(registry.entry(&me()).unwrap().logged_out);
    }

    #[test]
    fn what_could_not_be_written_has_not_happened() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        fs::create_dir(home.path().join("accounts.json")).unwrap();
        registry.update(&me(), |entry| entry.remember = true).unwrap_err();
        assert_eq!(registry.entry(&me()), None);
    }

    #[test]
    fn a_damaged_list_is_set_aside() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("accounts.json"), "{\"me@exam").unwrap();
        assert_eq!(Registry::open(home.path()).unwrap().accounts(), []);
        let kept = fs::read_dir(home.path()).unwrap().flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with("accounts.json-damaged-")
                && fs::read_to_string(entry.path()).unwrap() == "{\"me@exam"
        });
        assert!(kept);
    }

    #[test]
    fn a_second_daemon_is_told_who_is_there() {
        let home = tempfile::tempdir().unwrap();
        let first = Registry::open(home.path()).unwrap();
        match Registry::open(home.path()).unwrap_err() {
            RegistryError::AlreadyRunning { folder, pid } => {
                assert_eq!((folder.as_path(), pid), (home.path(), Some(std::process::id())));
            }
            error => panic!("{error}"),
        }
        drop(first);
        Registry::open(home.path()).unwrap();
    }

    #[test]
    fn seq_never_goes_back() {
        let home = tempfile::tempdir().unwrap();
        let mut highest = 0;
        for start in 0..3 {
            let registry = Registry::open(home.path()).unwrap();
            let first = registry.seq_mark() + 1;
            assert!(first > highest, "start {start}: {first} after {highest}");
            let limit = registry.reserve(first).unwrap();
            assert_eq!(limit, first + SEQ_BLOCK - 1);
            assert_eq!(registry.reserve(first + 1).unwrap(), limit, "still within the block");
            assert_eq!(registry.reserve(limit + 1).unwrap(), limit + SEQ_BLOCK);
            highest = limit + SEQ_BLOCK;
        }
    }

    #[test]
    fn a_lost_mark_is_jumped_over() {
        for damage in [None, Some("12x"), Some("")] {
            let home = tempfile::tempdir().unwrap();
            let registry = Registry::open(home.path()).unwrap();
            registry.update(&me(), |entry| entry.remember = true).unwrap();
            let limit = registry.reserve(1).unwrap();
            drop(registry);
            match damage {
                Some(text) => fs::write(home.path().join("seq"), text).unwrap(),
                None => fs::remove_file(home.path().join("seq")).unwrap(),
            }
            let mark = Registry::open(home.path()).unwrap().seq_mark();
            assert!(mark > limit && mark < 1 << 53, "{mark}");
        }
    }

    #[test]
    fn nothing_reserved_when_the_disk_refuses() {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        fs::create_dir(home.path().join("seq")).unwrap();
        registry.reserve(1).unwrap_err();
        assert_eq!(registry.seq_mark(), 0);
    }
}
