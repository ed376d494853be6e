//! The last step of the log: whatever peers send, an entry is one line and shows all its characters.

use std::io::{self, Write};

use prosed_protocol::visible;
use tracing::Subscriber;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

/// Writes events as lines.
pub(super) fn layer<S, W>(to: impl Fn() -> W + Send + Sync + 'static, coloured: bool) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + 'static,
{
    fmt::layer().with_writer(move || PlainLines::new(to(), coloured)).with_ansi(coloured)
}

/// Writes lines with every invisible character as its number. Each call is one whole line, which is how the formatter
/// writes its events.
struct PlainLines<W> {
    to: W,
    coloured: bool,
}

impl<W: Write> PlainLines<W> {
    /// `coloured`: the formatter writes colours. It has removed escapes from peers' text itself.
    fn new(to: W, coloured: bool) -> Self {
        Self { to, coloured }
    }
}

impl<W: Write> Write for PlainLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut plain = String::with_capacity(text.len() + 1);
        let mut rest = text;
        while let Some(at) = rest.find('\u{1b}').filter(|_| self.coloured) {
            plain += &visible::plain(&rest[..at]);
            let colour = colour(&rest[at..]);
            plain += colour;
            rest = &rest[at + colour.len()..];
            if colour.is_empty() {
                plain += r"\u{1b}";
                rest = &rest[1..];
            }
        }
        plain += &visible::plain(rest);
        plain.push('\n');
        self.to.write_all(plain.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The sequence that sets a colour, if the text begins with one.
fn colour(text: &str) -> &str {
    let numbers = text
        .strip_prefix("\u{1b}[")
        .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    match numbers {
        Some(rest) if rest.starts_with('m') => &text[..text.len() - rest.len() + 1],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, coloured: bool) -> String {
        let mut to = Vec::new();
        PlainLines::new(&mut to, coloured).write_all(line.as_bytes()).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn a_line_is_one_line_that_shows_what_it_holds() {
        let line = "INFO who=a\u{202e}b\u{200b}\u{3164}@c.org/\nERROR all is lost\u{1b}[2J\n";
        let plain = "INFO who=a\\u{202e}b\\u{200b}\\u{3164}@c.org/\\u{a}ERROR all is lost\\u{1b}[2J\n";
        assert_eq!(written(line, false), plain);
        assert_eq!(written(line, true), plain);
    }

    #[test]
    fn colours_are_the_formatters() {
        let line = "\u{1b}[2m10:00\u{1b}[0m \u{1b}[1;32mINFO\u{1b}[0m \u{1b}[K\u{1b}\n";
        assert_eq!(written(line, true), line.replace("\u{1b}[K\u{1b}", r"\u{1b}[K\u{1b}"));
        assert!(!written(line, false).contains('\u{1b}'));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let mut to = Vec::new();
        PlainLines::new(&mut to, false).write_all(b"a\xffb\n").unwrap();
        assert_eq!(to, "a\u{fffd}b\n".as_bytes());
    }

    /// Through the formatter itself, for every way in which a value is logged.
    #[test]
    fn what_is_logged_goes_through_it() {
        use std::sync::{Arc, Mutex};

        use tracing_subscriber::layer::SubscriberExt as _;

        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let to = kept.clone();
        let layer = layer(move || to.clone(), false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let jid = "mallory@example.org/\u{202e}gpj\n\u{ad}";
            tracing::info!(%jid, ?jid, "seen {jid}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.trim_end().chars().all(|c| (' '..='~').contains(&c)), "{text}");
    }
}
