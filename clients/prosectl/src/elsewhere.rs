//! A prosed that prosectl can't find, because it was started with another runtime directory.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use prosed_protocol::endpoint::{Endpoint, runtime_dir};

/// A running daemon with another runtime directory than prosectl's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    pid: u32,
    /// Its runtime directory, if its environment names it.
    dir: Option<PathBuf>,
}

impl Elsewhere {
    /// By the lock on the data directory that a daemon would have in this environment.
    pub(crate) fn find() -> Option<Self> {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
        Self::with_data_dir(&data.join("prosed"))
    }

    /// By the lock on this data directory.
    pub(crate) fn with_data_dir(dir: &Path) -> Option<Self> {
        let pid = holder(&dir.join("lock"), &fs::read_to_string("/proc/locks").ok()?)?;
        is_prosed(pid).then(|| Self { pid, dir: its_runtime_dir(pid) })
    }

    /// What to do.
    pub(crate) fn fix(&self) -> String {
        match &self.dir {
            Some(dir) => format!("export PROSED_RUNTIME_DIR={}", quoted(dir)),
            None => "set XDG_RUNTIME_DIR or PROSED_RUNTIME_DIR as it was where prosed was started".to_owned(),
        }
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prosed runs as process {}, with another runtime directory than prosectl's", self.pid)
    }
}

/// The process that has locked this file. `locks` is the content of `/proc/locks`: taking the lock to find out could
/// keep a daemon from starting at that moment.
pub(crate) fn holder(path: &Path, locks: &str) -> Option<u32> {
    // `1: FLOCK  ADVISORY  WRITE 4242 fe:00:131073 0 EOF`. The device is ignored: on file systems with several
    // devices, it differs from that of the file.
    let inode = format!(":{}", fs::metadata(path).ok()?.ino());
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK").skip(3);
        let pid = words.next()?.parse::<u32>().ok()?;
        words.next()?.ends_with(&inode).then_some(pid)
    })
}

/// The name of a process; empty if it has ended.
pub(crate) fn process_name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

pub(crate) fn is_prosed(pid: u32) -> bool {
    process_name(pid) == "prosed"
}

/// By the environment that it was started with, if its endpoint.json is there.
fn its_runtime_dir(pid: u32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        environment.split(|byte| *byte == 0).find_map(|variable| {
            let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(OsString::from_vec(value.to_vec()))
        })
    };
    let dir = runtime_dir(value, value("HOME").map(PathBuf::from))?;
    (dir.is_absolute() && Endpoint::read(&dir).ok()?.pid == pid).then_some(dir)
}

/// Quoted for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
