//! Opening a cache that may be damaged. sled can answer with an error, a panic, an endless loop, or an allocation
//! that kills the process. None of these may prevent a start, since the server has all of the data.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::StoreError;
use super::patience::Patience;
use super::rows::RowsError;
use crate::files::{self, Durability};

/// How long opening may go without [`Progress`]: a large cache must not be discarded because it is large.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// How long a failed cache may take to close; everybody's writes wait for it.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// sled does not report progress, so it gets an extra second for this many bytes. A slow disk reads them in less.
const BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;

/// Openings in a row that killed the process. One may have been bad luck.
const UNFINISHED_MAX: u32 = 2;

/// Opens `folder`; if that fails, sets it aside and opens an empty one in its place.
pub(super) fn open_or_renew<T: Send + 'static>(
    folder: &Path,
    deadline: Duration,
    open: impl Fn(&Path, &Progress) -> Result<T, RowsError> + Clone + Send + 'static,
) -> Result<T, StoreError> {
    let io = |source| StoreError::Io { path: folder.to_owned(), source };
    let marker = folder.with_extension("opening");
    let counted = files::read(&marker).map_err(io)?.and_then(|text| String::from_utf8(text).ok());
    let unfinished: u32 = counted.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut renewed = false;
    if unfinished >= UNFINISHED_MAX {
        set_aside(folder, "it took the process down").map_err(io)?;
        renewed = true;
    }
    let unfinished = if renewed { 1 } else { unfinished + 1 };
    files::write_atomic(&marker, unfinished.to_string().as_bytes(), Durability::Written).map_err(io)?;
    let opened = loop {
        let path = folder.to_owned();
        let open = open.clone();
        let silence = deadline + Duration::from_secs(bytes_in(folder) / BYTES_PER_SECOND);
        let open = move |progress: &Progress| {
            let _patience = Patience::begin();
            open(&path, progress)
        };
        match within(silence, open) {
            Ok(Ok(opened)) => break Ok(opened),
            Ok(Err(RowsError::Disk(source))) => break Err(io(source)),
            Ok(Err(error)) if renewed => break Err(StoreError::Unusable(error.to_string())),
            Err(failed) if renewed => break Err(StoreError::Unusable(failed.to_string())),
            Ok(Err(error)) => set_aside(folder, &error.to_string()).map_err(io)?,
            Err(failed) => set_aside(folder, failed).map_err(io)?,
        }
        renewed = true;
    };
    files::remove(&marker).map_err(io)?;
    opened
}

/// Counts steps, so that a waiter can see progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn made(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Closes the rows. If that hangs, the thread is left behind.
pub(super) fn close<T: Send + 'static>(rows: T) -> Result<(), &'static str> {
    within(CLOSE_WITHIN, move |_| {
        let _patience = Patience::begin();
        drop(rows);
    })
}

/// Runs something in its own thread, as long as it makes progress. A thread that hangs is left behind: it cannot be
/// stopped.
fn within<T: Send + 'static>(
    silence: Duration,
    work: impl FnOnce(&Progress) -> T + Send + 'static,
) -> Result<T, &'static str> {
    let progress = Progress::default();
    let theirs = progress.clone();
    let (done, result) = mpsc::sync_channel(1);
    let helper = std::thread::Builder::new().name("cache-opener".to_owned()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&theirs))).map_err(|_| "it panicked");
        // If nobody is waiting any more, the result is dropped here.
        let _ = done.send(outcome);
    });
    if helper.is_err() {
        return Err("no thread to open it in");
    }
    let mut before = 0;
    loop {
        match result.recv_timeout(silence) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) if progress.so_far() > before => before = progress.so_far(),
            Err(_) => return Err("it did not come to an end"),
        }
    }
}

/// The total size of the files in a folder, as far as it can be read.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The names under which a folder's replacement is built, and under which the old folder waits for its removal.
pub(super) fn successor(folder: &Path) -> [PathBuf; 2] {
    [folder.with_extension("new"), folder.with_extension("old")]
}

/// Moves the replacement, which is complete and on disk, into the folder's place. Neither is open.
pub(super) fn replace(folder: &Path) -> io::Result<()> {
    let [new, old] = successor(folder);
    fs::rename(folder, &old)?;
    if let Err(error) = fs::rename(&new, folder) {
        fs::rename(&old, folder)?;
        return Err(error);
    }
    files::sync_folder(folder.parent().ok_or(io::ErrorKind::InvalidFilename)?)?;
    fs::remove_dir_all(old)
}

/// Finishes or undoes what a crash interrupted: building a replacement, or [`replace`].
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    let [new, old] = successor(folder);
    // It was complete: the folder had been moved out of its way.
    if !folder.exists() && old.exists() && new.exists() {
        fs::rename(&new, folder)?;
    }
    [new, old].iter().try_for_each(|folder| files::remove_folder(folder))
}

fn set_aside(folder: &Path, reason: &str) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let aside = files::set_aside(folder)?;
    tracing::error!(reason, set_aside = %aside.display(), "the cache is damaged: starting with an empty one");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Stands in for sled: fails in a chosen way when it finds the file `bad`.
    fn opener(
        fail: fn() -> Result<bool, RowsError>,
    ) -> impl Fn(&Path, &Progress) -> Result<bool, RowsError> + Clone {
        move |folder, _| {
            if folder.join("bad").exists() {
                return fail();
            }
            fs::create_dir_all(folder).unwrap();
            Ok(true)
        }
    }

    fn damaged() -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rows");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("bad"), "").unwrap();
        (home, folder)
    }

    #[test]
    fn errors_panics_and_hangs_are_set_aside_in_time() {
        let failures: [fn() -> Result<bool, RowsError>; 3] = [
            || Err(RowsError::Damaged("damaged".to_owned())),
            || panic!("damaged"),
            || loop {
                std::thread::park();
            },
        ];
        for fail in failures {
            let (home, folder) = damaged();
            let begun = Instant::now();
            assert!(open_or_renew(&folder, Duration::from_millis(200), opener(fail)).unwrap());
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert!(!folder.join("bad").exists());
            let names: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().map(|e| e.file_name()).collect();
            assert_eq!(names.len(), 2, "the new folder and the damaged one: {names:?}");
        }
    }

    #[test]
    fn what_takes_long_and_goes_on_is_no_hang() {
        let silence = Duration::from_millis(200);
        let slow = move |progress: &Progress| {
            for _ in 0..20 {
                std::thread::sleep(silence / 4);
                progress.made();
            }
        };
        assert_eq!(within(silence, slow), Ok(()));
        let stuck = |progress: &Progress| {
            progress.made();
            std::thread::park();
        };
        assert_eq!(within(silence, stuck), Err("it did not come to an end"));
    }

    #[test]
    fn a_full_disk_damages_nothing() {
        let (_home, folder) = damaged();
        let full = || Err(RowsError::Disk(std::io::ErrorKind::StorageFull.into()));
        let error = open_or_renew(&folder, DEADLINE, opener(full)).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }) && folder.join("bad").exists());
    }

    #[test]
    fn a_folder_that_takes_the_process_down_does_so_twice_at_most() {
        let (_home, folder) = damaged();
        let marker = folder.with_extension("opening");
        let fail = || Err(RowsError::Disk(std::io::ErrorKind::Other.into()));
        fs::write(&marker, "1").unwrap();
        open_or_renew(&folder, DEADLINE, opener(fail)).unwrap_err();
        assert!(folder.join("bad").exists() && !marker.exists(), "an error is not a crash");
        fs::write(&marker, "2").unwrap();
        assert!(open_or_renew(&folder, DEADLINE, opener(fail)).unwrap());
        assert!(!folder.join("bad").exists() && !marker.exists());
    }

    #[test]
    fn what_cannot_be_renewed_is_an_error() {
        let (_home, folder) = damaged();
        let never = |_: &Path, _: &Progress| Err::<(), _>(RowsError::Damaged("damaged".to_owned()));
        assert!(matches!(open_or_renew(&folder, DEADLINE, never), Err(StoreError::Unusable(_))));
    }

    #[test]
    fn a_replacement_is_wholly_there_or_not_at_all() {
        // What a crash leaves, and what the next start makes of it.
        for (there, left) in [
            (&["rows"][..], &["rows"][..]),
            (&["rows", "rows.new"], &["rows"]),
            (&["rows.old", "rows.new"], &["rows.new"]),
            (&["rows", "rows.old"], &["rows"]),
            // A cache that was removed by hand in the middle of it.
            (&["rows.new"], &[]),
            (&[], &[]),
        ] {
            let home = tempfile::tempdir().unwrap();
            for name in there {
                fs::create_dir(home.path().join(name)).unwrap();
                fs::write(home.path().join(name).join(name), "").unwrap();
            }
            settle(&home.path().join("rows")).unwrap();
            let folders: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().map(|it| it.path()).collect();
            let content: Vec<_> = folders
                .iter()
                .flat_map(|folder| fs::read_dir(folder).unwrap().flatten().map(|it| it.file_name()))
                .collect();
            assert_eq!(content, left, "of {there:?}");
            assert!(folders.iter().all(|folder| folder.ends_with("rows")), "{folders:?} of {there:?}");
        }
    }

    #[test]
    fn a_replacement_leaves_nothing_of_what_was_there() {
        let (home, folder) = damaged();
        fs::create_dir(folder.with_extension("new")).unwrap();
        replace(&folder).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        assert!(!folder.join("bad").exists());
        replace(&folder).unwrap_err();
        assert!(folder.exists(), "there was nothing to put in its place");
    }
}
