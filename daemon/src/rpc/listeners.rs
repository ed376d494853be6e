//! The doors' sockets: our own, or those that systemd has opened for us.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use prosed_protocol::endpoint::LONGEST_SOCKET_PATH;
use prosed_protocol::folder::{self, Untrusted};
use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tracing::warn;

use crate::config::{Port, Socket};
use crate::files::{Lock, PRIVATE_FILE};

/// Why a port or socket cannot be served: exit code 4.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The path's error, or another daemon that listens there.
    #[error("the socket {} can't be bound: {source}", path.display())]
    Unix { path: PathBuf, source: io::Error },
    /// A socket unit that does not fit.
    #[error("socket {number} that systemd passes can't be used: {reason}")]
    Passed { number: usize, reason: String },
}

/// Bound sockets.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) unix: Vec<UnixListener>,
}

impl Listeners {
    /// What systemd passes in `LISTEN_FDS` (sd_listen_fds(3)); nothing without it. Removes the variables from the
    /// environment: call it before there is a second thread.
    ///
    /// # Errors
    /// A socket that is not suitable: not listening, not a stream, or reachable from other computers.
    pub(crate) fn passed() -> Result<Self, ListenError> {
        let mut listeners = Self::default();
        // Without it they may have been meant for our parent process.
        if std::env::var_os("LISTEN_PID").is_none() {
            return Ok(listeners);
        }
        let mut passed = ListenFd::from_env();
        for number in 0..passed.len() {
            let refused = |reason: String| ListenError::Passed { number, reason };
            if let Ok(Some(socket)) = passed.take_unix_listener(number) {
                check_listens(&socket).map_err(refused)?;
                listeners.unix.push(socket);
                continue;
            }
            let socket = passed.take_tcp_listener(number).map_err(|error| refused(error.to_string()))?;
            let Some(socket) = socket else { continue };
            check_listens(&socket).map_err(refused)?;
            let address = socket.local_addr().map_err(|error| refused(error.to_string()))?;
            if !address.ip().is_loopback() {
                return Err(refused(format!("{address} can be reached from other computers")));
            }
            listeners.tcp.push(socket);
        }
        Ok(listeners)
    }

    /// Binds what is still missing: passed sockets replace configured ones, port and socket separately. The socket's
    /// file exists until the returned value is dropped.
    ///
    /// prosed runs without a port that is not available, for example because another user's prosed has it: accounts
    /// stay connected, and most programs use the socket. If there is a port, it also runs without a socket that was
    /// not configured and cannot be created, for example in a folder whose path is too long.
    ///
    /// # Errors
    /// A socket that cannot be bound; the port is then closed again.
    pub(crate) fn or_bind(
        mut self,
        port: Option<Port>,
        Socket { path, asked_for }: &Socket,
    ) -> Result<(Self, Option<SocketFile>), ListenError> {
        if let (true, Some(port)) = (self.tcp.is_empty(), port) {
            self.tcp.extend(bind(port));
        }
        if !self.unix.is_empty() {
            return Ok((self, None));
        }
        match SocketFile::bind(path) {
            Ok((socket, file)) => {
                self.unix.push(socket);
                Ok((self, Some(file)))
            }
            Err(error) if !asked_for && !self.tcp.is_empty() && is_the_places_fault(&error) => {
                warn!(?path, %error, "the Unix socket can't be made: only the port is served");
                Ok((self, None))
            }
            Err(source) => Err(ListenError::Unix { path: path.to_owned(), source }),
        }
    }

    /// The TCP address for UIs, if any: the first of our ports.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.tcp.first().and_then(|socket| socket.local_addr().ok())
    }

    /// The path of the Unix socket, if it has one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let address = self.unix.first()?.local_addr().ok()?;
        address.as_pathname().map(Path::to_owned)
    }
}

/// The port, or another if it was not configured.
fn bind(Port { address, asked_for }: Port) -> Option<TcpListener> {
    let error = match TcpListener::bind(address) {
        Ok(listener) => return Some(listener),
        Err(error) => error,
    };
    if !asked_for
        && let Ok(other) = TcpListener::bind(SocketAddr::new(address.ip(), 0))
        && let Ok(instead) = other.local_addr()
    {
        warn!(%address, %error, %instead, "the usual port is not available: another one is used until the next start");
        return Some(other);
    }
    warn!(%address, %error, "the port is not available: only the Unix socket is served");
    None
}

/// Whether no socket can be created there at all. Another daemon, or another file, is no reason to run without one.
fn is_the_places_fault(error: &io::Error) -> bool {
    let somebody_is_there = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists);
    !somebody_is_there && !Untrusted::is(error)
}

fn check_listens(socket: impl std::os::fd::AsFd) -> Result<(), String> {
    match socket_acceptconn(socket) {
        Ok(true) => Ok(()),
        Ok(false) => Err("it does not listen".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The file of a socket that we have bound (0600). It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what another daemon has put there since is not ours to remove.
    identity: (u64, u64),
    _lock: Lock,
}

impl SocketFile {
    /// The file of a dead daemon is replaced; that of a live one, or anything that is not a socket, never.
    fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let length = path.as_os_str().len();
        if length > LONGEST_SOCKET_PATH {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                format!(
                    "a Unix socket's path has at most {LONGEST_SOCKET_PATH} bytes, and this one has {length}; \
                     name a shorter one with --socket"
                ),
            ));
        }
        // Otherwise two daemons that start at the same time might each take the other's for dead.
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        folder::check_way(
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )?;
        let in_use = || io::Error::new(io::ErrorKind::AddrInUse, "another program listens there");
        let lock = Lock::take(Path::new(&lock))?.ok_or_else(in_use)?;
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there"));
            }
            Ok(_) if is_dead(path)? => fs::remove_file(path)?,
            Ok(_) => return Err(in_use()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The umask (077) has kept others out since the bind.
        let socket = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(PRIVATE_FILE))?;
        let bound = fs::symlink_metadata(path)?;
        Ok((socket, Self { path: path.to_owned(), identity: (bound.dev(), bound.ino()), _lock: lock }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether nobody is listening there any more. Does not wait for a listener that is too busy to answer.
fn is_dead(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(connect(&socket, &SocketAddrUnix::new(path)?) == Err(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<(Listeners, Option<SocketFile>), ListenError> {
        Listeners::default().or_bind(None, &asked_for(path))
    }

    fn asked_for(path: &Path) -> Socket {
        Socket { path: path.to_owned(), asked_for: true }
    }

    #[test]
    fn the_socket_is_private_and_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let (listeners, file) = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((listeners.path().as_deref(), listeners.address()), (Some(path.as_path()), None));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_daemons_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        // What `kill -9` leaves: the file without a listener.
        drop(UnixListener::bind(&path).unwrap());
        let _open = open(&path).unwrap();
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_live_daemons_socket_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let _theirs = UnixListener::bind(&path).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().ends_with("another program listens there"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }

    #[test]
    fn a_live_daemon_that_is_too_busy_to_answer_is_not_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let theirs = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&theirs, 0).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let address = SocketAddrUnix::new(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            match connect(&socket, &address) {
                Ok(()) => waiting.push(socket),
                Err(error) => break assert_eq!(error, Errno::AGAIN),
            }
        }
        open(&path).unwrap_err();
        assert!(path.exists());
    }

    #[test]
    fn one_who_is_about_to_bind_keeps_others_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let _starting = Lock::take(&folder.path().join("prosed.sock.lock")).unwrap().unwrap();
        drop(UnixListener::bind(&path).unwrap());
        open(&path).unwrap_err();
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        fs::write(&path, "a letter").unwrap();
        open(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
    }

    #[test]
    fn anothers_socket_at_the_same_place_outlives_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let (_listeners, file) = open(&path).unwrap();
        // Kept, so that the inode is not reused immediately.
        fs::rename(&path, folder.path().join("old")).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_was_passed_takes_the_place_of_what_is_configured() {
        let folder = tempfile::tempdir().unwrap();
        let (passed, configured) = (folder.path().join("passed"), folder.path().join("configured"));
        let listeners = Listeners { tcp: Vec::new(), unix: vec![UnixListener::bind(&passed).unwrap()] };
        let port = Port { address: "127.0.0.1:0".parse().unwrap(), asked_for: true };
        let (listeners, file) = listeners.or_bind(Some(port), &asked_for(&configured)).unwrap();
        assert_eq!(listeners.path(), Some(passed));
        assert!(file.is_none() && !configured.exists());
        assert_ne!(listeners.address().unwrap().port(), 0);
    }

    #[test]
    fn a_taken_port_is_done_without_or_replaced_where_nobody_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        for asked_for in [true, false] {
            let (listeners, file) = Listeners::default()
                .or_bind(Some(Port { address, asked_for }), &self::asked_for(&path))
                .unwrap();
            assert_eq!(listeners.path().as_deref(), Some(path.as_path()));
            match listeners.address() {
                None => assert!(asked_for),
                Some(instead) => assert!(!asked_for && instead.ip() == address.ip() && instead != address),
            }
            drop(file);
        }
    }

    /// The maximum length, and one byte more.
    #[test]
    fn a_socket_that_cannot_be_made_is_done_without_where_nobody_asked_for_it_and_there_is_a_port() {
        let folder = tempfile::tempdir().unwrap();
        let port = Some(Port { address: "127.0.0.1:0".parse().unwrap(), asked_for: true });
        let longest =
            folder.path().join("x".repeat(LONGEST_SOCKET_PATH - folder.path().as_os_str().len() - 1));
        let open = |path: &Path, asked_for, port| {
            Listeners::default().or_bind(port, &Socket { path: path.to_owned(), asked_for })
        };
        let (listeners, _file) = open(&longest, false, port).unwrap();
        assert_eq!(listeners.path(), Some(longest.clone()));

        let mut too_long = longest.into_os_string();
        too_long.push("x");
        let too_long = PathBuf::from(too_long);
        for path in [&too_long, &folder.path().join("nowhere/prosed.sock")] {
            let (listeners, file) = open(path, false, port).unwrap();
            assert!(listeners.unix.is_empty() && file.is_none() && listeners.address().is_some());
            open(path, true, port).unwrap_err();
            open(path, false, None).unwrap_err();
        }
        let error = open(&too_long, true, port).unwrap_err().to_string();
        assert!(
            error.ends_with("at most 107 bytes, and this one has 108; name a shorter one with --socket"),
            "{error}"
        );
    }

    #[test]
    fn a_socket_that_somebody_else_has_is_never_done_without() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prosed.sock");
        let port = Some(Port { address: "127.0.0.1:0".parse().unwrap(), asked_for: false });
        let open = || Listeners::default().or_bind(port, &Socket { path: path.clone(), asked_for: false });
        let theirs = UnixListener::bind(&path).unwrap();
        open().unwrap_err();
        drop(theirs);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a letter").unwrap();
        open().unwrap_err();
        fs::remove_file(&path).unwrap();
        let entries = || fs::read_dir(folder.path()).unwrap().count();
        let before = entries();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.ends_with("can be changed by other users"), "{error}");
        assert_eq!(entries(), before, "nothing is made there");
    }
}
