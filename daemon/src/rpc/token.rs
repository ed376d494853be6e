//! The bearer token: what shows that a program may read this user's files.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// 256 random bits: nobody guesses them.
const TOKEN_BYTES: usize = 32;

/// 256 random bits in base64url. No `Debug`: it opens the door.
#[derive(Clone)]
pub(crate) struct Token(Zeroizing<String>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token file can't be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("the token file can be read by others: make it private (chmod 600), or remove it")]
    NotPrivate,
    #[error("the token file holds no token: remove it")]
    Malformed,
    #[error("the system has no randomness to give")]
    NoRandomness,
}

impl Token {
    /// The token of the file, which is made where it is absent, so that a UI that knows the token
    /// can come back after a restart.
    ///
    /// # Errors
    /// When the file can't be used: a token that others can read is none.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        match Self::load(path) {
            Err(TokenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            other => other,
        }
    }

    /// Whether `given` is this token, in a time that doesn't depend on how much of it is right.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// A token from its text.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        (bytes.len() == TOKEN_BYTES).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    fn load(path: &Path) -> Result<Self, TokenError> {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(TokenError::NotPrivate);
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|_| TokenError::Malformed)?;
        Self::from_text(text.trim_end()).ok_or(TokenError::Malformed)
    }

    /// Writes aside and then links into place: a token file is never seen half written, and one that
    /// somebody else has just made is not overwritten.
    fn create(path: &Path) -> Result<Self, TokenError> {
        let token = Self(Zeroizing::new(random_text()?));
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        let written = write_private(&aside, token.0.as_bytes()).and_then(|()| fs::hard_link(&aside, path));
        let _ = fs::remove_file(&aside);
        match written {
            Ok(()) => Ok(token),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(error.into()),
        }
    }
}

/// 256 random bits in base64url: a token, or a capability in a path.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn random_text() -> Result<String, TokenError> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(&mut *bytes).map_err(|_| TokenError::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

/// Writes a file that only this user can read, whatever the umask and an older file say.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let first = Token::load_or_create(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(first.0.len(), 43);
        assert!(!first.0.contains(['+', '/', '=']));
        let again = Token::load_or_create(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(first.is(&again.0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");

        let other = Token::load_or_create(&folder.path().join("other")).unwrap_or_else(|e| panic!("{e}"));
        assert!(!first.is(&other.0), "tokens are random");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        Token::load_or_create(&path).unwrap_or_else(|error| panic!("{error}"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Token::load_or_create(&path), Err(TokenError::NotPrivate)));
    }

    #[test]
    fn an_empty_or_short_file_opens_no_door() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["", "\n", "c2hvcnQ", "not base64url, but of the length of a token"] {
            write_private(&path, content.as_bytes()).unwrap();
            assert!(matches!(Token::load_or_create(&path), Err(TokenError::Malformed)), "{content:?}");
        }
    }

    #[test]
    fn compares_the_whole() {
        let text = random_text().unwrap();
        let token = Token::from_text(&text).unwrap();
        assert!(token.is(&text));
        for wrong in ["", &text[1..], &text[..42], &format!("{text}A"), &text.to_lowercase()] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
    }
}
