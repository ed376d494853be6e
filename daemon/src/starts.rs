//! Starts that come to a sudden end, and the accounts that bring them to it.
//!
//! What takes the process down (a stack that overflows, memory that is used up) can't be caught, and an account
//! that logs in by itself meets it again at the next start. So for its first minute a start notes which
//! accounts it loads and connects; a minute of life, or a clean end, removes the notes. The start that finds
//! three in a row is careful: whatever was connecting when they ended is connected last, one account at a
//! time. The one that was being tried when that start ends, too, is left out by the next.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jid::BareJid;
use tracing::warn;

use crate::files::{self, Durability};

/// How long a start is watched. What takes the process down later than that does not keep it from starting.
pub(crate) const WATCHED: Duration = Duration::from_secs(60);

/// So many starts in a row that came to a sudden end, and the next is careful. Fewer may be bad luck: a power
/// cut, a `kill -9`.
const ABORTED_MAX: usize = 3;

/// The notes, in the data folder: a line each, "word account". First what earlier starts come to, then what
/// this one does.
const FILE: &str = "starts";

/// What a start does with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reads what is cached of it.
    Loading,
    /// Has read it.
    Loaded,
    /// Begins to connect it.
    Connecting,
    /// Begins to connect it while no other one does.
    Trying,
    /// Has connected it, or has waited for long enough, and still lives.
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

/// What earlier starts come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Earlier {
    /// Starts in a row that came to a sudden end.
    aborted: usize,
    /// The accounts that were connecting then, and have not been cleared.
    suspects: BTreeSet<BareJid>,
    /// The accounts that were being tried when a careful start ended.
    culprits: BTreeSet<BareJid>,
    /// The accounts whose cache was being read when the last start ended.
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
            // Else a line that was cut short.
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
            // Whoever was cleared before, too: it may have been too early.
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
    /// Absent: the start is over, or can't be noted.
    notes: Mutex<Option<File>>,
}

/// Says, when it is dropped, that the process comes to its end because it is meant to.
#[derive(Debug)]
pub(crate) struct CleanEnd(Starts);

impl Starts {
    /// Reads what earlier starts have noted, and begins to note what this one does. The data folder is ours.
    ///
    /// # Errors
    /// What the file system says of the notes that are there.
    pub(crate) fn open(folder: &Path, known: impl Fn(&BareJid) -> bool) -> io::Result<(Self, CleanEnd)> {
        let path = folder.join(FILE);
        let found = files::read(&path)?;
        let mut earlier =
            found.map(|notes| Earlier::read(&String::from_utf8_lossy(&notes))).unwrap_or_default();
        earlier.keep(known);
        let notes = files::write_atomic(&path, earlier.write().as_bytes(), Durability::Written)
            .and_then(|()| files::append(&path))
            // A full disk must not keep us from starting either.
            .inspect_err(|error| warn!(%error, "a sudden end of this start would not be noticed"));
        let starts = Self(Arc::new(Inner { path, earlier, notes: Mutex::new(notes.ok()) }));
        let end = CleanEnd(starts.clone());
        Ok((starts, end))
    }

    /// How many starts in a row came to a sudden end, where that is a reason to be careful.
    pub(crate) fn careful(&self) -> Option<usize> {
        Some(self.0.earlier.aborted).filter(|aborted| *aborted >= ABORTED_MAX)
    }

    /// The account is to be connected last, alone.
    pub(crate) fn is_suspect(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.suspects.contains(account)
    }

    /// The account is not to be connected until somebody asks for it.
    pub(crate) fn is_culprit(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.culprits.contains(account)
    }

    /// What is cached of the account is not to be read.
    pub(crate) fn distrusts_cache(&self, account: &BareJid) -> bool {
        self.careful().is_some() && self.0.earlier.unloaded.contains(account)
    }

    /// Notes what is done with an account, for as long as the start is watched. A few microseconds: with the
    /// kernel it survives the process, and needs no disk.
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
    /// What the file system says; the notes are then as they were.
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

    /// The start is over, and went well.
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

    /// A start that does these things and comes to a sudden end.
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
        // It was «b», and after it comes «c».
        let tried = [(Trying, "a"), (Connecting, "a"), (Cleared, "a"), (Trying, "b"), (Connecting, "b")];
        aborted(home.path(), &tried);
        let starts = aborted(home.path(), &[(Connecting, "a"), (Trying, "c"), (Connecting, "c")]);
        let standing = |starts: &Starts| {
            names.map(|name| (starts.is_suspect(&jid(name)), starts.is_culprit(&jid(name))))
        };
        assert_eq!(standing(&starts), [(false, false), (false, true), (true, false)]);
        let starts = aborted(home.path(), &[(Connecting, "a")]);
        assert_eq!(standing(&starts), [(false, false), (false, true), (false, true)]);
        // Nobody was being tried: all that were connecting are suspects again, the cleared one, too.
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
