//! The bearer token: proof that a program may read this user's files.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prosed_protocol::challenge;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::files::{self, Durability, write_atomic};

/// 256 random bits: nobody guesses them.
const TOKEN_BYTES: usize = 32;
/// A token and a line end, and enough more to detect that the file is not a token.
const MAX_FILE_BYTES: u64 = 1024;

/// The current token: 256 random bits in base64url, as the file holds them. All clones share it. No `Debug`.
#[derive(Clone)]
pub(crate) struct Token(Arc<Inner>);

struct Inner {
    file: PathBuf,
    /// The file's content when last read. Absent: no token is valid.
    current: Mutex<Option<Text>>,
}

pub(super) type Text = Zeroizing<String>;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token file can't be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("the token file can be read by others: make it private (chmod 600), or remove it")]
    NotPrivate,
    #[error("the token file holds no token: remove it")]
    Malformed,
    #[error("the system provides no randomness")]
    NoRandomness,
}

impl Token {
    /// The token of this start, and of later ones if it is `kept`: pages cannot read a new one from a file. Otherwise
    /// it is a new one, so that a leaked token is worthless after a restart.
    ///
    /// # Errors
    /// If the file cannot be used: a token that others can read is no token.
    pub(crate) fn start(path: &Path, kept: bool) -> Result<Self, TokenError> {
        let text = match if kept { load(path) } else { make(path) } {
            Err(TokenError::Io(error)) if kept && error.kind() == io::ErrorKind::NotFound => make(path),
            text => text,
        }?;
        Ok(Self(Arc::new(Inner { file: path.to_owned(), current: Mutex::new(Some(text)) })))
    }

    /// Whether `given` is the token, compared in constant time. The file is read each time, so that a replaced token
    /// is worthless at once: a few short system calls per request.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.newest().as_ref().is_some_and(|text| text.as_bytes().ct_eq(given.as_bytes()).into())
    }

    /// Proof for the sender of `nonce` that we, who listen on `address`, know the token. Absent if no token is valid.
    pub(crate) fn answer(&self, address: SocketAddr, nonce: &str) -> Option<String> {
        self.newest().as_ref().map(|text| challenge::answer(text, address, nonce))
    }

    /// An identifier of the token that reveals nothing about it. Absent if no token is valid.
    pub(super) fn digest(&self) -> Option<String> {
        self.newest().as_ref().map(|text| URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
    }

    /// Whether there is a file with this name next to the token's.
    pub(crate) fn folder_has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.0.file.with_file_name(name)).is_ok_and(|found| found.is_file())
    }

    fn newest(&self) -> MutexGuard<'_, Option<Text>> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        follow(&self.0.file, &mut current);
        current
    }

    /// A token without a file.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Some(Self(Arc::new(Inner { file: PathBuf::new(), current: Mutex::new(Some(parse(text)?)) })))
    }
}

/// Reads the file again. If it cannot be read, nobody else has learnt a token from it, and those who know the old one
/// may stay.
fn follow(file: &Path, current: &mut Option<Text>) {
    match load(file) {
        Ok(text) if current.as_ref() == Some(&text) => {}
        Ok(text) => {
            tracing::info!("there is a new token");
            *current = Some(text);
        }
        Err(TokenError::Io(_)) => {}
        Err(error) => {
            if current.take().is_some() {
                tracing::warn!(%error, "nobody can use the port");
            }
        }
    }
}

fn load(path: &Path) -> Result<Text, TokenError> {
    parse(read_private(path)?.trim_end()).ok_or(TokenError::Malformed)
}

/// The content of a file that nobody else can read.
pub(super) fn read_private(path: &Path) -> Result<Text, TokenError> {
    let file = files::open(path)?;
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(TokenError::NotPrivate);
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|_| TokenError::Malformed)?;
    Ok(text)
}

pub(super) fn parse(text: &str) -> Option<Text> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    (bytes.len() == TOKEN_BYTES).then(|| Zeroizing::new(text.to_owned()))
}

/// Writes a new token to the file, whatever it held.
fn make(path: &Path) -> Result<Text, TokenError> {
    let text = Zeroizing::new(random_text()?);
    write_atomic(path, text.as_bytes(), Durability::Synced)?;
    Ok(text)
}

/// 256 random bits in base64url: a token, or a capability in a path.
///
/// # Errors
/// If the system provides no randomness.
pub(crate) fn random_text() -> Result<String, TokenError> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(&mut *bytes).map_err(|_| TokenError::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
        write_atomic(path, content, Durability::Written)
    }

    fn start(path: &Path) -> Token {
        Token::start(path, true).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn is_kept_for_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let first = start(&path);
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 43);
        assert!(!text.contains(['+', '/', '=']));
        assert!(first.is(&text) && start(&path).is(&text));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
        assert!(!start(&folder.path().join("other")).is(&text), "tokens are random");
    }

    #[test]
    fn is_a_new_one_where_no_page_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for left in ["c2hvcnQ", "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG8"] {
            write_private(&path, left.as_bytes()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let token = Token::start(&path, false).unwrap_or_else(|error| panic!("{error}"));
            assert!(!token.is(left) && token.is(&fs::read_to_string(&path).unwrap()));
            assert_eq!(mode(&path), 0o600);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        start(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Token::start(&path, true), Err(TokenError::NotPrivate)));
    }

    #[test]
    fn an_empty_or_short_file_opens_no_door() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["", "\n", "c2hvcnQ", "not base64url, but of the length of a token"] {
            write_private(&path, content.as_bytes()).unwrap();
            assert!(matches!(Token::start(&path, true), Err(TokenError::Malformed)), "{content:?}");
        }
    }

    #[test]
    fn compares_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = start(&path);
        let text = fs::read_to_string(path).unwrap();
        assert!(token.is(&text));
        for wrong in ["", &text[1..], &text[..42], &format!("{text}A"), &text.to_lowercase()] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_that_is_replaced_opens_nothing_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = start(&path);
        let old = fs::read_to_string(&path).unwrap();
        for _ in 0..20 {
            let new = random_text().unwrap();
            let aside = folder.path().join("aside");
            write_private(&aside, new.as_bytes()).unwrap();
            fs::rename(aside, &path).unwrap();
            assert!(!token.is(&old) && token.clone().is(&new));
        }
    }

    #[test]
    fn a_file_that_turns_bad_opens_nothing_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = start(&path);
        let text = fs::read_to_string(&path).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(!token.is(&text), "others may have read it");
        mode(0o600);
        assert!(token.is(&text));
        write_private(&path, b"short").unwrap();
        assert!(!token.is(&text) && !token.is("short") && !token.is(""));
        write_private(&path, text.as_bytes()).unwrap();
        assert!(token.is(&text));
        fs::remove_file(&path).unwrap();
        assert!(token.is(&text), "nobody has learnt it by that");
    }
}
