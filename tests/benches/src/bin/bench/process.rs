//! The processes that are measured, and what the kernel reports about them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use prosed_benches::outcome::Outcome;
use prosed_benches::play::{self, Play};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Milliseconds of a tick in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux.
const TICK_MS: f64 = 10.0;

/// One of our programs, from this one's folder.
pub(crate) fn program(name: &str) -> PathBuf {
    std::env::current_exe().expect("our own path").with_file_name(name)
}

/// A command that ends when this process does, even by a kill.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The canned server. Dropping this ends it and removes its folder.
pub(crate) struct Canned {
    child: Child,
    _folder: TempDir,
    _stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    pub(crate) port: u16,
    pub(crate) ca: PathBuf,
}

impl Canned {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("prosed-canned-").tempdir().expect("a folder");
        let mut canned = command(&program("canned"));
        let spawned = canned.arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("the canned server can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let place = read_line(&mut lines);
        let port = place["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        let ca = place["ca"].as_str().expect("a path").into();
        Self { _stdin: child.stdin.take(), _folder: folder, child, lines, port, ca }
    }

    /// Ends it; its CA certificate remains.
    pub(crate) fn stop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }

    /// What was requested on the next connection that ends.
    pub(crate) fn report(&mut self) -> Value {
        read_line(&mut self.lines)
    }

    /// The parameters with which prosed's `login` connects to it.
    pub(crate) fn login(&self, play: &Play) -> Value {
        json!({ "jid": play.jid(), "password": "x", "host": "127.0.0.1", "port": self.port, "tls": "direct" })
    }

    /// The arguments with which a client connects to it.
    pub(crate) fn target(&self, play: &Play) -> Target {
        Target {
            port: self.port,
            ca: self.ca.clone(),
            domain: play::DOMAIN.to_owned(),
            account: play.name.clone(),
            password: "x".to_owned(),
            play: play.clone(),
        }
    }

    /// Runs the floor, or bare tokio-xmpp, through a play.
    pub(crate) fn run(&mut self, client: &str, play: &Play, more: &[&str]) -> Outcome {
        outcome(client, &self.run_lines(client, play, more))
    }

    /// The same; returns all its output.
    pub(crate) fn run_lines(&mut self, client: &str, play: &Play, more: &[&str]) -> String {
        let printed = self.target(play).run(client, more);
        self.report();
        printed
    }
}

/// A server, and an account on it that goes through a play.
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) ca: PathBuf,
    pub(crate) domain: String,
    pub(crate) account: String,
    pub(crate) password: String,
    pub(crate) play: Play,
}

impl Target {
    /// Runs the floor, or bare tokio-xmpp, and returns its output.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn run(&self, client: &str, more: &[&str]) -> String {
        output(&mut self.command(client, more))
    }

    /// The same; absent if it fails.
    pub(crate) fn try_run(&self, client: &str) -> Option<String> {
        try_output(&mut self.command(client, &[])).ok()
    }

    fn command(&self, client: &str, more: &[&str]) -> Command {
        let mut command = command(&program(client));
        command
            .args(["--port", &self.port.to_string(), "--account", &self.account, "--domain", &self.domain])
            .args(["--password", &self.password, "--play", &self.play.name])
            .args(more);
        if client == "floor" {
            command.arg("--ca").arg(&self.ca);
        }
        command.env("SSL_CERT_FILE", &self.ca);
        command
    }
}

/// Parses what a client reports about its run.
///
/// # Panics
/// If it is anything else.
pub(crate) fn outcome(client: &str, printed: &str) -> Outcome {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{client}: {error}: {printed}"))
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_line(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).expect("the canned server speaks");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The whole output of a program.
///
/// # Panics
/// If it fails.
pub(crate) fn output(command: &mut Command) -> String {
    try_output(command).unwrap_or_else(|status| panic!("{command:?}: {status}"))
}

/// The same, or how it failed.
pub(crate) fn try_output(command: &mut Command) -> Result<String, ExitStatus> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it can be started");
    let mut printed = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut printed).expect("text");
    let status = child.wait().expect("our own child");
    if status.success() { Ok(printed) } else { Err(status) }
}

/// CPU time of a process since its start, including threads that have ended, in milliseconds, with the
/// precision of a tick.
pub(crate) fn cpu_ms(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    // The name, in parentheses, may hold anything; user and system time are the 14th and 15th field.
    let fields: Vec<_> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks: f64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks * TICK_MS
}

/// CPU time of the live threads in milliseconds, with microsecond precision, and how often they have gone to sleep
/// (and so been woken).
pub(crate) fn threads(pid: u32) -> (f64, u64) {
    threads_named(pid, "")
}

/// The same for threads whose names have this prefix.
pub(crate) fn threads_named(pid: u32, prefix: &str) -> (f64, u64) {
    let (mut cpu, mut sleeps) = (0.0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if !read("comm").starts_with(prefix) {
            continue;
        }
        let nanoseconds = read("schedstat").split(' ').next().and_then(|field| field.parse::<f64>().ok());
        cpu += nanoseconds.unwrap_or_default() / 1e6;
        let status = read("status");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps += count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default();
    }
    (cpu, sleeps)
}
