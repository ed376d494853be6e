//! Peers choose names and status texts: none of them shall drive the terminal, or rearrange a line.

use std::fmt::Write as _;

/// Whether showing this character could move the cursor, break the line, turn the direction of
/// writing, or hide. The joiner of emoji (U+200D) is none of them.
fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// For people: a hazard is shown as its number, as in `\u{1b}`.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hazard(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// For programs, and people who look on: the same JSON with hazards written as escapes. Line ends
/// stay: in JSON they stand between values only.
pub(crate) fn json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hazard(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string can't fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\u{1b}]0;title\u{7}\r\n\u{9b}31m\u{202e}txt\u{200b}\u{7f}";

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let plain = plain(NASTY);
        assert_eq!(plain, r"a\u{1b}]0;title\u{7}\u{d}\u{a}\u{9b}31m\u{202e}txt\u{200b}\u{7f}");
    }

    #[test]
    fn people_may_write_as_they_do() {
        for text in ["Żółć", "שלום", "日本語", "👩‍👩‍👧", "n\u{303}o"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"status": NASTY, "tag": "\u{e0041}"});
        let escaped = json(&format!("{value:#}"));
        assert!(!escaped.chars().any(|c| is_hazard(c) && c != '\n'), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
