//! Names that were made to deceive (UTS #39): UIs show a warning beside them.

use prosed_protocol::Warning;
use unicode_script::{Script, UnicodeScript};
use unicode_security::MixedScript;

/// The signs of deceit in a JID or a name, each once, in the order of [`Warning`].
pub(super) fn warnings(texts: &[&str]) -> Vec<Warning> {
    let any = |found: fn(&str) -> bool| texts.iter().any(|text| found(text));
    let signs = [
        (Warning::MixedScripts, any(mixes_scripts)),
        (Warning::Bidi, any(turns)),
        (Warning::Invisible, any(hides)),
    ];
    signs.into_iter().filter(|(_, found)| *found).map(|(sign, _)| sign).collect()
}

/// Whether one word mixes scripts that are not written together (UTS #39 §5.1): Latin with
/// Cyrillic, say, but not kana with Han.
fn mixes_scripts(text: &str) -> bool {
    !text.is_ascii() && text.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_single_script())
}

/// Whether there are characters that turn the direction of writing (Unicode: Bidi_Control).
fn turns(text: &str) -> bool {
    !text.is_ascii()
        && text.chars().any(|c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Whether there are characters that can't be seen. Joiners are fine where there is something to
/// join: between emoji, and in scripts that are written joined up.
fn hides(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_control());
    }
    let mut before = None;
    text.chars().any(|c| {
        let before = before.replace(c);
        match c {
            '\u{200c}' | '\u{200d}' => !before.is_some_and(joins),
            '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0001}' => true,
            _ => c.is_control(),
        }
    })
}

/// Whether a joiner after this character changes how it looks.
fn joins(c: char) -> bool {
    !matches!(c.script(), Script::Latin | Script::Greek | Script::Cyrillic)
        && !c.is_ascii()
        && c != '\u{200d}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs() {
        for (text, expected) in [
            ("marc@prose.org", vec![]),
            ("Valérie Müller", vec![]),
            ("Иван@пример.рф", vec![]),
            ("田中さん", vec![]),
            ("Иван Smith", vec![]),
            ("p\u{430}ypal@example.org", vec![Warning::MixedScripts]),
            ("Bob\u{202e}gro.live", vec![Warning::Bidi]),
            ("Bob\u{200b}", vec![Warning::Invisible]),
            ("B\u{200d}ob", vec![Warning::Invisible]),
            ("a\nb", vec![Warning::Invisible]),
            ("\u{3164}", vec![Warning::Invisible]),
            ("👩\u{200d}🚀 Ada", vec![]),
            ("❤\u{fe0f}\u{200d}🔥", vec![]),
            ("می\u{200c}خواهم", vec![]),
            ("p\u{430}y\u{200b}\u{202e}", vec![Warning::MixedScripts, Warning::Bidi, Warning::Invisible]),
        ] {
            assert_eq!(warnings(&[text]), expected, "{text:?}");
        }
    }

    #[test]
    fn any_of_the_texts_counts_once() {
        assert_eq!(warnings(&["a\u{200b}", "b\u{200b}"]), [Warning::Invisible]);
    }
}
