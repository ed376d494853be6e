//! The Unix socket: whether it is open, and if not, why.

use std::path::Path;

use prosed_protocol::endpoint::LONGEST_SOCKET_PATH;

use super::Finding;
use super::configuration::Configuration;
use super::daemon::Running;
use crate::service::Service;

const CHECK: &str = "socket";

pub(super) fn look(configuration: &Configuration, running: &Running, service: Service) -> Option<Finding> {
    let endpoint = running.endpoint.as_ref().filter(|_| running.answers());
    if let Some(open) = endpoint.and_then(|endpoint| endpoint.socket.as_ref()) {
        return Some(Finding::ok(CHECK, format!("{} is open to your own programs.", open.display())));
    }
    let path = configuration.socket.as_deref()?;
    let has_port = endpoint.is_some() || configuration.listen.is_some();
    Some(judge(path, endpoint.is_some(), has_port, service))
}

/// For a socket that is not open. `runs`: the daemon tried to open it, and has only its port.
fn judge(path: &Path, runs: bool, has_port: bool, service: Service) -> Finding {
    let shown = path.display();
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        let message = format!(
            "{shown} can't be created: a Unix socket's path has at most {LONGEST_SOCKET_PATH} bytes, and this one has \
             {length}."
        );
        let fix = "name a shorter one: socket = \"/PATH\" in config.toml, or prosed --socket";
        return if has_port {
            Finding::warn(CHECK, format!("{message} Programs use the port and the token."), fix)
        } else {
            Finding::fail(CHECK, message, fix)
        };
    }
    if runs {
        let message = format!("{shown} could not be created: programs use the port and the token.");
        return Finding::warn(CHECK, message, service.log(20));
    }
    Finding::ok(CHECK, format!("prosed will create {shown}."))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn a_path_that_is_too_long_is_explained() {
        let path = |length: usize| Path::new("/").join("x".repeat(length - 1));
        assert_eq!(judge(&path(LONGEST_SOCKET_PATH), false, true, Service::Systemd).result, Ok);
        assert_eq!(judge(&path(LONGEST_SOCKET_PATH), true, true, Service::Systemd).result, Warn);
        let too_long = path(LONGEST_SOCKET_PATH + 1);
        for (runs, has_port, result) in [(false, true, Warn), (true, true, Warn), (false, false, Fail)] {
            let found = judge(&too_long, runs, has_port, Service::ByHand);
            assert_eq!(found.result, result);
            assert!(found.message.contains("at most 107 bytes, and this one has 108"), "{found:?}");
            assert!(found.fix.unwrap().contains("--socket"));
        }
    }
}
