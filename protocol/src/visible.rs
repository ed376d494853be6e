//! Which characters of a text are visible. Peers choose names, statuses and JIDs: a UI or a log that prints them
//! unchanged can be made to show something else.

use std::fmt::Write as _;

use icu_properties::props::{
    BidiControl, DefaultIgnorableCodePoint, Emoji, EmojiModifier, ExtendedPictographic, GeneralCategory,
    JoiningType, PrependedConcatenationMark, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The effect of printing a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It is visible, or shapes a visible one, like the joiners within emoji.
    Seen,
    /// It leaves no mark, breaks the line, or controls the terminal.
    Unseen,
    /// It changes the direction of writing (Unicode: `Bidi_Control`).
    Turning,
}

/// The characters of a text, with the effect of each in its position.
pub fn characters(text: &str) -> impl Iterator<Item = (char, Sight)> {
    let (mut base, mut before) = (None, None);
    text.chars().map(move |c| {
        let sight = sight(c, base, before);
        // After an invisible character there is nothing to shape. Combining marks belong to their base character.
        let shown = (sight == Sight::Seen).then_some(c);
        if shown.is_none_or(|c| !is_mark(c)) {
            base = shown;
        }
        before = shown;
        (c, sight)
    })
}

/// The text with every invisible character as its number, as in `\u{1b}`.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (c, sight) in characters(text) {
        match sight {
            Sight::Seen => plain.push(c),
            Sight::Unseen | Sight::Turning => plain.extend(c.escape_unicode()),
        }
    }
    plain
}

/// The same JSON, with every invisible character escaped. Line ends stay: in JSON they occur only between values.
pub fn escape_invisible(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for (c, sight) in characters(json) {
        if sight == Sight::Seen || c == '\n' {
            plain.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        }
    }
    plain
}

/// `base` is the last character that is not a combining mark, `before` the last one, if they are visible.
fn sight(c: char, base: Option<char>, before: Option<char>) -> Sight {
    if (' '..='~').contains(&c) {
        return Sight::Seen;
    }
    if CodePointSetData::new::<BidiControl>().contains(c) {
        return Sight::Turning;
    }
    let is_hidden = match c {
        '\u{200c}' | '\u{200d}' => !before.is_some_and(is_virama) && !base.is_some_and(joins),
        '\u{fe0e}' | '\u{fe0f}' => !before.is_some_and(has::<Emoji>),
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => {
            !before.is_some_and(is_of_own_script)
        }
        // Regional tags, which follow a flag.
        '\u{e0020}'..='\u{e007f}' => base != Some('\u{1f3f4}'),
        // The empty Braille pattern, and the null notehead.
        '\u{2800}' | '\u{1d159}' => true,
        _ => match CodePointMapData::<GeneralCategory>::new().get(c) {
            GeneralCategory::Control
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator => true,
            GeneralCategory::Format => !has::<PrependedConcatenationMark>(c),
            _ => has::<DefaultIgnorableCodePoint>(c),
        },
    };
    if is_hidden { Sight::Unseen } else { Sight::Seen }
}

fn has<P: icu_properties::props::BinaryProperty>(c: char) -> bool {
    CodePointSetData::new::<P>().contains(c)
}

fn is_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
        || has::<EmojiModifier>(c)
        || ('\u{e0020}'..='\u{e007f}').contains(&c)
}

/// Whether a joiner changes the look of the character before it: in cursive scripts (RFC 5892, appendix A.1), and
/// between emoji.
fn joins(c: char) -> bool {
    has::<ExtendedPictographic>(c)
        || matches!(
            CodePointMapData::<JoiningType>::new().get(c),
            JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining
        )
}

fn is_virama(c: char) -> bool {
    use icu_properties::props::CanonicalCombiningClass;
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

/// Whether a letter's script has variants that a following character selects.
fn is_of_own_script(c: char) -> bool {
    let script = CodePointMapData::<Script>::new().get(c);
    !matches!(script, Script::Latin | Script::Greek | Script::Cyrillic | Script::Common | Script::Inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_but_what_can_be_seen() {
        let nasty = "a\u{1b}]0;title\u{7}\r\n\u{9b}31m\u{202e}txt\u{200b}\u{7f}";
        assert_eq!(plain(nasty), r"a\u{1b}]0;title\u{7}\u{d}\u{a}\u{9b}31m\u{202e}txt\u{200b}\u{7f}");
        for hidden in [
            // Controls, in order.
            0, 0x7f, 0x85, 0x9f, 0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180e, 0x200b, 0x200c, 0x200d,
            0x200e, 0x2028, 0x2029, 0x202e, 0x2060, 0x2066, 0x206f, 0x2800, 0x3164, 0xfe00, 0xfe0f, 0xfeff,
            0xffa0, 0xfff9, 0x1bca0, 0x1d159, 0x1d173, 0xe0001, 0xe0041, 0xe0100, 0xe0fff,
        ] {
            let hidden = char::from_u32(hidden).unwrap();
            let text = format!("a{hidden}b");
            assert_eq!(plain(&text), format!("a{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn what_shapes_nothing_is_hidden() {
        // Text or emoji is a choice that only emoji have; a filler is of a script with variants, but leaves no mark.
        for (shown, hidden) in [
            ("가", "\u{fe0f}"),
            ("ش", "\u{fe0e}"),
            ("", "\u{3164}\u{fe0f}"),
            ("", "\u{3164}\u{fe00}"),
            ("", "\u{115f}\u{e0100}"),
            ("", "\u{200b}\u{200d}"),
            ("❤", "\u{200b}\u{fe0f}"),
        ] {
            assert_eq!(plain(&format!("{shown}{hidden}b")), format!("{shown}{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn what_turns_is_told_from_what_hides() {
        let sights: Vec<_> = characters("a\u{202e}\u{200b}\u{61c}").map(|(_, sight)| sight).collect();
        assert_eq!(sights, [Sight::Seen, Sight::Turning, Sight::Unseen, Sight::Turning]);
    }

    #[test]
    fn people_may_write_as_they_do() {
        for text in [
            "Żółć",
            "שלום",
            "日本語",
            "葛\u{e0100}城",
            "n\u{303}o",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "ශ්\u{200d}රී",
            "👩\u{200d}👩\u{200d}👧",
            "👩🏽\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "a\u{a0}b\u{3000}c",
        ] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"status": "a\u{202e}\u{7f}\u{ad}\u{3164}", "tag": "\u{e0041}"});
        let escaped = escape_invisible(&format!("{value:#}"));
        assert!(characters(&escaped).all(|(c, sight)| sight == Sight::Seen || c == '\n'), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
