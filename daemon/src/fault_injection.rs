//! Breaks an account on request of a test. Not in release builds.

use jid::BareJid;
use prosed_session::Command;

/// With `PROSED_PROVOKE` in the environment, certain statuses given to `set_presence` have an effect.
pub(crate) async fn provoked(command: &Command) {
    let Command::SetPresence(presence) = command else { return };
    let Some(wish) = presence.status.as_deref() else { return };
    if std::env::var_os("PROSED_PROVOKE").is_none() {
        return;
    }
    match wish.split_once(' ') {
        // Like the panics of libraries, its message includes the data being processed.
        Some(("panic", secret)) => panic!("provoked with {secret}"),
        Some(("stall", _)) => std::future::pending().await,
        _ => {}
    }
}

/// The accounts in `PROSED_PROVOKE_ABORT`, separated by spaces, abort the whole process when they connect, as a stack
/// overflow would.
pub(crate) fn connecting(account: &BareJid) {
    let wish = std::env::var("PROSED_PROVOKE_ABORT").unwrap_or_default();
    if wish.split(' ').any(|wanted| wanted == account.as_str()) {
        std::process::abort();
    }
}
