//! Negative controls: a test of a guard is worth something if it fails where the guard is out.
//!
//! prosed itself has no switch that opens anything. The tests build a second binary,
//! `prosed-unguarded`, from a copy of its sources in which each guard asks one variable of the
//! environment whether it is out. The tables here say where the guards stand. `tests/run` builds it;
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

/// The variable that names the guards that are out, with commas between them.
pub const VARIABLE: &str = "PROSED_GUARDS_OUT";

/// The name of the binary.
pub const BINARY: &str = "prosed-unguarded";

/// A place in prosed's sources where a guard stands.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The guard. It may stand in several places.
    pub guard: &'static str,
    /// The file, from the top of the project.
    pub file: &'static str,
    /// A text that is in the file once, as it is there.
    pub here: &'static str,
    /// What stands in its place in the copy: `$here` is that text, `$out` a condition: the guard is
    /// out.
    pub instead: &'static str,
}

/// Where the copy is.
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
