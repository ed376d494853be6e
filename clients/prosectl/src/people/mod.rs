//! The daemon's answers as text for people.

pub(crate) mod accounts;
pub(crate) mod contacts;
pub(crate) mod events;

use anstyle::Style;
use prosed_protocol::api::Version;
use prosed_protocol::visible::plain;
use prosed_protocol::{Availability, Warning};
use serde::Serialize;

use crate::table::{BAD, Cell, FAINT, GOOD, Look, MIDDLING};

pub(crate) fn version(daemon: &Version, _: Look) -> String {
    line(&format!("prosectl {}", env!("CARGO_PKG_VERSION")))
        + &line(&format!("{} {} (API {})", daemon.name, daemon.version, daemon.api_level))
}

/// A line of its own, whatever stands in it.
pub(crate) fn line(text: &str) -> String {
    plain(text) + "\n"
}

fn availability(availability: Availability) -> Cell {
    let style = match availability {
        Availability::Available | Availability::Chat => GOOD,
        Availability::Away | Availability::Xa => MIDDLING,
        Availability::Dnd => BAD,
        Availability::Unavailable => FAINT,
    };
    Cell::styled(word(&availability), style)
}

fn warnings(warnings: &[Warning]) -> String {
    let words: Vec<_> = warnings.iter().map(word).collect();
    if words.is_empty() { String::new() } else { format!(" [beware: {}]", words.join(", ")) }
}

/// A JID, in red where it or its name was made to deceive.
fn jid(jid: &str, signs: &[Warning]) -> Cell {
    let style = if signs.is_empty() { Style::new() } else { BAD };
    Cell::styled(format!("{jid}{}", warnings(signs)), style)
}

/// An enumeration's word as it is on the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
