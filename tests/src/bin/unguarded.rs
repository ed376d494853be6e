//! Builds `prosed-unguarded`, the binary whose guards the negative controls take out.

use std::path::Path;
use std::process::{Command, ExitCode};

use prosed_tests::daemon::build_folder;
use prosed_tests::negative_controls;

fn main() -> ExitCode {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let profile = build_folder();
    let copy = negative_controls::folder();
    if let Err(error) = negative_controls::write(project, &copy) {
        eprintln!("{}: {error}", copy.display());
        return ExitCode::FAILURE;
    }
    // The lock file is prosed's own, and everything in it is available: prosed itself was just built.
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--workspace", "--locked", "--offline"]).current_dir(&copy);
    cargo.env("CARGO_TARGET_DIR", profile.parent().expect("target/<profile>"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be started");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
