//! Programs that stand in for those of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

/// A folder of programs that come before all others.
pub(crate) struct Programs(TempDir);

impl Programs {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        Self(folder)
    }

    /// Where the scripts may leave notes.
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Puts a shell script in a program's place.
    pub(crate) fn put(&self, name: &str, script: &str) {
        let path = self.folder().join("bin").join(name);
        // Aside, since a program that runs can't be written.
        let aside = self.folder().join("aside");
        fs::write(&aside, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(aside, path).unwrap();
    }

    /// Takes it away, so that there is none at all.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder().join("bin").join(name)).unwrap();
    }

    /// A `PATH` that leads to these first.
    pub(crate) fn path(&self) -> String {
        format!("{}:{}", self.only(), std::env::var("PATH").unwrap())
    }

    /// A `PATH` that leads to these and nowhere else.
    pub(crate) fn only(&self) -> String {
        self.folder().join("bin").display().to_string()
    }
}
