//! The profiles of stringprep (RFC 3454) by today's Unicode, and what RFC 7622 has in their place.
//!
//! The XMPP libraries are built on the crate `jid`, which asks a crate of this name what the parts of a JID may be.
//! The published one knows only the characters of Unicode 3.2, changes resources, and leaves two spellings of one domain
//! two domains. So this one answers in its place (`[patch.crates-io]`, decisions/0022). `jid` does the rest: it splits,
//! checks domains by IDNA, and counts bytes.

use std::borrow::Cow;
use std::fmt;

use icu_casemap::CaseMapper;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use unicode_bidi::{BidiClass, bidi_class};
use unicode_normalization::UnicodeNormalization;

/// The text can't be what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a character that may not be there")
    }
}

impl std::error::Error for Error {}

/// A localpart, in the form in which it is compared: by nodeprep (RFC 6122, appendix A), which servers apply, and so
/// with more symbols than RFC 7622 §3.3 has.
pub fn nodeprep(text: &str) -> Result<Cow<'_, str>, Error> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'+' | b'\\');
    if text.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mapped: String = text.chars().filter(|char| !is_mapped_to_nothing(*char)).nfkc().collect();
    let node: String = CaseMapper::new().fold_string(&mapped).nfkc().collect();
    let is_delimiter = |char: char| matches!(char, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@');
    if node.contains(|char| is_delimiter(char) || char.is_whitespace() || is_prohibited(char))
        || is_mixed(&node)
    {
        return Err(Error);
    }
    Ok(Cow::Owned(node))
}

/// A domain (RFC 7622 §3.2): A-labels become U-labels, in the form that IDNA gives them.
///
/// It is always `Owned`, which makes `jid` put the JID together from its parts. Otherwise `jid` keeps the text as it
/// came, with the final dot that it has removed from the domain: another JID, whose resource begins at the wrong place.
pub fn nameprep(text: &str) -> Result<Cow<'_, str>, Error> {
    let (domain, valid) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::URL, Hyphens::Check);
    valid.map(|()| domain.into_owned().into()).map_err(|_| Error)
}

/// A resource (RFC 7622 §3.4). It is opaque, and goes back as it came: only its own server says which are the same.
/// Besides what OpaqueString takes, this takes what people use and servers let through, joined and coloured emoji; but
/// not what XML can't hold (XML 1.0 §2.2).
pub fn resourceprep(text: &str) -> Result<Cow<'_, str>, Error> {
    let is_prohibited = |char: char| char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}');
    if text.contains(is_prohibited) { Err(Error) } else { Ok(Cow::Borrowed(text)) }
}

/// A password (SASLprep, RFC 4013), as one that is asked for rather than stored: newer characters may be in it.
pub fn saslprep(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.chars().map(|char| if is_space(char) { ' ' } else { char });
    let password: String = spaced.filter(|char| !is_mapped_to_nothing(*char)).nfkc().collect();
    if password.contains(is_prohibited) || is_mixed(&password) {
        Err(Error)
    } else {
        Ok(Cow::Owned(password))
    }
}

/// RFC 3454, table B.1.
fn is_mapped_to_nothing(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}' | '\u{2060}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

fn category(char: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(char)
}

/// RFC 3454, table C.1. One of them was taken for a space then.
fn is_space(char: char) -> bool {
    category(char) == GeneralCategory::SpaceSeparator || char == '\u{200b}'
}

/// What tables C.2 to C.9 are about: what nobody can see, or has given a meaning.
fn is_prohibited(char: char) -> bool {
    matches!(
        category(char),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(char)
}

/// RFC 3454 §6: text that is written from right to left begins and ends so, and holds nothing that is written from left
/// to right.
fn is_mixed(text: &str) -> bool {
    let is_right_to_left = |char: char| matches!(bidi_class(char), BidiClass::R | BidiClass::AL);
    text.contains(is_right_to_left)
        && (text.contains(|char| bidi_class(char) == BidiClass::L)
            || !text.starts_with(is_right_to_left)
            || !text.ends_with(is_right_to_left))
}

#[cfg(test)]
mod tests {
    use jid::Jid;

    use super::*;

    fn read(text: &str) -> String {
        Jid::new(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_inner()
    }

    #[test]
    fn a_resource_is_opaque() {
        for resource in [
            "📱Phone",
            "❤\u{fe0f}",
            "👨\u{200d}👩\u{200d}👧",
            "foo bar",
            "e\u{301}",
            "ﬁ",
            "x²",
            "Ａ",
            "🫩",
            "א1a",
            "a/b@c",
        ] {
            let text = format!("a@test.example/{resource}");
            assert_eq!(read(&text), text);
        }
        for resource in ["", "\u{7}", "a\nb", "\u{85}", "\u{fffe}", "a\u{ffff}", &"x".repeat(1024)] {
            assert!(Jid::new(&format!("a@b/{resource}")).is_err(), "{resource:?}");
        }
        assert!(Jid::new(&format!("a@b/{}", "x".repeat(1023))).is_ok());
    }

    #[test]
    fn a_localpart_is_compared_in_one_form() {
        for (text, node) in [
            ("Juliet", "juliet"),
            ("Ａnna", "anna"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("Straße", "strasse"),
            ("o\\27hara", "o\\27hara"),
            // Letters that came with Unicode 9, 5 and 7.
            ("𞤀𞤁", "𞤢𞤣"),
            ("AnnꙀ", "annꙁ"),
            ("Ａnn\u{ad}aꞭ", "annaɬ"),
            ("👩\u{200d}🦰", "👩🦰"),
            ("אבג", "אבג"),
            // A parenthesised A, which came with Unicode 5.2.
            ("🄐", "(a)"),
        ] {
            assert_eq!(read(&format!("{text}@b")), format!("{node}@b"), "{text}");
        }
        let newer = "👩";
        for forbidden in [
            " ", "\"", "&", "'", ":", "<", ">", "\u{202e}", "\u{e000}", "\u{3000}", "\u{fe13}", "\u{2066}",
            "\u{61c}",
        ] {
            for text in [format!("a{forbidden}"), format!("{newer}{forbidden}")] {
                assert!(Jid::new(&format!("{text}@b")).is_err(), "{text:?}");
            }
        }
        for long in ["x", newer] {
            assert!(Jid::new(&format!("{}@b", long.repeat(1024 / long.len()))).is_err());
        }
    }

    #[test]
    fn a_domain_is_one_however_it_is_spelled() {
        for text in [
            "müller.example",
            "xn--mller-kva.example",
            "XN--MLLER-KVA.Example",
            "MÜLLER.example.",
            "mu\u{308}ller。example",
            "xn--mller-kva｡example.",
            "ｍüller．ｅxample",
        ] {
            assert_eq!(read(&format!("me@{text}/r")), "me@müller.example/r", "{text}");
        }
        for (text, domain) in [
            ("b.example", "b.example"),
            ("_b.example", "_b.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("straße.example", "straße.example"),
            ("xn--ls8h.example", "💩.example"),
        ] {
            assert_eq!(read(text), domain);
        }
        // One final dot is no part of it, wherever it is.
        for (text, jid) in [
            ("b.example.", "b.example"),
            ("a@b.example.", "a@b.example"),
            ("b.example./r", "b.example/r"),
            ("a@b.example./r", "a@b.example/r"),
        ] {
            let read = Jid::new(text).unwrap();
            assert_eq!((read.as_str(), read.domain().as_str()), (jid, "b.example"));
            assert_eq!(
                read.resource().map(ToString::to_string),
                text.split_once('/').map(|_| "r".to_owned())
            );
        }
        // Others are refused.
        for dots in ["..", ".。", "。", "．", "｡", "。."] {
            for text in [format!("b.example{dots}"), dots.to_owned()] {
                assert!(Jid::new(&text).is_err(), "{text}");
            }
        }
        for text in ["", "a@", "a@b@c", "-b.example", "b..example", "xn--a.example", "b c", "[::", "a@/r"] {
            assert!(Jid::new(text).is_err(), "{text}");
        }
    }

    /// What is kept on disk is read again, and must be the same JID.
    #[test]
    fn a_form_stays_as_it_is() {
        // Between these planes nothing is assigned.
        for char in (char::MIN..'\u{40000}').chain('\u{e0000}'..'\u{e1000}') {
            for (prepare, text) in [
                (nodeprep as fn(&str) -> Result<Cow<'_, str>, Error>, format!("a{char}")),
                (nodeprep, char.to_string()),
                (nameprep, format!("a{char}b")),
            ] {
                if let Ok(form) = prepare(&text) {
                    assert_eq!(prepare(&form).as_ref(), Ok(&form), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_password_keeps_its_case() {
        for (typed, password) in [
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("ª", "a"),
            ("Ⅸ", "IX"),
            ("horse🐴battery", "horse🐴battery"),
            ("a\u{3000}b\u{200b}c", "a b c"),
        ] {
            assert_eq!(saslprep(typed).as_deref(), Ok(password), "{typed:?}");
        }
        for text in ["\u{7}", "\u{627}1", "\u{e000}", "a\u{202e}"] {
            assert_eq!(saslprep(text), Err(Error), "{text:?}");
        }
    }
}
