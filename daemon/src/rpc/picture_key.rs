//! The unguessable part of a picture's address: browsers load pictures by address alone, and cannot send a token.
//!
//! It survives restarts, so that browser caches work, and is replaced with the token: by `prosectl token --new`, or
//! by anybody who writes another token to its file. The new token of each start does not replace it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::token::{self, Token, TokenError, random_text};
use crate::files::{Durability, write_atomic};

/// How often to check whether the token is still the same when addresses are written, which happens by the thousand.
/// When one is read, it is checked each time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Cheap to clone; all clones share one key. No `Debug`.
#[derive(Clone)]
pub(crate) struct PictureKey(Arc<Inner>);

struct Inner {
    file: PathBuf,
    /// Absent in tests.
    token: Option<Token>,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<str>,
    /// The digest of its token.
    token: Option<String>,
    looked_at: Instant,
}

impl PictureKey {
    /// The key of the last start, if its file has one. `kept`: the token is also that of the last start, so that a
    /// different one means that it was replaced.
    ///
    /// # Errors
    /// If the file cannot be written, or the system provides no randomness.
    pub(crate) fn start(file: &Path, token: &Token, kept: bool) -> Result<Self, TokenError> {
        let digest = token.digest();
        let known = read(file).filter(|(_, of)| !kept || Some(of) == digest.as_ref());
        let key = known.map_or_else(random_text, |(key, _)| Ok(key))?;
        let current = Current { key: key.into(), token: digest, looked_at: Instant::now() };
        write(file, &current)?;
        let (file, token) = (file.to_owned(), Some(token.clone()));
        Ok(Self(Arc::new(Inner { file, token, current: Mutex::new(current) })))
    }

    /// Whether this is the key, compared in constant time.
    pub(super) fn is(&self, given: &str) -> bool {
        self.newest(Duration::ZERO).key.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// For new addresses.
    pub(super) fn text(&self) -> Arc<str> {
        Arc::clone(&self.newest(LOOK_EVERY).key)
    }

    fn newest(&self, look_every: Duration) -> MutexGuard<'_, Current> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &self.0.token
            && current.looked_at.elapsed() >= look_every
        {
            current.looked_at = Instant::now();
            let digest = token.digest();
            if digest.is_some() && digest != current.token {
                replace(&self.0.file, &mut current, digest);
            }
        }
        current
    }

    /// One without a file.
    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Self {
        let current = Current { key: text.into(), token: None, looked_at: Instant::now() };
        Self(Arc::new(Inner { file: PathBuf::new(), token: None, current: Mutex::new(current) }))
    }
}

/// The token has changed: earlier addresses no longer work.
fn replace(file: &Path, current: &mut Current, token: Option<String>) {
    let replaced = random_text().and_then(|key| {
        (current.key, current.token) = (key.into(), token);
        write(file, current)
    });
    if let Err(error) = replaced {
        tracing::warn!(%error, "the key to pictures could not be replaced, or is another one after a restart");
    }
}

/// A key, and the digest of its token. One that cannot be read, or that others can read, is ignored.
fn read(file: &Path) -> Option<(String, String)> {
    let text = token::read_private(file).ok()?;
    let (key, token) = text.trim_end().split_once('\n')?;
    Some((token::parse(key)?.to_string(), token.to_owned()))
}

fn write(file: &Path, current: &Current) -> Result<(), TokenError> {
    let text = format!("{}\n{}\n", current.key, current.token.as_deref().unwrap_or_default());
    Ok(write_atomic(file, text.as_bytes(), Durability::Synced)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// A start of the daemon.
        fn start(&self, kept: bool) -> PictureKey {
            let token = Token::start(&self.0.path().join("token"), kept).unwrap_or_else(|e| panic!("{e}"));
            PictureKey::start(&self.file(), &token, kept).unwrap_or_else(|e| panic!("{e}"))
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("picture-key")
        }

        /// As `prosectl token --new` does.
        fn replace_token(&self) {
            let aside = self.0.path().join("aside");
            write_atomic(&aside, random_text().unwrap().as_bytes(), Durability::Written).unwrap();
            fs::rename(aside, self.0.path().join("token")).unwrap();
        }
    }

    #[test]
    fn it_stays_the_same_over_restarts_whatever_becomes_of_the_token() {
        for kept in [true, false] {
            let place = Place::new();
            let text = place.start(kept).text();
            let again = place.start(kept);
            assert!(again.is(&text) && again.text() == text);
            assert!(!again.is("") && !again.is(&text[1..]));
            assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_ne!(Place::new().start(true).text(), Place::new().start(true).text(), "it is random");
    }

    #[test]
    fn it_is_replaced_with_the_token() {
        for kept in [true, false] {
            let place = Place::new();
            let key = place.start(kept);
            let old = key.text();
            place.replace_token();
            assert!(!key.is(&old));
            let new = key.text();
            assert!(new != old && key.is(&new) && place.start(kept).is(&new));
        }
    }

    #[test]
    fn it_is_replaced_with_a_token_that_was_kept_while_nobody_was_there() {
        let place = Place::new();
        let old = place.start(true).text();
        place.replace_token();
        assert!(!place.start(true).is(&old));
        let old = place.start(true).text();
        fs::remove_file(place.0.path().join("token")).unwrap();
        assert!(!place.start(true).is(&old));
    }

    #[test]
    fn a_file_that_is_damaged_or_that_others_can_read_holds_none() {
        let place = Place::new();
        let old = place.start(true).text();
        fs::set_permissions(place.file(), fs::Permissions::from_mode(0o640)).unwrap();
        let new = place.start(true);
        assert!(!new.is(&old));
        let old = new.text();
        for damaged in ["", "short\n", &old[..43]] {
            fs::write(place.file(), damaged).unwrap();
            assert!(!place.start(true).is(&old), "{damaged}");
        }
    }
}
