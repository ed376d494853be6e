//! The folders and the token: their owner, permissions and free space; and which process has the data folder.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::fs::{Access, access, statvfs};

use super::Finding;
use super::configuration::Configuration;
use super::daemon::Running;
use crate::elsewhere::{self, quoted};

/// With less space than this, writes will soon fail.
const TOO_LITTLE_BYTES: u64 = 16 << 20;
/// With less space than this, a large roster with pictures may not fit.
const LITTLE_BYTES: u64 = 128 << 20;
/// The length of a token: 256 bits.
const TOKEN_BYTES: usize = 32;

pub(super) fn look(configuration: &Configuration, running: &Running) -> Vec<Finding> {
    let folders = [
        ("data folder", &configuration.data_dir),
        ("cache folder", &configuration.cache_dir),
        ("runtime folder", &configuration.runtime_dir),
    ];
    let mut found: Vec<_> = folders
        .into_iter()
        .filter_map(|(check, path)| Some(folder(check, path.as_deref()?, free_bytes)))
        .collect();
    let token_file = match &running.endpoint {
        Some(endpoint) => Some(endpoint.token_file.clone()),
        None => configuration.runtime_dir.as_ref().map(|dir| dir.join("token")),
    };
    found.extend(token_file.map(|path| token(&path, running.answers())));
    found.extend(configuration.data_dir.as_ref().map(|dir| {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        lock(&dir.join("lock"), &locks, running.pid())
    }));
    found
}

/// A folder that prosed creates if it doesn't exist.
fn folder(check: &str, path: &Path, free_bytes: impl Fn(&Path) -> Option<u64>) -> Finding {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match path.ancestors().skip(1).find(|above| above.exists()) {
                Some(above) if writable(above) => Finding::ok(check, format!("{shown} will be created.")),
                Some(above) => Finding::fail(
                    check,
                    format!("{shown} can't be created: you may not write to {}.", above.display()),
                    format!("ls -ld {}", quoted(above)),
                ),
                None => Finding::ok(check, format!("{shown} will be created.")),
            };
        }
        Err(error) => {
            let fix = format!("ls -ld {}", quoted(path));
            return Finding::fail(check, format!("{shown} can't be accessed: {error}."), fix);
        }
    };
    if !metadata.is_dir() {
        let fix = format!("mv {0} {0}.aside", quoted(path));
        return Finding::fail(check, format!("{shown} is not a folder."), fix);
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let fix = format!("ls -ld {}", quoted(path));
        return Finding::fail(check, format!("{shown} belongs to somebody else."), fix);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let fix = format!("chmod 700 {}", quoted(path));
        return Finding::fail(check, format!("{shown} is open to other users."), fix);
    }
    if !writable(path) {
        let fix = format!("chmod 700 {}", quoted(path));
        return Finding::fail(check, format!("{shown} can't be written to."), fix);
    }
    let fix = format!("df -h {}", quoted(path));
    match free_bytes(path) {
        Some(free) if free < TOO_LITTLE_BYTES => {
            Finding::fail(check, format!("There is no space left for {shown}: {}.", megabytes(free)), fix)
        }
        Some(free) if free < LITTLE_BYTES => {
            Finding::warn(check, format!("There is little space left for {shown}: {}.", megabytes(free)), fix)
        }
        Some(free) => Finding::ok(check, format!("{shown} is yours alone, with {} free.", megabytes(free))),
        None => Finding::ok(check, format!("{shown} is yours alone.")),
    }
}

/// The space that is available without being root.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The file with the token for the port.
fn token(path: &Path, running: bool) -> Finding {
    let check = "token";
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !running => {
            return Finding::ok(check, format!("{shown} will be created."));
        }
        Err(error) => {
            let message = format!("{shown} can't be accessed: {error}.");
            return Finding::fail(check, message, "prosectl token --new");
        }
    };
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Finding::fail(check, format!("{shown} belongs to somebody else."), "prosectl token --new");
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        // They may already have read it.
        return Finding::fail(check, format!("{shown} can be read by other users."), "prosectl token --new");
    }
    let held = fs::read_to_string(path).ok().and_then(|text| URL_SAFE_NO_PAD.decode(text.trim()).ok());
    if held.is_none_or(|bytes| bytes.len() != TOKEN_BYTES) {
        return Finding::fail(check, format!("{shown} contains no token."), "prosectl token --new");
    }
    Finding::ok(check, format!("{shown} is yours alone."))
}

/// Which process has locked the data folder. `locks` is the content of `/proc/locks`, and `daemon` the process that
/// answered us.
fn lock(path: &Path, locks: &str, daemon: Option<u32>) -> Finding {
    let check = "lock";
    match elsewhere::holder(path, locks) {
        Some(pid) if Some(pid) == daemon => {
            Finding::ok(check, format!("The daemon, process {pid}, has locked its data folder."))
        }
        // Healthy, perhaps: the check of the daemon tells more.
        Some(pid) if elsewhere::is_prosed(pid) && daemon.is_none() => Finding::ok(
            check,
            format!("A prosed that does not answer, process {pid}, has locked the data folder."),
        ),
        Some(pid) => {
            let name = elsewhere::process_name(pid);
            let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
            let message = format!(
                "Process {pid}{name} has locked the data folder, and is not the prosed that prosectl found."
            );
            Finding::fail(check, message, format!("ps -fp {pid}"))
        }
        None => Finding::ok(check, "No other process has locked the data folder."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Ok, Warn};
    use super::*;

    const PLENTY: fn(&Path) -> Option<u64> = |_| Some(u64::MAX);

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_ours_alone_and_has_room() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("it's");
        assert_eq!(folder("x", &path, PLENTY).result, Ok, "prosed makes it");
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o700);
        assert_eq!(folder("x", &path, PLENTY).result, Ok);
        assert_eq!(folder("x", &path, free_bytes).result, Ok, "of the machine that tests run on");
        assert_eq!(folder("x", &path, |_| Some(100 << 20)).result, Warn);
        assert_eq!(folder("x", &path, |_| Some(1 << 20)).result, Fail);
        set_mode(&path, 0o750);
        let open = folder("x", &path, PLENTY);
        assert_eq!(
            (open.result, open.fix),
            (Fail, Some(format!("chmod 700 '{}/it'\\''s'", home.path().display())))
        );
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(folder("x", &file, PLENTY).result, Fail);
        assert_eq!(folder("x", &file.join("below"), PLENTY).result, Fail);
        // Nobody but root may write there, and root's own it is not either.
        assert_eq!(folder("x", Path::new("/proc/1"), PLENTY).result, Fail);
        assert_eq!(folder("x", Path::new("/proc/1/below"), PLENTY).result, Fail);
    }

    #[test]
    fn a_token_is_ours_alone_and_a_token() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        assert_eq!(token(&path, false).result, Ok, "prosed makes it");
        assert_eq!(token(&path, true).result, Fail);
        fs::write(&path, URL_SAFE_NO_PAD.encode([7; TOKEN_BYTES])).unwrap();
        set_mode(&path, 0o600);
        assert_eq!(token(&path, true).result, Ok);
        set_mode(&path, 0o640);
        assert_eq!(token(&path, true).result, Fail);
        set_mode(&path, 0o600);
        fs::write(&path, "c2hvcnQ").unwrap();
        assert_eq!(token(&path, true).result, Fail);
    }

    #[test]
    fn who_holds_the_data_folder_is_read_from_the_kernel() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        assert_eq!(lock(&path, "", None).result, Ok, "there is none yet");
        fs::write(&path, "7\n").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let locks = format!(
            "1: POSIX  ADVISORY  READ  5 08:02:{inode} 0 EOF\n2: FLOCK  ADVISORY  WRITE 7 00:1c:{inode} 0 EOF\n\
             3: FLOCK  ADVISORY  WRITE 9 00:1c:1{inode} 0 EOF\n"
        );
        assert_eq!(lock(&path, &locks, Some(7)).result, Ok);
        let held = lock(&path, &locks, Some(8));
        assert_eq!((held.result, held.fix.as_deref()), (Fail, Some("ps -fp 7")));
        assert_eq!(lock(&path, &locks, None).result, Fail);
        assert_eq!(lock(&path, "1: FLOCK  ADVISORY  WRITE 7 00:1c:1 0 EOF", None).result, Ok);
        assert_eq!(lock(&path, "gibberish\n", None).result, Ok);
    }
}
