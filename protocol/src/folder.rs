//! Who can change a folder: what daemon and clients keep in it is safe from other users only if none of them can
//! change what its path leads to.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Symbolic links on the way to a folder; as many as Linux follows.
const MAX_LINKS: usize = 40;
/// Shared among users who can change only their own entries, like `/tmp`.
const STICKY: u32 = 0o1000;

/// Something that other users could have prepared, or could change without our notice. Inside an [`io::Error`].
#[derive(Debug)]
pub struct Untrusted {
    path: PathBuf,
    why: &'static str,
}

impl Untrusted {
    /// What is at this path, and a reason such as `belongs to another user`.
    pub fn at(path: &Path, why: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Self { path: path.to_owned(), why })
    }

    /// Whether an error is one of these.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl std::fmt::Display for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

impl std::error::Error for Untrusted {}

/// Checks that other users can't change what this path leads to: each folder on the way, and each link, must be ours
/// or root's, and writable by nobody else unless sticky. Group-writable is fine for our primary group, since many
/// systems give each user their own.
///
/// # Errors
/// [`Untrusted`], or those of the file system.
pub fn check_way(path: &Path) -> io::Result<()> {
    let mut path = std::path::absolute(path)?;
    for _ in 0..=MAX_LINKS {
        match first_link(&path)? {
            Some(further) => path = further,
            None => return Ok(()),
        }
    }
    Err(Untrusted::at(&path, "has too many symbolic links on the way"))
}

/// The same, and that the folder itself is ours.
///
/// # Errors
/// As for [`check_way`].
pub fn check_own(folder: &Path) -> io::Result<()> {
    check_way(folder)?;
    let found = fs::metadata(folder)?;
    if found.uid() != us() || found.mode() & STICKY != 0 {
        return Err(Untrusted::at(folder, "is not a folder of our own"));
    }
    Ok(())
}

/// Checks a path up to its first symbolic link, and returns the path with the link followed.
fn first_link(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut reached = PathBuf::new();
    let mut rest = path.components();
    while let Some(component) = rest.next() {
        match component {
            Component::ParentDir => {
                reached.pop();
            }
            other => reached.push(other),
        }
        let found = fs::symlink_metadata(&reached)?;
        if ![0, us()].contains(&found.uid()) {
            return Err(Untrusted::at(&reached, "belongs to another user"));
        }
        if found.is_symlink() {
            let target = fs::read_link(&reached)?;
            reached.pop();
            return Ok(Some(reached.join(target).join(rest.as_path())));
        }
        if !found.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if found.mode() & STICKY == 0 && is_writable_by_others(&found) {
            return Err(Untrusted::at(&reached, "can be changed by other users"));
        }
    }
    Ok(None)
}

/// Whether users other than its owner can change a file or folder.
pub fn is_writable_by_others(found: &fs::Metadata) -> bool {
    let own_group = [0, rustix::process::getegid().as_raw()].contains(&found.gid());
    found.mode() & if own_group { 0o002 } else { 0o022 } != 0
}

/// Our user id.
pub fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn why(result: io::Result<()>) -> String {
        let error = result.unwrap_err();
        assert!(Untrusted::is(&error), "{error}");
        error.to_string()
    }

    #[test]
    fn a_folder_of_ours_in_one_that_users_share_is_fine() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        check_own(&folder).unwrap();
        check_way(Path::new("/tmp")).unwrap();
        assert_eq!(why(check_own(Path::new("/tmp"))), "/tmp is not a folder of our own");
        assert!(!Untrusted::is(&check_own(&home.path().join("none")).unwrap_err()));
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check_own(&file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        // Root's is safe on the way, and not ours.
        if us() == 0 {
            eprintln!("skipped: whether a folder of root is ours, for root");
        } else {
            assert_eq!(why(check_own(Path::new("/"))), "/ is not a folder of our own");
        }
    }

    #[test]
    fn what_others_can_change_is_refused_anywhere_on_the_way() {
        let home = tempfile::tempdir().unwrap();
        let middle = home.path().join("middle");
        let folder = middle.join("folder");
        fs::create_dir_all(&folder).unwrap();
        for open in [&middle, &folder] {
            chmod(open, 0o777);
            assert_eq!(why(check_own(&folder)), format!("{} can be changed by other users", open.display()));
            chmod(open, 0o775);
            check_own(&folder).unwrap();
            chmod(open, 0o755);
        }
    }

    #[test]
    fn links_are_judged_by_where_they_are_and_where_they_lead() {
        let home = tempfile::tempdir().unwrap();
        let (target, open, link) =
            (home.path().join("target"), home.path().join("open"), home.path().join("link"));
        fs::create_dir_all(target.join("in")).unwrap();
        fs::create_dir_all(open.join("in")).unwrap();
        chmod(&open, 0o777);
        symlink("target", &link).unwrap();
        check_own(&link.join("in")).unwrap();
        check_own(&link.join("../link/in")).unwrap();
        symlink(&open, target.join("away")).unwrap();
        why(check_own(&link.join("away/in")));
        symlink(&target, open.join("back")).unwrap();
        why(check_own(&open.join("back")));
        symlink("round", home.path().join("round")).unwrap();
        why(check_own(&home.path().join("round")));
    }

    /// Needs root, to change an owner.
    #[test]
    fn what_belongs_to_others_is_refused() {
        if us() != 0 {
            eprintln!("skipped: what_belongs_to_others_is_refused needs root");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let (theirs, link) = (home.path().join("theirs"), home.path().join("link"));
        fs::create_dir_all(theirs.join("ours")).unwrap();
        chown(&theirs, Some(65534), None).unwrap();
        for folder in [&theirs, &theirs.join("ours")] {
            assert_eq!(why(check_own(folder)), format!("{} belongs to another user", theirs.display()));
        }
        symlink(home.path(), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert_eq!(why(check_own(&link)), format!("{} belongs to another user", link.display()));
    }

    #[test]
    fn a_group_of_others_may_not_write() {
        let home = tempfile::tempdir().unwrap();
        chmod(home.path(), 0o770);
        assert!(!is_writable_by_others(&fs::metadata(home.path()).unwrap()));
        if us() == 0 {
            chown(home.path(), None, Some(65534)).unwrap();
            assert!(is_writable_by_others(&fs::metadata(home.path()).unwrap()));
        }
    }
}
