//! Other programs, asked with patience.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take to say how things stand on this computer.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long `prosed` may take to reach a server: DNS, then a few addresses.
pub(super) const WITH_NETWORK: Duration = Duration::from_secs(45);

/// What a program said.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) out: String,
    pub(super) errors: String,
}

/// Why a program said nothing.
pub(super) enum Silence {
    /// It is not there.
    Absent,
    /// It can't be run, or takes too long.
    Broken(String),
}

/// Runs a program to its end.
pub(super) async fn ask(program: &str, arguments: &[&str], patience: Duration) -> Result<Said, Silence> {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, patience).await
}

async fn run(mut command: Command, patience: Duration) -> Result<Said, Silence> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(patience, command.output()).await {
        Ok(Ok(output)) => Ok(Said {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(Silence::Absent),
        Ok(Err(error)) => Err(Silence::Broken(error.to_string())),
        Err(_) => Err(Silence::Broken(format!("no answer within {} s", patience.as_secs()))),
    }
}

/// Runs the daemon's program: the one in `PATH`, else the one beside us, else where `cargo install` puts it.
/// With `settings`, those of a running daemon, it goes by them and not by our environment.
pub(super) async fn ask_prosed(
    settings: Option<&Path>,
    arguments: &[&str],
    patience: Duration,
) -> Result<Said, Silence> {
    let with = |program: &Path| {
        let mut command = Command::new(program);
        if let Some(settings) = settings {
            let ours = std::env::vars_os().map(|(name, _)| name);
            for name in ours.filter(|name| name.to_string_lossy().starts_with("PROSED_")) {
                command.env_remove(name);
            }
            command.arg("--config").arg(settings);
        }
        command.args(arguments);
        command
    };
    let mut answer = run(with(Path::new("prosed")), patience).await;
    for place in elsewhere() {
        if !matches!(answer, Err(Silence::Absent)) {
            break;
        }
        answer = run(with(&place), patience).await;
    }
    answer
}

fn elsewhere() -> impl Iterator<Item = PathBuf> {
    let beside = std::env::current_exe().ok().map(|us| us.with_file_name("prosed"));
    let installed = std::env::home_dir().map(|home| home.join(".cargo/bin/prosed"));
    beside.into_iter().chain(installed)
}
