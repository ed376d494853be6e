//! The process as a well-behaved service: private by default, ready when it says so, stopped when asked, discreet
//! when it fails.

use std::io;
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::files;

/// Makes what this process writes private (umask 077) and keeps its memory, which holds secrets, out of core dumps
/// and debuggers. Called first in `main`.
///
/// # Errors
/// The kernel refused to drop a privilege.
pub(crate) fn harden() -> io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the limit of open files as far as allowed, and returns it: each session, each UI and each file of the cache
/// needs one.
pub(crate) fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let granted = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    granted.unwrap_or(u64::MAX)
}

/// Logs each panic: its location, and its message if that is a constant in the program. A formatted message may
/// contain anything: a stanza, a secret.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic_text(panic);
        tracing::error!(place, thread = thread.name().unwrap_or_default(), said, "a panic: this is a bug");
    }));
}

fn panic_text(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(withheld)")
}

/// Creates the folders in the configuration, private to us (0700).
///
/// # Errors
/// Those of the file system; the message names the folder.
pub(crate) fn make_folders(config: &Config) -> anyhow::Result<()> {
    for folder in [&config.data_dir, &config.cache_dir, &config.runtime_dir] {
        files::private_folder(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// Tells systemd, if it started us, that we accept connections.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells systemd, if it started us, that we are stopping.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds systemd's watchdog, if there is one.
pub(crate) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How long systemd waits for [`alive`] before it restarts us; absent: no watchdog (sd_watchdog_enabled(3)).
pub(crate) fn watchdog() -> Option<Duration> {
    let mut microseconds = 0;
    let watched = sd_notify::watchdog_enabled(false, &mut microseconds) && microseconds > 0;
    watched.then(|| Duration::from_micros(microseconds))
}

fn notify(states: &[NotifyState<'_>]) {
    // The variable stays in the environment: removing it is unsound with other threads running.
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "systemd can't be notified");
    }
}

/// The signals that ask us to stop. Once created, they no longer kill us.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Our terminal is gone.
    hangup: Signal,
}

impl StopSignals {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal, and names it. A second one means: now.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, Signal as Number, dumpable_behavior, getrlimit, kill_process};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use std::time::Duration;

    /// Hardening cannot be undone, and a test's environment is shared: hence a separate process, which is this same
    /// test with `NOTIFY_SOCKET` set.
    #[test]
    fn a_process_of_its_own_is_hardened_and_tells_systemd() {
        if std::env::var_os("PROSED_SERVICE_CHILD").is_some() {
            return child();
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "service::tests::a_process_of_its_own_is_hardened_and_tells_systemd"])
            .env("PROSED_SERVICE_CHILD", home.path())
            .env("NOTIFY_SOCKET", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let told = || {
            let mut line = [0; 256];
            let length = socket.recv(&mut line).unwrap();
            String::from_utf8(line[..length].to_vec()).unwrap()
        };
        assert_eq!(told(), "READY=1\nSTATUS=open\n");
        let pid = Pid::from_child(&child);
        for (number, name) in [(Number::TERM, "SIGTERM"), (Number::INT, "SIGINT"), (Number::HUP, "SIGHUP")] {
            kill_process(pid, number).unwrap();
            assert_eq!(told(), format!("READY=1\nSTATUS={name}\n"));
        }
        assert_eq!(told(), "STOPPING=1\n");
        assert!(child.wait().unwrap().success());
    }

    fn child() {
        harden().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        let home = std::env::var_os("PROSED_SERVICE_CHILD").unwrap();
        let file = std::path::Path::new(&home).join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut signals = StopSignals::new().unwrap();
            ready("open");
            for _ in 0..3 {
                ready(signals.next().await);
            }
            stopping();
        });
    }
}
