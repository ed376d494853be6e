//! Renders the daemon's answers as text for the terminal.

pub(crate) mod accounts;
pub(crate) mod contacts;
pub(crate) mod events;

use anstyle::Style;
use chrono::{DateTime, Local};
use prosed_protocol::api::Version;
use prosed_protocol::visible::plain;
use prosed_protocol::{Availability, Warning};
use serde::{Deserialize, Serialize};

use crate::table::{BAD, Cell, FAINT, GOOD, Look, MIDDLING};

/// The result of `prosectl version`.
#[derive(Deserialize)]
pub(crate) struct Versions {
    prosectl: String,
    prosed: Option<Version>,
}

pub(crate) fn version(versions: &Versions, _: Look) -> String {
    let daemon = match &versions.prosed {
        Some(daemon) => format!("{} {} (API {})", daemon.name, daemon.version, daemon.api_level),
        None => "prosed is not running".to_owned(),
    };
    line(&format!("prosectl {}", versions.prosectl)) + &line(&daemon)
}

/// One line, whatever characters `text` contains.
pub(crate) fn line(text: &str) -> String {
    plain(text) + "\n"
}

/// A time of the API, in local time.
fn time(text: &str) -> String {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

fn availability(availability: Availability) -> Cell {
    let style = match availability {
        Availability::Available | Availability::Chat => GOOD,
        Availability::Away | Availability::Xa => MIDDLING,
        Availability::Dnd => BAD,
        Availability::Unavailable | Availability::Unknown => FAINT,
    };
    Cell::styled(word(&availability), style)
}

fn warnings(warnings: &[Warning]) -> String {
    let words: Vec<_> = warnings.iter().map(word).collect();
    if words.is_empty() { String::new() } else { format!(" [beware: {}]", words.join(", ")) }
}

/// A JID, in red if it or its name may be meant to deceive.
fn jid(jid: &str, signs: &[Warning]) -> Cell {
    let style = if signs.is_empty() { Style::new() } else { BAD };
    Cell::styled(format!("{jid}{}", warnings(signs)), style)
}

/// An enumeration's value as in the API.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
