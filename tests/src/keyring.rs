//! A session bus for one test, with a real keyring on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::PATIENCE;
use crate::process::Process;

/// How often to poll a starting keyring.
const POLL: Duration = Duration::from_millis(20);

/// gnome-keyring on a private `dbus-daemon`, unlocked. There is no activation: a keyring that is gone stays away.
#[derive(Debug)]
pub struct Keyring {
    // Declared before the bus and the folder, which it uses: fields are dropped in order.
    keyring: Option<Process>,
    bus: Option<Process>,
    folder: TempDir,
}

impl Keyring {
    /// Starts bus and keyring and waits until secrets can be stored.
    ///
    /// # Panics
    /// If they cannot be started; the message says what to install.
    pub async fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("prosed-keyring-").tempdir().expect("a temporary folder");
        let mut keyring = Self { keyring: None, bus: None, folder };
        keyring.start_bus();
        keyring.start_keyring().await;
        keyring
    }

    /// The address of this bus for other programs: the value of `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    /// The secret that prosed stores for this account, as found by `secret-tool`.
    pub fn lookup(&self, jid: &str) -> Option<String> {
        let found = self.run("secret-tool", &["lookup", "application", "prosed", "account", jid]);
        found.status.success().then(|| String::from_utf8_lossy(&found.stdout).into_owned())
    }

    /// Locks the keyring: only its owner could open it again.
    pub fn lock(&self) {
        let secrets = "/org/freedesktop/secrets";
        let login = format!("array:objpath:{secrets}/collection/login");
        self.send("org.freedesktop.secrets", secrets, "org.freedesktop.Secret.Service.Lock", &login);
    }

    /// Sends the keyring a signal: `STOP` makes it hang.
    pub fn signal(&mut self, signal: Signal) {
        self.keyring.as_mut().expect("a keyring that runs").signal(signal);
    }

    /// Kills the keyring; the bus stays.
    pub fn kill(&mut self) {
        self.keyring = None;
    }

    /// Starts a keyring again, with what it has stored, unlocked.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_keyring().await;
    }

    /// Kills the bus as well.
    pub fn kill_bus(&mut self) {
        self.kill();
        self.bus = None;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_bus(&mut self) {
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN' \
             'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\
             <busconfig><type>session</type><listen>{}</listen><policy context='default'>\
             <allow send_destination='*'/><allow receive_sender='*'/><allow own='*'/></policy></busconfig>",
            self.address()
        );
        let file = self.path("bus.conf");
        fs::write(&file, config).expect("the folder can be written");
        let log = self.path("bus.log");
        let bus = Process::spawn(Path::new("/usr/bin/dbus-daemon"), &log, |command| {
            command.args(["--nofork", "--nopidfile", "--config-file"]).arg(file);
        });
        self.bus = Some(bus.expect("dbus-daemon can be started: run tests/install first"));
    }

    async fn start_keyring(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.path("bus").exists() {
            assert!(Instant::now() < deadline, "no bus after {PATIENCE:?}");
            sleep(POLL).await;
        }
        fs::write(self.path("password"), "the keyring's own").expect("the folder can be written");
        let (log, folder, address) =
            (self.path("keyring.log"), self.folder.path().to_owned(), self.address());
        let keyring = Process::spawn(Path::new("/bin/sh"), &log, |command| {
            let keyring = "exec gnome-keyring-daemon --foreground --unlock --components=secrets <password";
            command.args(["-c", keyring]).current_dir(&folder);
            environment(command, &folder, &address);
        });
        self.keyring = Some(keyring.expect("a shell"));
        let owner = ["org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner"];
        while !self.send(owner[0], owner[1], owner[2], "string:org.freedesktop.secrets").contains("true") {
            let ended = self.keyring.as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "the keyring ended ({ended:?}): run tests/install first");
            assert!(Instant::now() < deadline, "no keyring after {PATIENCE:?}");
            sleep(POLL).await;
        }
    }

    /// Calls a method on the bus; returns the reply as text.
    fn send(&self, destination: &str, path: &str, method: &str, argument: &str) -> String {
        let destination = format!("--dest={destination}");
        let arguments = ["--session", "--print-reply", &destination, path, method, argument];
        String::from_utf8_lossy(&self.run("dbus-send", &arguments).stdout).into_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        environment(&mut command, self.folder.path(), &self.address());
        let run = command.args(arguments).output();
        run.unwrap_or_else(|error| panic!("{program}: {error}; run tests/install first"))
    }
}

fn environment(command: &mut Command, folder: &Path, address: &str) {
    command
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("DBUS_SESSION_BUS_ADDRESS", address);
}
