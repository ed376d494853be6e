//! Negative controls: a test of a guard is worth something only if it fails without that guard.
//!
//! prosed itself has no switch that disables a guard. The tests build a second binary, `prosed-unguarded`, from a copy
//! of its sources in which each guard checks an environment variable that lists the disabled ones. The tables here say
//! where the guards are. `tests/run` builds it;
//! [`Setup::without`](crate::daemon::Setup::without) starts it.

mod bounds;
mod copy;
mod doors;
mod keeping;
mod log;
mod login;
mod stream;

use std::path::PathBuf;

use crate::daemon::build_folder;

pub use self::copy::{differs, write};

/// The variable that lists the guards to take out, separated by commas.
pub const VARIABLE: &str = "PROSED_GUARDS_OUT";

/// The name of the binary.
pub const BINARY: &str = "prosed-unguarded";

/// The place of a guard in prosed's sources.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The guard's name. A guard may have several places.
    pub guard: &'static str,
    /// The file, relative to the top of the project.
    pub file: &'static str,
    /// A text that occurs exactly once in the file.
    pub here: &'static str,
    /// What replaces it in the copy. `$here` is that text, `$out` the condition that the guard is taken out.
    pub instead: &'static str,
}

/// The folder of the copy.
pub fn folder() -> PathBuf {
    let target = build_folder().parent().expect("target/<profile>").to_owned();
    target.join("controls")
}

/// All of them.
fn edits() -> impl Iterator<Item = &'static Edit> {
    [bounds::EDITS, doors::EDITS, login::EDITS, stream::EDITS, keeping::EDITS, log::EDITS]
        .into_iter()
        .flatten()
}

/// The guards that can be taken out, each once.
pub fn guards() -> Vec<&'static str> {
    let mut names: Vec<_> = edits().map(|edit| edit.guard).collect();
    names.sort_unstable();
    names.dedup();
    names
}
