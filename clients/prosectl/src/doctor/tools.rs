//! Runs other programs, with timeouts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take that only looks at this computer.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long `prosed` may take to reach a server: DNS, then several addresses.
pub(super) const WITH_NETWORK: Duration = Duration::from_secs(45);

/// The output of a program.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) out: String,
    pub(super) errors: String,
}

/// Why there is no output.
pub(super) enum Silence {
    /// It is not installed.
    Absent,
    /// It can't be run, or took too long.
    Broken(String),
}

/// Runs a program until it ends.
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

/// Runs `prosed`: from `PATH`, else from prosectl's own folder, else from where `cargo install` puts it. With the
/// `settings` of a running daemon, it uses these instead of our environment.
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
    let sibling = std::env::current_exe().ok().map(|us| us.with_file_name("prosed"));
    let installed = std::env::home_dir().map(|home| home.join(".cargo/bin/prosed"));
    sibling.into_iter().chain(installed)
}
