//! Breaks an account when a test asks for it. Not in release builds.

use jid::BareJid;
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

/// Accounts in `PROSED_PROVOKE_ABORT`, with blanks between them, bring the whole process down when they connect,
/// as a stack that overflows would.
pub(crate) fn connecting(account: &BareJid) {
    let wish = std::env::var("PROSED_PROVOKE_ABORT").unwrap_or_default();
    if wish.split(' ').any(|wanted| wanted == account.as_str()) {
        std::process::abort();
    }
}
