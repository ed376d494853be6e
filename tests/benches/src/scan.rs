//! A tag scanner that builds no tree: where stanzas begin and end, and single attributes on request.
//!
//! Only for well-formed input: any `>` ends a tag, and nothing is checked.

use memchr::memchr;
use memchr::memmem::find;

/// Finds the children of a stream's root.
#[derive(Debug, Default)]
pub struct Scanner {
    depth: usize,
    /// Bytes of the buffer that have been scanned.
    seen: usize,
}

/// What was found at the head of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The stream header, with its length in bytes.
    Header(usize),
    /// A child of the root, with its length in bytes.
    Stanza(usize),
    /// The end of the stream.
    End(usize),
}

impl Scanner {
    /// The next item at the head of the buffer, if it is complete. Remove it from the buffer before the next
    /// call.
    pub fn next(&mut self, buffer: &[u8]) -> Option<Found> {
        loop {
            let open = self.seen + memchr(b'<', &buffer[self.seen..])?;
            let end = open + memchr(b'>', &buffer[open..])? + 1;
            let tag = &buffer[open..end];
            self.seen = end;
            let found = match tag {
                [b'<', b'?', ..] => None,
                [b'<', b'/', ..] => {
                    self.depth = self.depth.saturating_sub(1);
                    match self.depth {
                        0 => Some(Found::End(end)),
                        1 => Some(Found::Stanza(end)),
                        _ => None,
                    }
                }
                [.., b'/', b'>'] => (self.depth == 1).then_some(Found::Stanza(end)),
                _ => {
                    self.depth += 1;
                    (self.depth == 1).then_some(Found::Header(end))
                }
            };
            if found.is_some() {
                self.seen = 0;
                return found;
            }
        }
    }

    /// The stream restarts, as it does after SASL.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Whether the stanza contains these bytes.
pub fn has(stanza: &[u8], needle: &str) -> bool {
    find(stanza, needle.as_bytes()).is_some()
}

/// The first attribute of this name, verbatim.
pub fn attribute<'a>(stanza: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = stanza;
    loop {
        rest = &rest[find(rest, name.as_bytes())?..];
        let before = stanza[stanza.len() - rest.len() - 1];
        rest = &rest[name.len()..];
        if let [b'=', quote @ (b'\'' | b'"'), value @ ..] = rest
            && before.is_ascii_whitespace()
        {
            return std::str::from_utf8(&value[..memchr(*quote, value)?]).ok();
        }
    }
}

/// The part from the first tag that starts like this, for attributes of children.
pub fn from_tag<'a>(stanza: &'a [u8], tag: &str) -> Option<&'a [u8]> {
    Some(&stanza[find(stanza, tag.as_bytes())?..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_found_however_the_bytes_come() {
        let stream =
            b"<?xml version='1.0'?><stream:stream to='x'><a/><b><c d='e'/>f</b> <g></g></stream:stream>";
        for chunk in 1..stream.len() {
            let (mut scanner, mut buffer, mut found) = (Scanner::default(), Vec::new(), Vec::new());
            for bytes in stream.chunks(chunk) {
                buffer.extend_from_slice(bytes);
                while let Some(next) = scanner.next(&buffer) {
                    let (Found::Header(end) | Found::Stanza(end) | Found::End(end)) = next;
                    found.push(String::from_utf8(buffer.drain(..end).collect()).unwrap());
                }
            }
            assert_eq!(found[1..], ["<a/>", "<b><c d='e'/>f</b>", " <g></g>", "</stream:stream>"]);
        }
    }

    #[test]
    fn attributes_are_found_by_their_whole_name() {
        let stanza = b"<iq xid='1' id=\"2\" to='3'><item id='4'/></iq>";
        assert_eq!(attribute(stanza, "id"), Some("2"));
        assert_eq!(attribute(stanza, "to"), Some("3"));
        assert_eq!(attribute(from_tag(stanza, "<item").unwrap(), "id"), Some("4"));
        assert_eq!(attribute(stanza, "type"), None);
    }
}
