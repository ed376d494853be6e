//! Whether the clock is right: certificates are checked against it.
//!
//! No server tells the time before a login, so this asks the system, or else relies on certificates that are valid by
//! this clock.

use super::Finding;
use super::servers::Certificate;
use super::tools::{SOON, ask};

const CHECK: &str = "clock";
const SYNCHRONISE: &str = "timedatectl set-ntp true";

pub(super) async fn look(certificates: &[Certificate]) -> Finding {
    let asked = ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"], SOON).await;
    let said = asked.ok().filter(|said| said.success);
    judge(said.as_ref().map(|said| said.out.trim()), !certificates.is_empty())
}

/// `synchronised`: what `timedatectl` says. `proven`: the clock is within the validity of a certificate.
fn judge(synchronised: Option<&str>, proven: bool) -> Finding {
    match (synchronised, proven) {
        (Some("yes"), _) => Finding::ok(CHECK, "It is synchronised."),
        (Some("no"), _) => Finding::warn(
            CHECK,
            "It is not synchronised, and certificates are checked against it.",
            SYNCHRONISE,
        ),
        (_, true) => {
            Finding::ok(CHECK, "It fits the certificates of your servers; nothing else is known about it.")
        }
        (_, false) => Finding::ok(
            CHECK,
            "Nothing is known about it: no timedatectl, and no server's certificate to compare it with.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok, Warn};
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_is_warned_of() {
        assert_eq!(judge(Some("yes"), false).result, Ok);
        assert_eq!(judge(Some("no"), true).result, Warn);
        assert_eq!(judge(None, true).result, Ok);
        assert_eq!(judge(None, false).result, Ok, "before the first login");
    }
}
