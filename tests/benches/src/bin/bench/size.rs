//! What is installed: the binary, and how many crates are in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use prosed_tests::daemon::binary;

use crate::figures::Row;
use crate::process::output;

/// Two rows.
pub(crate) fn rows() -> Vec<Row> {
    let bytes = fs::metadata(binary()).map(|data| data.len()).unwrap_or_default();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the project's top");
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "-p", "prosed", "-e", "normal", "--prefix", "none", "--no-dedupe"]).current_dir(top);
    let tree = output(&mut cargo);
    let crates: std::collections::BTreeSet<_> =
        tree.lines().map(|line| line.split(" (").next().unwrap_or(line)).collect();
    let row = |what: &str, result: f64, unit| Row {
        goal: "size",
        what: what.to_owned(),
        figures: String::new(),
        result: [result].into_iter().collect(),
        unit,
        at_most: None,
    };
    vec![
        row("the binary, symbols included", bytes as f64 / 1024.0 / 1024.0, "MiB"),
        row("crates in it", crates.len() as f64, "crates"),
    ]
}
