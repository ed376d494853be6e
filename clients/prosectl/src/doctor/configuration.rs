//! prosed's configuration, as prosed itself reports it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use prosed_protocol::endpoint::SETTINGS_NAME;
use serde::Deserialize;

use super::daemon::Running;
use super::tools::{SOON, Silence, ask_prosed};
use super::{Finding, first_line};
use crate::service::Service;

const CHECK: &str = "configuration";

/// The part of the output of `prosed --check-config` that we need.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Configuration {
    pub(super) listen: Option<SocketAddr>,
    /// Whether it opens no port. Absent if that is unknown.
    pub(super) no_listen: Option<bool>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    /// Where programs look for the daemon; no file can set it.
    #[serde(skip)]
    pub(super) runtime_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) allowed_origins: Vec<String>,
    #[serde(default)]
    secrets: Secrets,
    /// The file with the running daemon's settings.
    #[serde(skip)]
    pub(super) running: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
struct Secrets {
    store: Option<String>,
}

impl Configuration {
    /// One that can't be read: nothing is known but where programs look for the daemon.
    pub(super) fn unknown(runtime_dir: Option<&Path>) -> Self {
        Self { runtime_dir: runtime_dir.map(Path::to_owned), ..Self::default() }
    }

    /// Where secrets are stored.
    pub(super) fn secret_store(&self) -> &str {
        self.secrets.store.as_deref().unwrap_or("auto")
    }
}

/// The running daemon's configuration, which may come from other options and another environment than ours; otherwise that
/// of a daemon started now.
pub(super) async fn look(
    dir: Option<&Path>,
    running: &Running,
    service: Service,
) -> (Option<Configuration>, [Finding; 1]) {
    let settings = dir.map(|dir| dir.join(SETTINGS_NAME)).filter(|path| running.answers() && path.exists());
    let said = match ask_prosed(settings.as_deref(), &["--check-config"], SOON).await {
        Ok(said) => said,
        Err(Silence::Absent) => {
            let message = "There is no prosed in PATH, so its configuration can't be checked.";
            return (None, [Finding::warn(CHECK, message, "cargo install --path daemon")]);
        }
        Err(Silence::Broken(error)) => {
            let message = format!("prosed can't be run: {error}.");
            return (None, [Finding::fail(CHECK, message, "cargo install --path daemon")]);
        }
    };
    if !said.success {
        let message = first_line(&said.errors).to_owned();
        return (None, [Finding::fail(CHECK, message, "prosed --check-config")]);
    }
    match toml::from_str::<Configuration>(&said.out) {
        Ok(found) => {
            // The first line names the file.
            let told = settings.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
            let first = first_line(told.as_deref().unwrap_or(&said.out));
            let finding = match settings.as_deref().and_then(|settings| changed_since(first, settings)) {
                Some(file) => {
                    let message = format!("{file} has changed since prosed started.");
                    Finding::warn(CHECK, message, service.restart(running.pid()))
                }
                None => {
                    let message = first.trim_start_matches(['#', ' ']).replace(". It comes to:", ".");
                    Finding::ok(CHECK, message)
                }
            };
            let runtime_dir = dir.map(Path::to_owned);
            let found = Configuration { running: settings, runtime_dir, ..found };
            (Some(found), [finding])
        }
        Err(_) => {
            let message = "prosed has another version than prosectl, and its configuration can't be read.";
            (None, [Finding::warn(CHECK, message, "cargo install --path daemon")])
        }
    }
}

/// The running daemon's configuration file, by the first line of its `settings`, if the file has changed since
/// those were written, at the start.
fn changed_since<'a>(first: &'a str, settings: &Path) -> Option<&'a str> {
    let file = first.strip_prefix("# The configuration is fine (")?.strip_suffix("). It comes to:")?;
    if file == "no file" {
        return None;
    }
    let modified = |path: &Path| path.metadata().and_then(|of| of.modified()).ok();
    let (file, changed) = match file.strip_prefix("no file at ") {
        Some(absent) => (absent, Path::new(absent).exists()),
        // Gone counts as changed, too.
        None => (file, modified(Path::new(file)).is_none_or(|at| Some(at) > modified(settings))),
    };
    changed.then_some(file)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_that_is_newer_than_the_start_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, file) = (folder.path().join("settings.toml"), folder.path().join("config.toml"));
        let named = file.to_str().unwrap();
        let with_file = format!("# The configuration is fine ({named}). It comes to:");
        let without = format!("# The configuration is fine (no file at {named}). It comes to:");
        fs::write(&settings, "").unwrap();
        assert_eq!(changed_since(&without, &settings), None);
        assert_eq!(changed_since(&with_file, &settings), Some(named), "it is gone");

        let written = File::create(&file).unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(changed_since(&without, &settings), Some(named), "it is new");
        written.set_modified(SystemTime::now() - minute).unwrap();
        assert_eq!(changed_since(&with_file, &settings), None);
        written.set_modified(SystemTime::now() + minute).unwrap();
        assert_eq!(changed_since(&with_file, &settings), Some(named));
        // What an older prosed says names no place.
        assert_eq!(changed_since("# The configuration is fine (no file). It comes to:", &settings), None);
    }
}
