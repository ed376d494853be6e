//! Small helpers between stanzas and our types.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::Jid;
use minidom::Element;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use crate::failure::Failure;

/// The namespace that the prefix `xml` is bound to.
pub(crate) const NS: &str = "http://www.w3.org/XML/1998/namespace";

/// The answer to a get or set: a result, or an error.
pub(crate) fn answer(to: Option<Jid>, id: String, answer: Result<Option<Element>, DefinedCondition>) -> Iq {
    match answer {
        Ok(payload) => Iq::Result { from: None, to, id, payload },
        Err(condition) => Iq::Error { from: None, to, id, error: error(condition), payload: None },
    }
}

pub(crate) fn error(condition: DefinedCondition) -> StanzaError {
    StanzaError {
        type_: ErrorType::Cancel,
        by: None,
        defined_condition: condition,
        texts: Default::default(),
        other: None,
    }
}

/// A stanza error as UIs see it.
pub(crate) fn stanza_failure(error: &StanzaError) -> Failure {
    let condition = Element::from(error.defined_condition.clone()).name().to_owned();
    let text =
        error.texts.values().next().map(|text| capped(text, crate::bounds::TEXT_CHARS)).unwrap_or_default();
    Failure::StanzaError { condition, text }
}

/// A peer's text, no longer than `chars`.
pub(crate) fn capped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

/// As much of a text as fits into this many bytes.
pub(crate) fn fitting(text: &str, bytes: usize) -> &str {
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    &text[..ends.take_while(|end| *end <= bytes).last().unwrap_or(0)]
}

/// A peer's text, trimmed and capped; absent if nothing is left.
pub(crate) fn some_text(text: &str, chars: usize) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| capped(text, chars))
}

/// An element's text, copied only if it consists of several parts.
pub(crate) fn text(element: &Element) -> Cow<'_, str> {
    let mut texts = element.texts();
    match (texts.next(), texts.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(only), None) => Cow::Borrowed(only),
        _ => Cow::Owned(element.text()),
    }
}

/// Base64 as found in stanzas, line breaks included.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    // Line breaks are rare now, and an avatar is long: copy only if necessary.
    BASE64_STANDARD.decode(text).ok().or_else(|| {
        let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        (dense.len() < text.len()).then(|| BASE64_STANDARD.decode(dense).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(fitting("a€€", 6), "a€");
        assert_eq!(fitting("a€€", 7), "a€€");
        assert_eq!(fitting("€", 2), "");
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let read = |text| base64(text).as_deref().map(<[u8]>::to_vec);
        assert_eq!(read("YXZhdGFy"), Some(b"avatar".to_vec()));
        assert_eq!(read(" YXZh\r\n\tdGFy\n"), Some(b"avatar".to_vec()));
        assert_eq!(read("YXZh dGF"), None);
        assert_eq!(read("YXZhdGF"), None);
    }
}
