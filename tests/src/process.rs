//! A child process that never outlives its test.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How much of a log is printed when a test fails.
const LOG_LINES: usize = 120;
/// How often to check whether a child has ended.
const POLL: Duration = Duration::from_millis(10);

/// A child in its own process group, with its output in a file. It is killed when dropped, and by the kernel when the
/// thread that started it ends: even a killed test does not leave it behind.
///
/// So start it from the test's own thread, not from one that may end earlier.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, with its standard output and error appended to `log`.
    ///
    /// `configure` adds arguments, environment and folder, and may replace the standard files.
    pub fn spawn(program: &Path, log: &Path, configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        configure(&mut command);
        let child = command.spawn()?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After `patience`.
    pub async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {patience:?}\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// After `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(patience).await
    }

    /// Sends a signal to the process itself, if it has not ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(self.pid(), signal).expect("our own child can be signalled");
        }
    }

    /// Kills its whole process group (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // The group may have ended with its leader: that is fine.
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        let _status = self.child.wait();
    }

    /// The last lines it wrote.
    pub fn log(&self) -> String {
        format!("--- {} ---\n{}", self.name, tail(&self.log))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// The last lines of a log; in a longer one also the first, which show how it was started.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<_> = text.lines().collect();
    if lines.len() > LOG_LINES {
        lines.splice(LOG_LINES / 4..lines.len() - LOG_LINES * 3 / 4, ["[…]"]);
    }
    format!("{}:\n{}", log.display(), lines.join("\n"))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
