//! Names designed to deceive (UTS #39): UIs show a warning next to them.

use prosed_protocol::Warning;
use prosed_protocol::visible::{Sight, characters};
use unicode_normalization::UnicodeNormalization;
use unicode_security::MixedScript;

/// The signs of spoofing in a JID and a name, each once, in the order of [`Warning`]. Look-alikes among contacts are
/// found by the session.
pub(super) fn warnings(jid: &str, name: &str, look_alike: bool) -> Vec<Warning> {
    let any = |found: fn(&str) -> bool| found(jid) || found(name);
    let signs = [
        (Warning::MixedScripts, any(mixes_scripts)),
        (Warning::Bidi, any(turns)),
        (Warning::Invisible, any(hides)),
        (Warning::LookAlike, look_alike),
        (Warning::NameIsJid, names_another(name, jid)),
    ];
    signs.into_iter().filter(|(_, found)| *found).map(|(sign, _)| sign).collect()
}

/// Whether one word mixes scripts that are not written together (UTS #39 §5.1): Latin with Cyrillic, for example, but
/// not kana with Han.
fn mixes_scripts(text: &str) -> bool {
    !text.is_ascii() && text.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_single_script())
}

/// Whether there are characters that change the direction of writing.
fn turns(text: &str) -> bool {
    !text.is_ascii() && characters(text).any(|(_, sight)| sight == Sight::Turning)
}

/// Whether there are invisible characters, or no visible ones.
fn hides(text: &str) -> bool {
    let is_blank = text.chars().all(|c| c.is_whitespace() || c == '\u{2800}');
    is_blank || characters(text).any(|(_, sight)| sight == Sight::Unseen)
}

/// Whether one word of a name looks like a JID with a host, and differs from this one.
fn names_another(name: &str, jid: &str) -> bool {
    let words = name.split(|c: char| c.is_whitespace() || "()<>[]{}\",;".contains(c));
    words.map(compatible).any(|word| {
        let host = word.rsplit_once('@').filter(|(node, _)| !node.is_empty()).map(|(_, host)| host);
        host.is_some_and(|host| host.split('.').filter(|label| !label.is_empty()).count() > 1)
            && word.trim_start_matches("xmpp:") != jid
    })
}

/// A word in the form in which JIDs are compared: compatibility characters unified, all in lower case.
fn compatible(word: &str) -> String {
    word.nfkc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs() {
        for (text, expected) in [
            ("marc@prose.org", vec![]),
            ("Valérie Müller", vec![]),
            ("Иван", vec![]),
            ("田中さん", vec![]),
            ("Иван Smith", vec![]),
            ("p\u{430}ypal", vec![Warning::MixedScripts]),
            ("Bob\u{202e}gro.live", vec![Warning::Bidi]),
            ("Bob\u{200b}", vec![Warning::Invisible]),
            ("B\u{200d}ob", vec![Warning::Invisible]),
            ("a\nb", vec![Warning::Invisible]),
            ("\u{3164}", vec![Warning::Invisible]),
            ("\u{ad}", vec![Warning::Invisible]),
            ("Bo\u{34f}b", vec![Warning::Invisible]),
            ("Bob \u{115f}", vec![Warning::Invisible]),
            ("Bob\u{2800}", vec![Warning::Invisible]),
            (" \u{a0}\u{3000}", vec![Warning::Invisible]),
            ("👩\u{200d}🚀 Ada", vec![]),
            ("❤\u{fe0f}\u{200d}🔥", vec![]),
            ("می\u{200c}خواهم", vec![]),
            ("p\u{430}y\u{200b}\u{202e}", vec![Warning::MixedScripts, Warning::Bidi, Warning::Invisible]),
        ] {
            assert_eq!(warnings("marc@prose.org", text, false), expected, "{text:?}");
        }
    }

    #[test]
    fn jid_and_name_count_once() {
        assert_eq!(warnings("a\u{200b}@b.org", "b\u{200b}", false), [Warning::Invisible]);
        assert_eq!(
            warnings("p\u{430}ypal@example.org", "Pay", true),
            [Warning::MixedScripts, Warning::LookAlike]
        );
    }

    #[test]
    fn a_name_that_is_a_jid_is_the_contacts_own() {
        let of = |name: &str| warnings("anna@example.org", name, false);
        for name in ["anna@example.org", "Anna@Example.org", "Anna (xmpp:anna@example.org)"] {
            assert_eq!(of(name), [], "{name}");
        }
        for name in ["Anna", "@anna", "Anna @ work", "anna@work", "me@", "Dr. A. Berg"] {
            assert_eq!(of(name), [], "{name}");
        }
        for name in ["bob@example.org", "Bob <bob@example.org>", "bob\u{ff20}example.org", "anna@example.net"]
        {
            assert_eq!(of(name), [Warning::NameIsJid], "{name}");
        }
    }
}
