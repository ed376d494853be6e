//! Breaks an account when a test asks for it. Not in release builds.

use prosed_session::Command;

/// With `PROSED_PROVOKE` in the environment, a status that `set_presence` gives means something.
pub(crate) async fn provoked(command: &Command) {
    let Command::SetPresence(presence) = command else { return };
    let Some(wish) = presence.status.as_deref() else { return };
    if std::env::var_os("PROSED_PROVOKE").is_none() {
        return;
    }
    match wish.split_once(' ') {
        // As the panics of libraries do, its message tells of what was worked on.
        Some(("panic", secret)) => panic!("provoked with {secret}"),
        Some(("stall", _)) => std::future::pending().await,
        _ => {}
    }
}
