//! The real `prosed` binary, in its own folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::process::{Process, tail};
use crate::server::Server;
use crate::{PATIENCE, negative_controls};

/// How often to poll a starting daemon.
const POLL: Duration = Duration::from_millis(10);

/// What the daemon starts with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    ca_pem: Option<PathBuf>,
    config: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    within: Option<PathBuf>,
    no_listen: bool,
    listen: Option<String>,
    descriptors: Option<u32>,
    guards_out: Vec<String>,
}

impl Setup {
    /// With its folders in this one.
    pub fn within(mut self, folder: &Path) -> Self {
        self.within = Some(folder.to_owned());
        self
    }

    /// It trusts the authority behind this server's certificate.
    pub fn trust(self, server: &Server) -> Self {
        self.trust_ca(&server.ca_pem)
    }

    /// It trusts the authority whose certificate is in this PEM file.
    pub fn trust_ca(mut self, ca_pem: &Path) -> Self {
        self.ca_pem = Some(ca_pem.to_owned());
        self
    }

    /// With more lines at the top of its `config.toml`; `[tls]` is ours.
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// With more arguments, after ours.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Without a port: its Unix socket is its only door.
    pub fn no_listen(mut self) -> Self {
        self.no_listen = true;
        self
    }

    /// With its port at this address instead of a free one on 127.0.0.1.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = Some(address.to_owned());
        self
    }

    /// With a variable in its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this limit of open files (`ulimit -n`).
    pub fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// A negative control: without one of its guards ([`negative_controls::guards`]).
    ///
    /// # Panics
    /// If there is no such guard.
    pub fn without(mut self, guard: &str) -> Self {
        assert!(
            negative_controls::guards().contains(&guard),
            "no guard \"{guard}\" in tests/src/negative_controls"
        );
        self.guards_out.push(guard.to_owned());
        self
    }
}

/// A daemon, killed when this is dropped; its folders are removed.
#[derive(Debug)]
pub struct Daemon {
    setup: Setup,
    endpoint: Value,
    // Declared before the folder, which it uses: fields are dropped in order.
    process: Option<Process>,
    folder: TempDir,
}

impl Daemon {
    /// The simplest setup: any free port, no accounts, no trust beyond the system's.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Starts the daemon and waits until its doors are open.
    ///
    /// # Panics
    /// If it ends, or takes too long; its log is printed.
    pub async fn start(setup: Setup) -> Self {
        let mut daemon = Self::launch(setup);
        daemon.ready().await;
        daemon
    }

    /// Starts the daemon without waiting: for starts that are meant to fail.
    pub fn launch(setup: Setup) -> Self {
        let within = setup.within.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("prosed-daemon-").tempdir_in(within);
        let folder = folder.expect("a temporary folder");
        let mut daemon = Self { setup, endpoint: Value::Null, process: None, folder };
        daemon.spawn();
        daemon
    }

    /// Starts a second one on the same folders, without waiting.
    pub fn launch_beside(&self) -> Process {
        self.process()
    }

    /// Starts it again on the same folders, after a SIGTERM if it still runs.
    pub async fn restart(&mut self) {
        if self.process.is_some() {
            self.sigterm().await;
        }
        self.spawn();
        self.ready().await;
    }

    /// The same, with another setup.
    pub async fn restart_with(&mut self, setup: Setup) {
        self.setup = setup;
        self.restart().await;
    }

    /// Kills it (SIGKILL) if it still runs and starts it again on the same folders, without waiting.
    pub fn relaunch(&mut self) {
        self.process = None;
        self.spawn();
    }

    /// The same, with another setup.
    pub fn relaunch_with(&mut self, setup: Setup) {
        self.setup = setup;
        self.relaunch();
    }

    /// The same, and waits until its doors are open; or returns how it ended before that.
    pub async fn relaunch_to_the_end(&mut self) -> Option<ExitStatus> {
        let _ = fs::remove_file(self.runtime_dir().join("prosed.sock"));
        self.relaunch();
        let deadline = Instant::now() + PATIENCE;
        while !self.runtime_dir().join("prosed.sock").exists() {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                return Some(status);
            }
            assert!(Instant::now() < deadline, "prosed is not ready after {PATIENCE:?}");
            sleep(POLL).await;
        }
        self.ready().await;
        None
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub async fn sigterm(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a daemon that runs");
        process.terminate(PATIENCE).await
    }

    /// Kills it (SIGKILL), as if it had run for more than a minute: the next start has no reason to be careful.
    /// [`Daemon::restart`] starts it again.
    pub fn kill(&mut self) {
        self.process = None;
        let _ = fs::remove_file(self.data_dir().join("starts"));
    }

    /// Sends it a signal, for example `STOP` or `CONT`.
    pub fn signal(&mut self, signal: Signal) {
        self.process.as_mut().expect("a daemon that runs").signal(signal);
    }

    /// Waits until it ends on its own.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.as_mut().expect("a daemon that was started").wait(PATIENCE).await
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a daemon that was started").id()
    }

    /// What `endpoint.json` said when the doors had opened.
    pub fn endpoint(&self) -> &Value {
        &self.endpoint
    }

    /// `127.0.0.1:PORT`
    ///
    /// # Panics
    /// If `endpoint.json` has no URL.
    pub fn address(&self) -> String {
        let url = self.endpoint["url"].as_str().expect("endpoint.json has a url");
        let address = url.strip_prefix("ws://").and_then(|rest| rest.strip_suffix("/rpc"));
        address.unwrap_or_else(|| panic!("not a url of ours: {url}")).to_owned()
    }

    /// The Unix socket, if there is one.
    pub fn socket(&self) -> Option<PathBuf> {
        self.endpoint["socket"].as_str().map(PathBuf::from)
    }

    /// The file that holds the token.
    pub fn token_file(&self) -> PathBuf {
        self.endpoint["tokenFile"].as_str().expect("endpoint.json has a tokenFile").into()
    }

    /// The token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.token_file()).expect("the token can be read").trim_end().to_owned()
    }

    /// The first and last lines of its log.
    pub fn log(&self) -> String {
        tail(&self.log_file())
    }

    /// Its whole log since the first start.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("prosed.log")
    }

    /// The folder of what no server can return.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of what a server can send again.
    pub fn cache_dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Where token, `endpoint.json` and socket are.
    pub fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn spawn(&mut self) {
        self.process = Some(self.process());
    }

    fn process(&self) -> Process {
        let home = self.folder.path();
        let mut config = self.setup.config.clone();
        if let Some(ca_pem) = &self.setup.ca_pem {
            config.push_str(&format!("\n[tls]\nextra_ca = {:?}\n", ca_pem.display().to_string()));
        }
        let config_file = home.join("config.toml");
        fs::write(&config_file, config).expect("the folder can be written");

        let guards_out = self.setup.guards_out.join(",");
        let binary = if guards_out.is_empty() { binary() } else { unguarded() };
        let listen = ["--listen", self.setup.listen.as_deref().unwrap_or("127.0.0.1:0")];
        let limit = self.setup.descriptors.map(|most| format!("--nofile={most}:{most}"));
        // It is replaced by the daemon: the process is the same.
        let program = if limit.is_some() { Path::new("prlimit") } else { &binary };
        let spawned = Process::spawn(program, &self.log_file(), |command| {
            if let Some(limit) = &limit {
                command.arg(limit).arg(&binary);
            }
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("PROSED_") {
                    command.env_remove(name);
                }
            }
            // What belongs to the person running the tests: the secret service, systemd's sockets.
            for name in [
                "DBUS_SESSION_BUS_ADDRESS",
                "NOTIFY_SOCKET",
                "LISTEN_FDS",
                "LISTEN_PID",
                "CREDENTIALS_DIRECTORY",
            ] {
                command.env_remove(name);
            }
            command
                .args(if self.setup.no_listen { &["--no-listen"][..] } else { &listen })
                .arg("--config")
                .arg(config_file)
                .arg("--data-dir")
                .arg(self.data_dir())
                .arg("--cache-dir")
                .arg(self.cache_dir())
                .arg("--runtime-dir")
                .arg(self.runtime_dir())
                .args(&self.setup.arguments)
                .env("HOME", home)
                .env("XDG_CONFIG_HOME", home.join("xdg/config"))
                .env("XDG_DATA_HOME", home.join("xdg/data"))
                .env("XDG_CACHE_HOME", home.join("xdg/cache"))
                .env("XDG_RUNTIME_DIR", home.join("xdg/run"))
                .env("RUST_LOG", "info,prosed=debug,prosed_session=debug")
                .env(negative_controls::VARIABLE, guards_out)
                .envs(self.setup.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(home);
        });
        spawned.expect("prosed can be started")
    }

    /// Waits until its doors are open: for an `endpoint.json` of this very process, since a killed one may have left
    /// its own.
    ///
    /// # Panics
    /// If it ends, or takes too long.
    pub async fn ready(&mut self) {
        let file = self.runtime_dir().join("endpoint.json");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Ok(endpoint) = serde_json::from_str::<Value>(&text)
                && endpoint["pid"] == self.id()
            {
                self.endpoint = endpoint;
                return;
            }
            let process = self.process.as_mut().expect("just spawned");
            if let Some(status) = process.ended() {
                panic!("prosed ended while starting: {status}");
            }
            assert!(Instant::now() < deadline, "prosed is not ready after {PATIENCE:?}");
            sleep(POLL).await;
        }
    }
}

/// The binary under test: `PROSED_BIN`, or the one that cargo built next to the running test.
///
/// # Panics
/// If it doesn't exist, or is older than its sources: cargo builds it with `cargo build --workspace`, but not when
/// only the tests of this crate run.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PROSED_BIN") {
        return path.into();
    }
    let binary = build_folder().join("prosed");
    assert!(binary.is_file(), "no {}: run cargo build --workspace", binary.display());
    if let Some(source) = newer_source(&binary) {
        panic!("{} is newer than {}: run cargo build --workspace", source.display(), binary.display());
    }
    binary
}

/// The binary whose guards can be taken out.
///
/// # Panics
/// If it doesn't exist, or is older than its sources: `tests/run` builds it.
fn unguarded() -> PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let builds = "after cargo build --workspace, run target/debug/unguarded";
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
        match negative_controls::differs(project, &negative_controls::folder()) {
            Ok(None) => {}
            Ok(Some(file)) => panic!("{} has changed: {builds}", file.display()),
            Err(error) => panic!("{error}"),
        }
        let binary = build_folder().join(negative_controls::BINARY);
        assert!(binary.is_file() && newer_source(&binary).is_none(), "{}: {builds}", binary.display());
        binary
    });
    BINARY.clone()
}

/// Where cargo puts binaries: `target/<profile>`.
pub fn build_folder() -> PathBuf {
    let running = std::env::current_exe().expect("the path of the running test");
    // Tests are in deps/ below it.
    let folder = running.parent().expect("a file is in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.to_owned()
}

/// A source that changed after the binary was built, from the list that cargo leaves next to it.
fn newer_source(binary: &Path) -> Option<PathBuf> {
    let changed =
        |path: &Path| fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let list = fs::read_to_string(binary.with_extension("d")).ok()?;
    let built = changed(binary);
    list.split_once(": ")?.1.split_whitespace().map(PathBuf::from).find(|source| changed(source) > built)
}
