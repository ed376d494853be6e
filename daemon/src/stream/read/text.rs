//! Characters, names and references: what stands for what in XML 1.0.

use std::borrow::Cow;

use minidom::rxml::NcName;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between tags.
    Content,
    /// In a CDATA section: there are no references (§2.7).
    Cdata,
    /// In an attribute: white space becomes blanks (§3.3.3).
    Value,
}

/// What a text means; absent: XML does not allow it.
pub(crate) fn meaning(written: &[u8], place: Place) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(written).ok()?;
    // Nearly all texts mean what they say. This finds out without a branch for each byte.
    let is_special =
        written.iter().fold(false, |is_special, &byte| is_special | (SPECIAL[usize::from(byte)]));
    if !is_special && (place != Place::Value || !written.contains(&b'\n') && !written.contains(&b'\t')) {
        return Some(Cow::Borrowed(text));
    }
    expanded(text, place).map(Cow::Owned)
}

/// Bytes that may stand for something else, or for no character: control characters, references, the ends of tags and
/// sections, and the first byte of U+FFFE.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < b' ' as usize {
        special[byte] = byte != b'\t' as usize && byte != b'\n' as usize;
        byte += 1;
    }
    special[b'&' as usize] = true;
    special[b'<' as usize] = true;
    special[b']' as usize] = true;
    special[0xef] = true;
    special
};

fn expanded(text: &str, place: Place) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '&' if place != Place::Cdata => {
                let (reference, behind) = rest.as_str().split_once(';')?;
                out.push(referred(reference)?);
                rest = behind.chars();
            }
            '<' if place == Place::Value => return None,
            // The end of a section, where there is none (§2.4).
            ']' if place == Place::Content && rest.as_str().starts_with("]>") => return None,
            // One end of a line is as good as another (§2.11).
            '\r' => {
                if rest.as_str().starts_with('\n') {
                    rest.next();
                }
                out.push(if place == Place::Value { ' ' } else { '\n' });
            }
            '\t' | '\n' if place == Place::Value => out.push(' '),
            _ if !is_allowed(next) => return None,
            _ => out.push(next),
        }
    }
    Some(out)
}

/// The character that a reference such as `amp` or `#x41` stands for (§4.1, §4.6). XMPP has no others.
fn referred(reference: &str) -> Option<char> {
    let Some(number) = reference.strip_prefix('#') else {
        return Some(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "apos" => '\'',
            "quot" => '"',
            _ => return None,
        });
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let is_number = digits.bytes().all(|digit| char::from(digit).is_digit(radix));
    let number = is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten()?;
    char::from_u32(number).filter(|char| is_allowed(*char))
}

/// §2.2.
fn is_allowed(char: char) -> bool {
    match char {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => char >= ' ',
    }
}

/// Whether this may be called a name, without a prefix (Namespaces in XML, §3).
pub(crate) fn is_name(text: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let goes_on = |byte: u8| starts(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_plain = text.bytes().next().is_some_and(starts) && text.bytes().all(goes_on);
    is_plain || NcName::try_from(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_what_xml_says() {
        use Place::{Cdata, Content, Value};
        for (written, content, cdata, value) in [
            ("plain", Some("plain"), Some("plain"), Some("plain")),
            ("", Some(""), Some(""), Some("")),
            ("&lt;&amp;&gt;&quot;&apos;", Some("<&>\"'"), Some("&lt;&amp;&gt;&quot;&apos;"), Some("<&>\"'")),
            ("&#x41;&#0065;&#9;&#xD;", Some("AA\t\r"), Some("&#x41;&#0065;&#9;&#xD;"), Some("AA\t\r")),
            ("a\r\nb\rc\nd\te", Some("a\nb\nc\nd\te"), Some("a\nb\nc\nd\te"), Some("a b c d e")),
            ("a]]b]>", Some("a]]b]>"), Some("a]]b]>"), Some("a]]b]>")),
            ("]]>", None, Some("]]>"), Some("]]>")),
            ("a & b", None, Some("a & b"), None),
            ("a &b", None, Some("a &b"), None),
            ("&nbsp;", None, Some("&nbsp;"), None),
            ("&;", None, Some("&;"), None),
            (
                "\u{fffd}\u{10ffff}é",
                Some("\u{fffd}\u{10ffff}é"),
                Some("\u{fffd}\u{10ffff}é"),
                Some("\u{fffd}\u{10ffff}é"),
            ),
            ("\u{fffe}", None, None, None),
            ("\u{ffff}", None, None, None),
            ("\u{1}", None, None, None),
            ("\0", None, None, None),
        ] {
            for (place, expected) in [(Content, content), (Cdata, cdata), (Value, value)] {
                assert_eq!(meaning(written.as_bytes(), place).as_deref(), expected, "{written:?} {place:?}");
            }
        }
        assert_eq!(meaning(b"a<b", Place::Value), None);
        assert_eq!(meaning(b"\xff", Place::Content), None);
        for none in [
            "0",
            "x0",
            "x1F",
            "xD800",
            "xDFFF",
            "55296",
            "xFFFE",
            "x110000",
            "xFFFFFFFF",
            "x100000041",
            "",
            "x",
            "X41",
            "+65",
            "x-1",
        ] {
            assert_eq!(referred(&format!("#{none}")), None, "{none}");
        }
    }

    #[test]
    fn names_are_told_from_what_is_none() {
        for name in ["a", "_", "A1-.b", "é", "a\u{b7}"] {
            assert!(is_name(name), "{name}");
        }
        for none in ["", "1", "-a", ".a", "a:b", "a b", "\u{b7}", "a\u{d7}", "a&"] {
            assert!(!is_name(none), "{none}");
        }
    }
}
