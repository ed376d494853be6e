//! Whether the bench works, not how fast anything is.

use std::process::Command;

#[test]
fn every_goal_gets_its_row() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--smoke")
        .env_remove("SLIXMPP_PYTHON")
        .output()
        .expect("it can be started");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{said}");
    // S5 needs a real server with a thousand contacts, S10 four numbers of contacts.
    for goal in ["S1", "S2", "S3", "S4", "S6", "S7", "S8", "S9", "memory", "floods", "size"] {
        assert!(printed.contains(&format!("\n| {goal} | ")), "no row for {goal}:\n{printed}");
    }
}
