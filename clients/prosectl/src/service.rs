//! How prosed is started, restarted and watched on this computer: by the user's systemd, or by hand.

use std::path::Path;

/// What starts prosed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The user's own systemd runs: `systemctl --user` works.
    Systemd,
    /// There is none, as in a container or over `su`.
    ByHand,
}

impl Service {
    /// By the socket through which `systemctl --user` reaches the user's systemd.
    pub(crate) fn find() -> Self {
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default();
        if Path::new(&runtime_dir).is_absolute() && Path::new(&runtime_dir).join("systemd/private").exists() {
            Self::Systemd
        } else {
            Self::ByHand
        }
    }

    /// A command that starts it.
    pub(crate) fn start(self) -> String {
        match self {
            Self::Systemd => "systemctl --user start prosed",
            Self::ByHand => "prosed &",
        }
        .to_owned()
    }

    /// A command that restarts it. `pid` is its process, if known.
    pub(crate) fn restart(self, pid: Option<u32>) -> String {
        match (self, pid) {
            (Self::Systemd, _) => "systemctl --user restart prosed".to_owned(),
            (Self::ByHand, Some(pid)) => format!("kill {pid}; prosed &"),
            (Self::ByHand, None) => "stop prosed, then start it again: prosed &".to_owned(),
        }
    }

    /// Where to find the last `lines` of its log.
    pub(crate) fn log(self, lines: u32) -> String {
        match self {
            Self::Systemd => format!("journalctl --user -u prosed -n {lines}"),
            Self::ByHand => "read what prosed has printed".to_owned(),
        }
    }

    /// For an error message.
    pub(crate) fn start_in_words(self) -> String {
        match self {
            Self::Systemd => format!("start it with `{}`, or run `prosed`", self.start()),
            Self::ByHand => "start it by running `prosed`, in another terminal for example".to_owned(),
        }
    }

    /// For an error message.
    pub(crate) fn restart_in_words(self) -> String {
        match self {
            Self::Systemd => format!("restart it with `{}`, or run `prosed`", self.restart(None)),
            Self::ByHand => "stop it, and run `prosed` again".to_owned(),
        }
    }
}
