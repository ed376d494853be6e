//! A real browser: scripts of `tests/browser`, each of which drives a headless Chromium.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::daemon::binary;

/// How long a script may take. On a busy machine Chromium alone takes seconds to start.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `tests/browser/<script>` in its own home: passes it its task, and returns its output.
///
/// # Panics
/// If it fails, takes too long, or prints something other than JSON; with its standard error.
pub async fn run(script: &str, task: &Value) -> Value {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let tools = binary().ancestors().nth(2).expect("target/debug/prosed").join("tools");
    let home = tempfile::Builder::new().prefix("prosed-browser-").tempdir().expect("a temporary folder");
    // Killed with us: Chromium then ends when its pipe closes.
    let mut node = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "node"])
        .arg(scripts.join(script))
        .env("PROSED_TOOLS", tools)
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node can be started: tests/install");
    let mut stdin = node.stdin.take().expect("a pipe");
    stdin.write_all(task.to_string().as_bytes()).await.expect("the script reads its task");
    drop(stdin);
    let output = timeout(PATIENCE, node.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} takes more than {PATIENCE:?}"));
    let output = output.expect("our own child");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{script} says no JSON ({error}): {}\n{errors}", String::from_utf8_lossy(&output.stdout))
    })
}
