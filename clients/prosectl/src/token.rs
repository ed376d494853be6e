//! The token for the daemon's port.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prosed_protocol::endpoint::{Endpoint, EndpointError, read_token};
use prosed_protocol::folder;

use crate::failure::Failure;

/// 256 bits.
const TOKEN_BYTES: usize = 32;

/// The token, or a new one, whether or not a daemon is running.
pub(crate) fn token(dir: &Path, new: bool) -> Result<String, Failure> {
    let path = match Endpoint::read(dir) {
        Ok(endpoint) => endpoint.token_file,
        Err(EndpointError::Absent(_)) => match folder::check_own(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::Token(error)),
            _ => dir.join("token"),
        },
        Err(error) => return Err(Failure::NoAnswer(error.to_string())),
    };
    if new {
        renew(&path).map_err(Failure::Token)?;
    }
    match read_token(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::NotRunning(format!("there is no {}", path.display())))
        }
        read => read.map_err(Failure::Token),
    }
}

/// Writes a new file and renames it, so that a reader sees either the old token or the new one.
fn renew(path: &Path) -> io::Result<()> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let mut new_file = path.as_os_str().to_owned();
    // The daemon removes files with this suffix when it starts.
    new_file.push(format!(".{}.new", std::process::id()));
    let new_file = PathBuf::from(new_file);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new_file)?;
    let written = file
        .write_all(URL_SAFE_NO_PAD.encode(random).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new_file, path));
    if written.is_err() {
        fs::remove_file(&new_file)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_token_is_another_and_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(token(dir.path(), false).unwrap_err().exit_code(), 69);
        let first = token(dir.path(), true).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&first).unwrap().len(), TOKEN_BYTES);
        assert_eq!(token(dir.path(), false).unwrap(), first);
        assert_ne!(token(dir.path(), true).unwrap(), first);
        let path = dir.path().join("token");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left new_file it");
    }
}
