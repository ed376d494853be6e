//! What Namespaces in XML 1.0 forbids and our XML parsers let pass.
//!
//! Two parsers read a default namespace declared twice in one tag in two ways; the namespace of declarations cannot
//! be declared (§3); and a prefix cannot be undeclared (§5). All of it is refused before parsing, so there is only
//! one reading. Other errors are left to the parser.

/// What may not be declared (Namespaces in XML 1.0, §3).
const XMLNS: &[u8] = b"http://www.w3.org/2000/xmlns/";

/// The declarations of one start tag, fed in pieces.
#[derive(Default)]
pub(super) struct Declarations {
    /// There already is a default namespace.
    has_default: bool,
    current: Current,
    /// The raw value of the current declaration.
    value: Vec<u8>,
}

/// Which attribute's value is being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Current {
    /// `xmlns`
    Default,
    /// `xmlns:…`
    Prefix,
    #[default]
    Other,
}

impl Declarations {
    pub(super) fn begin_tag(&mut self) {
        self.has_default = false;
    }

    /// An attribute whose name starts with this begins; seven bytes are enough.
    pub(super) fn begin(&mut self, name: &[u8]) {
        self.value.clear();
        self.current = match name {
            b"xmlns" => Current::Default,
            name if name.starts_with(b"xmlns:") => Current::Prefix,
            _ => Current::Other,
        };
    }

    /// More of its value.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.current != Current::Other {
            self.value.extend_from_slice(bytes);
        }
    }

    /// Its value ends; true if nothing is wrong.
    pub(super) fn end(&mut self) -> bool {
        match std::mem::take(&mut self.current) {
            Current::Other => return true,
            Current::Default if std::mem::replace(&mut self.has_default, true) => return false,
            Current::Prefix if self.value.is_empty() => return false,
            Current::Default | Current::Prefix => {}
        }
        !means(&self.value, XMLNS)
    }
}

/// Whether a value, with its references expanded, equals this text. A value that can't be expanded equals nothing:
/// the parser will report it.
fn means(mut value: &[u8], text: &[u8]) -> bool {
    for &expected in text {
        let (found, len) = match value.first() {
            Some(b'&') => {
                let Some(end) = value.iter().position(|&byte| byte == b';') else { return false };
                let expanded = character(&value[1..end]);
                (expanded.and_then(|expanded| u8::try_from(expanded).ok()), end + 1)
            }
            Some(&byte) => (Some(byte), 1),
            None => return false,
        };
        if found != Some(expected) {
            return false;
        }
        value = &value[len..];
    }
    value.is_empty()
}

/// The character for a reference such as `#x41` (XML 1.0 §4.1). Named references are not included: none of them
/// occurs in a namespace that matters.
pub(super) fn character(reference: &[u8]) -> Option<char> {
    let number = std::str::from_utf8(reference).ok()?.strip_prefix('#')?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let is_number = digits.bytes().all(|digit| char::from(digit).is_digit(radix));
    is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a tag with these attributes is allowed, also with values in pieces.
    fn passes(attributes: &[(&str, &str)]) -> bool {
        let run = |piece: usize| {
            let mut declarations = Declarations::default();
            declarations.begin_tag();
            attributes.iter().all(|(name, value)| {
                declarations.begin(name.as_bytes());
                value.as_bytes().chunks(piece).for_each(|piece| declarations.add(piece));
                declarations.end()
            })
        };
        assert_eq!(run(1), run(1000));
        run(1)
    }

    #[test]
    fn what_may_be_declared_and_what_may_not() {
        assert!(passes(&[("xmlns", "urn:x"), ("xmlns:x", "urn:x"), ("xmlnsx", ""), ("x", "")]));
        assert!(passes(&[("xmlns", "")]));
        assert!(passes(&[("x", "http://www.w3.org/2000/xmlns/")]));
        assert!(passes(&[("xmlns", "http://www.w3.org/2000/xmlns")]));
        assert!(!passes(&[("xmlns", "urn:x"), ("a", ""), ("xmlns", "urn:x")]));
        assert!(!passes(&[("xmlns:x", "")]));
        for written in [
            "http://www.w3.org/2000/xmlns/",
            "http:&#47;&#x2f;www.w3.org/2000/xmlns&#0047;",
            "&#x0000068;ttp://www.w3.org/2000/xmlns/",
        ] {
            assert!(!passes(&[("xmlns", written)]) && !passes(&[("xmlns:x", written)]), "{written}");
        }
        assert!(passes(&[("xmlns", "http://www.w3.org/2000/xmlns&")]));
        assert!(passes(&[("xmlns", "http://www.w3.org/2000/xmlns&#x10000002f;")]));
    }
}
