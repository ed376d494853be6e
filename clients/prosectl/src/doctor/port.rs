//! The port: whether it is ours, whether our token works, and which web pages are allowed.

use std::net::SocketAddr;
use std::time::Duration;

use prosed_protocol::client::{Client, ClientError};
use prosed_protocol::endpoint::Endpoint;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use super::configuration::Configuration;
use super::daemon::Running;
use crate::service::Service;

const CHECK: &str = "port";
const ORIGINS: &str = "origins";
/// The port is on this machine.
const CONNECT: Duration = Duration::from_secs(5);

/// Absent if the daemon isn't running and its configuration can't be read: then its port is unknown.
pub(super) async fn look(
    configuration: &Configuration,
    running: &Running,
    service: Service,
) -> Option<Finding> {
    match (&running.endpoint, configuration.listen) {
        (Some(endpoint), _) if running.answers() => {
            Some(ours(endpoint, configuration, &service.restart(running.pid())).await)
        }
        (_, Some(address)) => Some(free(address).await),
        (_, None) => {
            configuration.no_listen.map(|_| Finding::ok(CHECK, "prosed is configured not to open one."))
        }
    }
}

/// Whether the running daemon has its port, and accepts the token that programs find.
async fn ours(endpoint: &Endpoint, configuration: &Configuration, restart: &str) -> Finding {
    let wanted = configuration.listen.filter(|_| configuration.no_listen != Some(true));
    let Some(url) = &endpoint.url else {
        return match wanted {
            Some(address) if taken(address).await => Finding::warn(
                CHECK,
                format!("Another program has {address}, so prosed opened no port."),
                who_has(address),
            ),
            Some(address) => Finding::warn(
                CHECK,
                format!("prosed could not open {address} when it started, but it is free now."),
                restart,
            ),
            None => Finding::ok(CHECK, "The daemon has none, only its Unix socket."),
        };
    };
    let moved = wanted.filter(|address| address.port() != 0 && *url != format!("ws://{address}/rpc"));
    let moved = moved.map(|address| format!(" Another program had {address}.")).unwrap_or_default();
    let by_port = Endpoint { socket: None, ..endpoint.clone() };
    match Client::connect(&by_port).await {
        Ok(_) => Finding::ok(CHECK, format!("{url} is open to programs that have the token.{moved}")),
        Err(ClientError::Impostor(_) | ClientError::Refused(401)) => Finding::fail(
            CHECK,
            format!(
                "The program that listens at {url} does not know the token in {}.",
                endpoint.token_file.display()
            ),
            restart,
        ),
        // Reported by the check of the token's file.
        Err(ClientError::Token(_)) => {
            Finding::ok(CHECK, format!("{url} was not tried, because there is no token."))
        }
        Err(error) => Finding::fail(CHECK, format!("{url}: {error}."), restart),
    }
}

/// Whether the port is free for a daemon to start. This only tries to connect: binding the port could keep a daemon from
/// starting at that moment.
async fn free(address: SocketAddr) -> Finding {
    if address.port() == 0 {
        return Finding::ok(CHECK, "prosed uses any free port.");
    }
    if taken(address).await {
        return Finding::warn(
            CHECK,
            format!(
                "Another program has {address}: prosed would use another port, or none if `listen` names this one."
            ),
            who_has(address),
        );
    }
    Finding::ok(CHECK, format!("{address} is free."))
}

async fn taken(address: SocketAddr) -> bool {
    matches!(timeout(CONNECT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

fn who_has(address: SocketAddr) -> String {
    format!("ss -tlnp 'sport = :{}'", address.port())
}

/// Which web pages the configuration allows besides our own.
pub(super) fn origins(configuration: &Configuration) -> [Finding; 1] {
    let origins = &configuration.allowed_origins;
    let open = |origin: &&String| {
        let host =
            origin.strip_prefix("http://").map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
        host.is_some_and(|host| !matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
    };
    let found = match origins.iter().find(open) {
        Some(origin) => Finding::warn(
            ORIGINS,
            format!("{origin} is listed without TLS: anybody on the network path can impersonate it."),
            format!("list https://{} in config.toml instead", origin.trim_start_matches("http://")),
        ),
        None if origins.is_empty() => Finding::ok(ORIGINS, "No web pages are allowed except prosed's own."),
        None => Finding::ok(
            ORIGINS,
            format!("With the token, pages of these origins are allowed: {}.", origins.join(", ")),
        ),
    };
    [found]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok, Warn};
    use super::*;

    #[test]
    fn an_origin_that_anybody_can_play_is_warned_of() {
        let judge = |listed: &[&str]| {
            let allowed_origins = listed.iter().map(|&origin| origin.to_owned()).collect();
            let mut configuration = Configuration::unknown(None);
            configuration.allowed_origins = allowed_origins;
            let [found] = origins(&configuration);
            found.result
        };
        assert_eq!(judge(&[]), Ok);
        assert_eq!(judge(&["https://app.example.org", "app://prose", "http://localhost:8080"]), Ok);
        assert_eq!(judge(&["http://[::1]:80", "http://127.0.0.1"]), Ok);
        assert_eq!(judge(&["https://app.example.org", "http://app.example.org"]), Warn);
        assert_eq!(judge(&["http://app.example.org:8080"]), Warn);
        assert_eq!(judge(&["http://localhost.example.org"]), Warn);
    }
}
