//! Starts that crash, and the accounts that cause it.
//!
//! A stack overflow or exhausted memory cannot be caught, and an account that logs in automatically meets it again at
//! the next start. So for its first minute a start notes which accounts it loads and connects; after a minute, or at
//! a clean exit, the notes are removed. A start that finds three crashes in a row is careful: the accounts that were
//! connecting are connected last, one at a time. If that start crashes as well, the next leaves out the one that was
//! being tried.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jid::BareJid;
use tracing::warn;

use crate::files::{self, Durability};

/// How long a start is watched. A later crash does not prevent prosed from starting.
pub(crate) const WATCHED: Duration = Duration::from_secs(60);

/// This many crashes in a row make the next start careful. Fewer may be bad luck: a power cut, a `kill -9`.
const ABORTED_MAX: usize = 3;

/// The notes, in the data folder: one "word account" per line. First a summary of earlier starts, then the steps of
/// this one.
const FILE: &str = "starts";

/// A step of a start with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reads its cache.
    Loading,
    /// Has read it.
    Loaded,
    /// Starts to connect it.
    Connecting,
    /// Starts to connect it alone.
    Trying,
    /// Has connected it, or waited long enough, without a crash.
    Cleared,
}

impl Step {
    const ALL: [Self; 5] = [Self::Loading, Self::Loaded, Self::Connecting, Self::Trying, Self::Cleared];

    fn word(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Connecting => "connecting",
            Self::Trying => "trying",
            Self::Cleared => "cleared",
        }
    }
}

/// The summary of earlier starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Earlier {
    /// Crashed starts in a row.
    aborted: usize,
    /// The accounts that were connecting, and have not been cleared.
    suspects: BTreeSet<BareJid>,
    /// The accounts being tried when a careful start crashed.
    culprits: BTreeSet<BareJid>,
    /// The accounts whose cache was being read when the last start crashed.
    unloaded: BTreeSet<BareJid>,
}

impl Earlier {
    /// From the notes of a start that has not removed them.
    fn read(notes: &str) -> Self {
        let mut earlier = Self::default();
        let mut connecting = BTreeSet::new();
        let mut trying = None;
        for line in notes.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word == "aborted" {
                earlier.aborted = rest.parse().unwrap_or(0);
            }
            // Otherwise the line was truncated.
            let Ok(account) = BareJid::new(rest) else { continue };
            match Step::ALL.into_iter().find(|step| step.word() == word) {
                Some(Step::Loading) => drop(earlier.unloaded.insert(account)),
                Some(Step::Loaded) => drop(earlier.unloaded.remove(&account)),
                Some(Step::Connecting) => drop(connecting.insert(account)),
                Some(Step::Trying) => trying = Some(account),
                Some(Step::Cleared) => {
                    earlier.suspects.remove(&account);
                    trying = None;
                }
                None if word == "suspect" => drop(earlier.suspects.insert(account)),
                None if word == "culprit" => drop(earlier.culprits.insert(account)),
                None => {}
            }
        }
        earlier.aborted += 1;
        match trying {
            Some(culprit) => drop(earlier.culprits.insert(culprit)),
            // Including those that were cleared: it may have been too early.
            None => earlier.suspects.extend(connecting),
        }
        earlier.suspects.retain(|account| !earlier.culprits.contains(account));
        earlier
    }

    fn keep(&mut self, known: impl Fn(&BareJid) -> bool) {
        for accounts in [&mut self.suspects, &mut self.culprits, &mut self.unloaded] {
            accounts.retain(&known);
        }
    }

    fn write(&self) -> String {
        let lines = |word, accounts: &BTreeSet<BareJid>| -> String {
            accounts.iter().map(|account| format!("{word} {account}\n")).collect()
        };
        let (suspects, culprits) = (lines("suspect", &self.suspects), lines("culprit", &self.culprits));
        format!("aborted {}\n{suspects}{culprits}", self.aborted)
    }
}

/// This start and the ones before it. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Starts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    earlier: Earlier,
    /// Absent: the start is over, or cannot be recorded.
    notes: Mutex<Option<File>>,
}

/// When dropped, records that the process exits on purpose.
#[derive(Debug)]
pub(crate) struct CleanEnd(Starts);

impl Starts {
    /// Reads the notes of earlier starts, and begins those of this one. The data folder is ours.
    ///
    /// # Errors
    /// Those of the file system for the existing notes.
    pub(crate) fn open(folder: &Path, known: impl Fn(&BareJid) -> bool) -> io::Result<(Self, CleanEnd)> {
        let path = folder.join(FILE);
        let found = files::read(&path)?;
        let mut earlier =
            found.map(|notes| Earlier::read(&String::from_utf8_lossy(&notes))).unwrap_or_default();
        earlier.keep(known);
        let notes = files::write_atomic(&path, earlier.write().as_bytes(), Durability::Written)
            .and_then(|()| files::append(&path))
            // A full disk must not prevent the start either.
            .inspect_err(|error| warn!(%error, "a sudden end of this start would not be noticed"));
        let starts = Self(Arc::new(Inner { path, earlier, notes: Mutex::new(notes.ok()) }));
        let end = CleanEnd(starts.clone());
        Ok((starts, end))
    }

    /// The number of crashed starts in a row, if that is a reason to be careful.
    pub(crate) fn careful(&self) -> Option<usize> {
        Some(self.0.earlier.aborted).filter(|aborted| *aborted >= ABORTED_MAX)
    }

    /// The account is to be connected last, and alone.
    pub(crate) fn is_suspect(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.suspects.contains(account)
    }

    /// The account is not to be connected until somebody asks for it.
    pub(crate) fn is_culprit(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.culprits.contains(account)
    }

    /// The account's cache is not to be read.
    pub(crate) fn distrusts_cache(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.unloaded.contains(account)
    }

    /// Notes a step with an account, as long as the start is watched. Takes a few microseconds: once in the kernel it
    /// survives the process, and needs no disk.
    pub(crate) fn note(&self, step: Step, account: &BareJid) {
        let mut notes = self.notes();
        if let Some(file) = &mut *notes
            && let Err(error) = file.write_all(format!("{} {account}\n", step.word()).as_bytes())
        {
            warn!(%error, "a sudden end of this start would not be noticed");
            *notes = None;
        }
    }

    /// Removes an account from the notes. For an account that is forgotten.
    ///
    /// # Errors
    /// Those of the file system; the notes are unchanged.
    pub(crate) fn forget(&self, account: &BareJid) -> io::Result<()> {
        let mut notes = self.notes();
        if notes.is_none() {
            return Ok(());
        }
        let text = files::read(&self.0.path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names_it =
            |line: &str| line.split_once(' ').is_some_and(|(_, rest)| rest.trim_end() == account.as_str());
        let kept: String = text.split_inclusive('\n').filter(|line| !names_it(line)).collect();
        files::write_atomic(&self.0.path, kept.as_bytes(), Durability::Written)?;
        *notes = Some(files::append(&self.0.path)?);
        Ok(())
    }

    /// The start is over, and succeeded.
    pub(crate) fn over(&self) {
        if self.notes().take().is_some()
            && let Err(error) = files::remove(&self.0.path)
        {
            warn!(%error, "this start will be taken for one that ended suddenly");
        }
    }

    fn notes(&self) -> MutexGuard<'_, Option<File>> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CleanEnd {
    fn drop(&mut self) {
        self.0.over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(name: &str) -> BareJid {
        BareJid::new(&format!("{name}@example.org")).unwrap()
    }

    /// A start that takes these steps and crashes.
    fn aborted(folder: &Path, steps: &[(Step, &str)]) -> Starts {
        let (starts, end) = Starts::open(folder, |_| true).unwrap();
        std::mem::forget(end);
        for (step, name) in steps {
            starts.note(*step, &jid(name));
        }
        starts
    }

    fn open(folder: &Path) -> Starts {
        aborted(folder, &[])
    }

    use Step::{Cleared, Connecting, Loaded, Loading, Trying};

    #[test]
    fn the_fourth_start_is_careful_with_what_was_connecting() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..ABORTED_MAX {
            let starts = aborted(home.path(), &[(Connecting, "a"), (Connecting, "b")]);
            assert!(starts.careful().is_none() && !starts.is_suspect(&jid("a")));
        }
        let starts = open(home.path());
        assert_eq!(starts.careful(), Some(3));
        assert!(
            starts.is_suspect(&jid("a")) && starts.is_suspect(&jid("b")) && !starts.is_suspect(&jid("c"))
        );
        assert!(!starts.is_culprit(&jid("a")));
    }

    #[test]
    fn a_minute_of_life_or_a_clean_end_forgives() {
        let home = tempfile::tempdir().unwrap();
        for clean in [true, false] {
            for _ in 0..5 {
                aborted(home.path(), &[(Connecting, "a")]);
            }
            let (starts, end) = Starts::open(home.path(), |_| true).unwrap();
            assert!(starts.is_suspect(&jid("a")));
            if clean {
                drop(end);
            } else {
                starts.over();
                starts.note(Connecting, &jid("a"));
                std::mem::forget(end);
            }
            assert!(!home.path().join(FILE).exists());
            assert!(open(home.path()).careful().is_none());
            fs_remove(home.path());
        }
    }

    fn fs_remove(folder: &Path) {
        std::fs::remove_file(folder.join(FILE)).unwrap();
    }

    #[test]
    fn who_is_alone_when_a_start_ends_is_left_out_and_the_others_go_on() {
        let home = tempfile::tempdir().unwrap();
        let names = ["a", "b", "c"];
        for _ in 0..ABORTED_MAX {
            aborted(home.path(), &names.map(|name| (Connecting, name)));
        }
        // It was «b», and «c» comes next.
        let tried = [(Trying, "a"), (Connecting, "a"), (Cleared, "a"), (Trying, "b"), (Connecting, "b")];
        aborted(home.path(), &tried);
        let starts = aborted(home.path(), &[(Connecting, "a"), (Trying, "c"), (Connecting, "c")]);
        let standing = |starts: &Starts| {
            names.map(|name| (starts.is_suspect(&jid(name)), starts.is_culprit(&jid(name))))
        };
        assert_eq!(standing(&starts), [(false, false), (false, true), (true, false)]);
        let starts = aborted(home.path(), &[(Connecting, "a")]);
        assert_eq!(standing(&starts), [(false, false), (false, true), (false, true)]);
        // None was being tried: all that were connecting are suspects again, including the cleared one.
        assert_eq!(standing(&open(home.path())), [(true, false), (false, true), (false, true)]);
    }

    #[test]
    fn a_cache_that_was_being_read_is_not_read_again() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..ABORTED_MAX {
            let steps = [(Loading, "a"), (Loading, "b"), (Loaded, "a")];
            assert!(!aborted(home.path(), &steps).distrusts_cache(&jid("b")));
        }
        let starts = open(home.path());
        assert!(starts.distrusts_cache(&jid("b")) && !starts.distrusts_cache(&jid("a")));
    }

    #[test]
    fn notes_that_make_no_sense_are_passed_over() {
        let notes =
            "aborted 4\nsuspect a@example.org\nnew word\n\u{fffd}\nconnecting b@example.org\nconnecting @";
        let suspects = BTreeSet::from([jid("a"), jid("b")]);
        assert_eq!(Earlier::read(notes), Earlier { aborted: 5, suspects, ..Earlier::default() });
        assert_eq!(Earlier::read("").aborted, 1);
    }

    #[test]
    fn accounts_that_are_gone_are_not_remembered_here() {
        let home = tempfile::tempdir().unwrap();
        aborted(home.path(), &[(Trying, "a"), (Connecting, "a")]);
        let (_starts, end) = Starts::open(home.path(), |_| false).unwrap();
        assert!(!std::fs::read_to_string(home.path().join(FILE)).unwrap().contains("a@"));
        drop(end);
    }

    #[test]
    fn what_was_noted_of_an_account_can_be_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let starts = aborted(home.path(), &[(Connecting, "a"), (Connecting, "b")]);
        starts.forget(&jid("a")).unwrap();
        starts.note(Connecting, &jid("c"));
        let notes = std::fs::read_to_string(home.path().join(FILE)).unwrap();
        assert_eq!(notes, "aborted 0\nconnecting b@example.org\nconnecting c@example.org\n");
        starts.over();
        starts.forget(&jid("b")).unwrap();
        assert!(!home.path().join(FILE).exists());
    }
}
