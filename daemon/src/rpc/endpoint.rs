//! `endpoint.json`, which tells UIs where to connect, and other files about the daemon in the runtime folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use prosed_protocol::endpoint::{Endpoint, FILE_NAME, SETTINGS_NAME};

use crate::files::{self, Durability, write_atomic};

/// A file in the runtime folder that exists while the doors are open: removed when this is dropped.
pub(crate) struct RunFile {
    path: PathBuf,
    content: Vec<u8>,
}

impl RunFile {
    /// Writes the doors' addresses. Call it once they are bound: another user can take a port before us, and UIs must
    /// not be sent there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn endpoint(folder: &Path, endpoint: &Endpoint) -> io::Result<Self> {
        Self::write(folder, FILE_NAME, serde_json::to_vec(endpoint)?)
    }

    /// Writes the resulting configuration.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn settings(folder: &Path, settings: String) -> io::Result<Self> {
        Self::write(folder, SETTINGS_NAME, settings.into_bytes())
    }

    /// Complete or not at all.
    fn write(folder: &Path, name: &str, content: Vec<u8>) -> io::Result<Self> {
        let path = folder.join(name);
        write_atomic(&path, &content, Durability::Written)?;
        Ok(Self { path, content })
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // What another daemon has written since is not ours to remove.
        if files::read(&self.path).is_ok_and(|content| content.as_ref() == Some(&self.content)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::{Value, json};

    use super::*;

    fn endpoint(pid: u32) -> Endpoint {
        Endpoint {
            url: Some("ws://127.0.0.1:5299/rpc".to_owned()),
            socket: None,
            token_file: "/run/user/1000/prosed/token".into(),
            pid,
            version: "0.1.0".to_owned(),
            api_level: 1,
        }
    }

    #[test]
    fn is_there_while_the_doors_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoint.json");
        let file = RunFile::endpoint(folder.path(), &endpoint(42)).unwrap();
        let found: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            found,
            json!({"url": "ws://127.0.0.1:5299/rpc", "tokenFile": "/run/user/1000/prosed/token",
                   "token_file": "/run/user/1000/prosed/token", "pid": 42,
                   "version": "0.1.0", "apiLevel": 1})
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn another_daemons_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoint.json");
        let ours = RunFile::endpoint(folder.path(), &endpoint(1)).unwrap();
        let theirs = RunFile::endpoint(folder.path(), &endpoint(2)).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
        assert!(!path.exists());
    }
}
