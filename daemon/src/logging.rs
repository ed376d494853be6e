//! What may be logged, whatever the user's filter says.

mod plain;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// The most detailed level of our own targets, and of all others. Any library may see stanzas, secrets or the bodies
/// of requests, and below `warn` some log everything they see, so none may, listed or not.
const CAPS: &str = "warn,prosed=trace";

/// The caps are a separate filter: in the user's, a directive for part of a library would override ours for the
/// whole.
fn caps() -> anyhow::Result<Targets> {
    CAPS.parse().context("the caps on the log")
}

/// Logs what is wanted and allowed, to standard error.
///
/// # Errors
/// Never: only a test can find the caps malformed.
pub(crate) fn subscriber(wanted: EnvFilter) -> anyhow::Result<impl tracing::Subscriber + Send + Sync> {
    let writer = plain::layer(std::io::stderr, std::io::stderr().is_terminal());
    // One filter for both, so that the most detailed level is known in advance: anything below it costs nothing, and
    // sled logs something for each row that it reads.
    Ok(tracing_subscriber::registry().with(writer.with_filter(wanted.and(caps()?))))
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;
    use tracing::{Level, Subscriber as _};

    use super::*;

    #[test]
    fn what_nobody_wants_logged_costs_nothing() {
        let subscriber = subscriber(EnvFilter::new("info,prosed=debug")).unwrap();
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::DEBUG));
    }

    #[test]
    fn libraries_are_capped_and_we_are_not() {
        let caps = caps().unwrap();
        for ours in ["prosed", "prosed::rpc::http", "prosed_session::roster"] {
            assert!(caps.would_enable(ours, &Level::TRACE), "{ours}");
        }
        for theirs in ["jsonrpsee-http", "jsonrpsee-core", "hyper::proto::h1", "zbus::connection", "new", ""]
        {
            assert!(caps.would_enable(theirs, &Level::WARN), "{theirs}");
            assert!(!caps.would_enable(theirs, &Level::INFO), "{theirs}");
        }
    }
}
