//! Clients that are not built here: slixmpp, from the folder where `tests/bench` has installed it.

use std::path::PathBuf;

use prosed_benches::outcome::Outcome;

use crate::process::{Target, command, outcome, try_output};

/// Where `tests/bench` has installed slixmpp; absent if it could not.
pub(crate) fn python() -> Option<PathBuf> {
    std::env::var_os("SLIXMPP_PYTHON").map(PathBuf::from)
}

/// Runs slixmpp through a play; absent if it does not finish.
pub(crate) fn slixmpp(target: &Target) -> Option<Outcome> {
    let python = python().expect("slixmpp is wanted only where it is");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/slixmpp_client.py");
    let mut command = command(&python);
    command.arg(script).arg(target.port.to_string()).arg(&target.account).arg(&target.ca);
    command.args([&target.domain, &target.password, &target.play.name]);
    try_output(&mut command).ok().map(|printed| outcome("slixmpp", &printed))
}
