//! Events as sentences.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether sentences have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// For files and pipes.
    Plain,
    /// For terminals that understand ANSI sequences.
    Colour,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_terminal(is_terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !unwanted { Self::Colour } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// One sentence for each part of an event; `known` is updated.
pub(crate) fn tell(event: &Value, known: &mut BTreeMap<String, Value>, style: Style) -> Vec<String> {
    let mut sentences = Vec::new();
    match word(&event["event"]) {
        "contactChanged" => {
            for contact in list(&event["contacts"]) {
                let before =
                    known.insert(word(&contact["jid"]).to_owned(), contact.clone()).unwrap_or_default();
                let name = style.paint("1", &clean(word(&contact["name"])));
                let changes = changes(&before, contact, style);
                sentences.push(format!("{name} {}", changes.join("; ")));
            }
            for jid in list(&event["removed"]) {
                known.remove(word(jid));
                sentences.push(format!("{} is no longer a contact", clean(word(jid))));
            }
        }
        "accountChanged" => {
            let account = style.paint("1", &clean(word(&event["account"])));
            sentences.push(format!("{account} (this account) is {}", word(&event["info"]["state"])));
        }
        "rosterLoaded" => sentences.push(format!(
            "The server's roster is loaded; {} contacts differ from what was cached",
            event["changed"].as_u64().unwrap_or_default()
        )),
        other => sentences.push(format!("{}: {event}", style.paint("1", other))),
    }
    let (time, seq) = (word(&event["time"]), event["seq"].as_u64().unwrap_or_default());
    // 2023-03-28T12:34:56.789Z: the time of day is enough for a viewer.
    let time = time.get(11..19).unwrap_or(time);
    let head = style.paint("2", &format!("{time} #{seq:<4}"));
    sentences.into_iter().map(|sentence| format!("{head} {sentence}")).collect()
}

/// What is different, in words; never empty.
fn changes(before: &Value, now: &Value, style: Style) -> Vec<String> {
    let differs = |field: &str| before.get(field) != now.get(field);
    let mut changes = Vec::new();
    if differs("availability") || differs("status") {
        // As UIs put it.
        let (colour, availability) = match word(&now["availability"]) {
            "available" => ("32", "available"),
            "chat" => ("32", "free to chat"),
            "away" => ("33", "away"),
            "xa" => ("33", "extended away"),
            "dnd" => ("31", "busy"),
            "unavailable" => ("2", "offline"),
            other => ("33", other),
        };
        let status = now["status"].as_str().map(|status| format!(" ({})", clean(status))).unwrap_or_default();
        changes.push(format!("is {}{status}", style.paint(colour, availability)));
    }
    if differs("avatar") {
        changes.push(match now.get("avatar") {
            None => "has no picture any more".to_owned(),
            Some(avatar) => {
                let id = word(&avatar["id"]);
                let (width, height) = (&avatar["width"], &avatar["height"]);
                style.paint(
                    "36",
                    &format!("has a new picture, {width}×{height}, {}", id.get(..8).unwrap_or(id)),
                )
            }
        });
    }
    if differs("profile") {
        let fields = now["profile"].as_object().into_iter().flatten();
        let words: Vec<_> = fields
            .filter_map(|(key, value)| Some(format!("{} {}", spaced(key), clean(value.as_str()?))))
            .collect();
        changes.push(style.paint("35", &format!("has a new profile: {}", words.join(", "))));
    }
    if differs("subscription") {
        changes.push(match word(&now["subscription"]) {
            "both" => "and you see each other's presence".to_owned(),
            "to" => "lets you see their presence".to_owned(),
            "from" => "sees your presence".to_owned(),
            _ => "and you don't see each other's presence".to_owned(),
        });
    }
    if changes.is_empty() && differs("resources") {
        let clients: Vec<_> = list(&now["resources"]).iter().map(client).collect();
        changes.push(format!(
            "is on {}",
            if clients.is_empty() { "nothing".to_owned() } else { clients.join(" and ") }
        ));
    }
    if changes.is_empty() {
        let fields: Vec<_> = now.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let changed: Vec<_> = fields.into_iter().filter(|field| differs(field)).collect();
        changes.push(format!("has changed: {}", changed.join(", ")));
    }
    changes
}

/// A resource by its software, if known.
fn client(resource: &Value) -> String {
    match (resource["client"]["name"].as_str(), resource["client"]["type"].as_str()) {
        (Some(name), Some(kind)) => format!("{} ({})", clean(name), clean(kind)),
        _ => clean(word(&resource["resource"])),
    }
}

/// `fullName` as people write it.
fn spaced(key: &str) -> String {
    let space = |letter: char| letter.is_ascii_uppercase().then_some(' ');
    key.chars().flat_map(|letter| space(letter).into_iter().chain([letter.to_ascii_lowercase()])).collect()
}

/// Text of others, harmless on a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Style, tell};

    #[test]
    fn only_what_changed_is_told() {
        let mut known = BTreeMap::new();
        let mut ada =
            json!({ "jid": "ada@x", "name": "Ada\u{1b}[31m", "availability": "dnd", "status": "on note G" });
        let event = |contact| json!({ "event": "contactChanged", "seq": 7, "time": "2023-03-28T12:34:56.789Z", "contacts": [contact] });
        assert_eq!(
            tell(&event(ada.clone()), &mut known, Style::Plain),
            ["12:34:56 #7    Ada\u{fffd}[31m is busy (on note G)"]
        );
        ada["avatar"] = json!({ "id": "0123456789", "width": 3, "height": 4 });
        assert_eq!(
            tell(&event(ada.clone()), &mut known, Style::Plain),
            ["12:34:56 #7    Ada\u{fffd}[31m has a new picture, 3×4, 01234567"]
        );
        let gone = json!({ "event": "contactChanged", "removed": ["ada@x"] });
        assert_eq!(tell(&gone, &mut known, Style::Plain), [" #0    ada@x is no longer a contact"]);
        assert!(known.is_empty());
    }
}
