//! Files that are complete or absent: private folders, atomic writes, damaged files set aside.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use prosed_protocol::folder::{self, Untrusted};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Only for us.
pub(crate) const PRIVATE_FOLDER: u32 = 0o700;
/// Only for us.
pub(crate) const PRIVATE_FILE: u32 = 0o600;

/// The suffix of a file that has yet to be moved into place.
const UNFINISHED: &str = ".new";

/// The suffix of something damaged, before the time at which it was set aside.
const DAMAGED: &str = "-damaged-";

/// Whether a write survives a power cut, or only a crash of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On disk when the call returns.
    Synced,
    /// In the kernel when the call returns; on disk some time later.
    Written,
}

/// Makes `path` a folder that only we can enter (0700), with its parents.
///
/// # Errors
/// Those of the file system; [`Untrusted`] if other users own the folder, share it, or can change what its path leads
/// to: its content may be theirs.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    // Nothing is created where others could change it.
    let there = |folder: &&Path| fs::symlink_metadata(folder).is_ok();
    folder::check_way(std::path::absolute(path)?.ancestors().find(there).unwrap_or(Path::new("/")))?;
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)?;
    folder::check_own(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(PRIVATE_FOLDER))?;
    }
    Ok(())
}

/// Creates a folder in one of ours, with nothing in it that leads elsewhere: for libraries that open files
/// themselves.
///
/// # Errors
/// Those of the file system; [`Untrusted`] if somebody has prepared it.
pub(crate) fn private_subfolder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) => check_entry(path, &found)?,
        Err(_) => DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)?,
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        check_entry(&entry.path(), &entry.metadata()?)?;
    }
    private_folder(path)
}

/// Checks a file or folder by its metadata, without following links.
fn check_entry(path: &Path, found: &Metadata) -> io::Result<()> {
    let why = if found.is_symlink() {
        "is a symbolic link"
    } else if found.uid() != folder::us() {
        "belongs to another user"
    } else if folder::is_writable_by_others(found) {
        "can be changed by other users"
    } else if !found.is_file() && !found.is_dir() {
        "is neither a file nor a folder"
    } else {
        return Ok(());
    };
    Err(Untrusted::at(path, why))
}

/// Opens a file of ours, and never a replacement that somebody has put in its place: a link, a pipe, another user's
/// file.
fn open_ours(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP) => Untrusted::at(path, "is a symbolic link"),
        _ => error,
    })?;
    let found = file.metadata()?;
    check_entry(path, &found)?;
    if found.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
}

/// Writes a file (0600) under another name and moves it into place: readers of `path` get the old content or the new,
/// never a part. One writer per path at a time.
///
/// # Errors
/// Those of the file system; `path` is unchanged.
pub(crate) fn write_atomic(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    let temporary = unfinished(path)?;
    let create = || OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&temporary);
    let written = (|| {
        let mut file = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&temporary)?;
                create()?
            }
            created => created?,
        };
        file.write_all(content)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    if durability == Durability::Synced { sync_folder(folder) } else { Ok(()) }
}

/// The name of a file before it is moved into place. Always the same, so that the next write removes what a crash has
/// left behind.
fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidFilename)?);
    name.push(UNFINISHED);
    Ok(path.with_file_name(name))
}

/// Removes what interrupted writes have left in a folder: it is never read, and may hold a secret. For a folder that
/// no other process is writing to.
///
/// # Errors
/// Those of the file system.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(UNFINISHED.as_bytes())
            && entry.file_type()?.is_file()
        {
            remove(&entry.path())?;
            tracing::info!(file = %entry.path().display(), "removed a file that a crash had left incomplete");
        }
    }
    Ok(())
}

/// Makes the names in a folder survive a power cut.
///
/// # Errors
/// Those of the file system.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file that may be absent.
///
/// # Errors
/// Those of the file system, except absence.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

/// Removes a folder that may be absent, with everything in it.
///
/// # Errors
/// Those of the file system, except absence.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

/// Removes what [`write_atomic`] has written, or was writing when it was cut short. Says whether there was
/// anything.
///
/// # Errors
/// What the file system says, absence excepted.
pub(crate) fn remove_with_leftover(path: &Path) -> io::Result<bool> {
    let mut found = false;
    for file in [path.to_owned(), unfinished(path)?] {
        match fs::remove_file(file) {
            Ok(()) => found = true,
            error => absent_is_fine(error)?,
        }
    }
    Ok(found)
}

/// Opens a file of ours for reading.
///
/// # Errors
/// Those of the file system; [`Untrusted`] if somebody has prepared it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_ours(OpenOptions::new().read(true), path)
}

/// Opens a file of ours for appending.
///
/// # Errors
/// As for [`open`].
pub(crate) fn append(path: &Path) -> io::Result<File> {
    open_ours(OpenOptions::new().append(true), path)
}

/// Reads a file of ours that may be absent.
///
/// # Errors
/// As for [`open`], except absence.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let content = open(path).and_then(|mut file| {
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(content)
    });
    absent_is_none(content)
}

/// Reads a file that we did not create, and that may be absent: its owner may use a link.
///
/// # Errors
/// Those of the file system, except absence.
pub(crate) fn read_theirs(path: &Path) -> io::Result<Option<Vec<u8>>> {
    absent_is_none(fs::read(path))
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Renames a damaged file or folder to `…-damaged-<milliseconds since 1970>`, so that somebody can inspect it. The
/// previous one is removed: at most one is kept.
///
/// # Errors
/// Those of the file system; the damaged file is where it was.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    // If it cannot be removed, it is kept, too.
    let _ = remove_set_aside(path);
    let aside = aside(path)?;
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Removes what [`set_aside`] has kept of this path.
///
/// # Errors
/// Those of the file system; the rest is removed.
pub(crate) fn remove_set_aside(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let prefix = [name.as_encoded_bytes(), DAMAGED.as_bytes()].concat();
    let mut result = Ok(());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(&prefix) {
            let folder = entry.file_type()?.is_dir();
            result = result.and(if folder { remove_folder(&entry.path()) } else { remove(&entry.path()) });
        }
    }
    result
}

/// Keeps a copy of a damaged file as `…-damaged-<milliseconds since 1970>`. prosed never removes it.
///
/// # Errors
/// Those of the file system.
pub(crate) fn copy_aside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let aside = aside(path)?;
    write_atomic(&aside, content, Durability::Synced)?;
    Ok(aside)
}

/// Where a damaged file is kept from now on.
fn aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    name.push(format!("{DAMAGED}{}", now.as_millis()));
    Ok(path.with_file_name(name))
}

/// A file that one process at a time holds. The kernel releases it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock and writes our process id into the file; `None`: another process, or another holder in this
    /// one, has it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE);
        let file = open_ours(&mut options, path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut lock = Self(file);
        lock.0.set_len(0)?;
        writeln!(lock.0, "{}", std::process::id())?;
        Ok(Some(lock))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it would not be enough while a child that is about to start has a copy.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_made_private_with_its_parents_and_tightened_where_it_was_not() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        private_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&home.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn what_somebody_has_prepared_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let (letter, bait) = (home.path().join("letter"), home.path().join("bait"));
        let refused = |why: &str| {
            for result in [open(&bait).map(drop), read(&bait).map(drop), Lock::take(&bait).map(drop)] {
                let error = result.unwrap_err();
                assert!(Untrusted::is(&error) && error.to_string().ends_with(why), "{error}");
            }
            assert_eq!(fs::read_to_string(&letter).unwrap(), "dear");
            fs::remove_file(&bait).unwrap();
        };
        fs::write(&letter, "dear").unwrap();
        fs::set_permissions(&letter, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&letter, &bait).unwrap();
        refused("is a symbolic link");
        std::os::unix::fs::symlink("nowhere", &bait).unwrap();
        refused("is a symbolic link");
        assert!(!home.path().join("nowhere").exists());
        fs::write(&bait, "").unwrap();
        fs::set_permissions(&bait, Permissions::from_mode(0o666)).unwrap();
        refused("can be changed by other users");
        let pipe = std::process::Command::new("mkfifo").arg("-m600").arg(&bait).status().unwrap();
        assert!(pipe.success());
        refused("is neither a file nor a folder");
        if folder::us() == 0 {
            fs::write(&bait, "").unwrap();
            fs::set_permissions(&bait, Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&bait, Some(65534), None).unwrap();
            refused("belongs to another user");
        } else {
            eprintln!("skipped: a file of another user, which only root can make");
        }
        assert_eq!(open(home.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);

        // A write replaces it.
        std::os::unix::fs::symlink(&letter, home.path().join(".bait.new")).unwrap();
        std::os::unix::fs::symlink(&letter, &bait).unwrap();
        write_atomic(&bait, b"ours", Durability::Written).unwrap();
        assert_eq!(fs::read_to_string(&letter).unwrap(), "dear");
        assert_eq!(read(&bait).unwrap().unwrap(), b"ours");
    }

    #[test]
    fn a_subfolder_leads_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let (elsewhere, folder) = (home.path().join("elsewhere"), home.path().join("folder"));
        private_subfolder(&elsewhere).unwrap();
        private_subfolder(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
        let error = private_subfolder(&folder).unwrap_err();
        assert!(error.to_string().ends_with("is a symbolic link"), "{error}");
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        private_subfolder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        std::os::unix::fs::symlink(home.path().join("letter"), folder.join("db")).unwrap();
        assert!(Untrusted::is(&private_subfolder(&folder).unwrap_err()));
    }

    #[test]
    fn nothing_is_made_where_others_can_change_it() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(Untrusted::is(&private_folder(&open.join("a/b")).unwrap_err()));
        assert!(Untrusted::is(&private_folder(&open).unwrap_err()));
        assert_eq!((fs::read_dir(&open).unwrap().count(), mode(&open)), (0, 0o777));
    }

    #[test]
    fn a_lock_is_private_and_held_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        Lock::take(&path).unwrap().unwrap();
    }

    #[test]
    fn a_folder_that_users_share_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let shared = home.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(private_folder(&shared).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(mode(&shared), 0o777);
    }

    #[test]
    fn a_write_replaces_the_whole_file_privately_and_leaves_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("it");
        for durability in [Durability::Written, Durability::Synced] {
            // As a crash in the middle of a write would leave it.
            fs::write(home.path().join(".it.new"), "half").unwrap();
            write_atomic(&path, format!("{durability:?}").as_bytes(), durability).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{durability:?}"));
            assert_eq!(mode(&path), 0o600);
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_crashes_left_half_written_goes_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        for name in [".it.new", ".other.json.new", "token.17.new", "it", "renewed", ".hidden"] {
            fs::write(home.path().join(name), "secret").unwrap();
        }
        fs::create_dir(home.path().join("folder.new")).unwrap();
        sweep(home.path()).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(home.path()).unwrap().flatten().map(|it| it.file_name()).collect();
        left.sort();
        assert_eq!(left, [".hidden", "folder.new", "it", "renewed"]);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("it");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "").unwrap();
        write_atomic(&path, b"no", Durability::Synced).unwrap_err();
        assert!(path.join("kept").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn at_most_one_damaged_thing_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("it");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("first"), "").unwrap();
        let first = set_aside(&path).unwrap();
        assert!(first.join("first").exists() && !path.exists());
        fs::write(&path, "second").unwrap();
        let second = set_aside(&path).unwrap();
        assert_eq!(fs::read_to_string(&second).unwrap(), "second");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
