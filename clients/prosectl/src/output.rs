//! Output: text on a terminal, JSON lines in a pipe.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use prosed_protocol::visible;
use rustix::termios::tcgetwinsize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;
use crate::table::Look;

/// Where a command's results go.
pub(crate) struct Output {
    out: Box<dyn Write>,
    /// The terminal's properties. Absent: print JSON.
    look: Option<Look>,
}

impl Output {
    /// Standard output. JSON if it is not a terminal, or if `json` is set.
    pub(crate) fn new(json: bool) -> Self {
        let out = std::io::stdout();
        let look = (!json && out.is_terminal()).then(|| Look {
            columns: tcgetwinsize(&out).ok().map(|size| size.ws_col.into()).filter(|&columns| columns > 0),
            // NO_COLOR, TERM=dumb and the like.
            colour: AutoStream::choice(&out) != ColorChoice::Never,
        });
        Self { out: Box::new(out), look }
    }

    /// Whether text is printed rather than JSON.
    pub(crate) fn is_terminal(&self) -> bool {
        self.look.is_some()
    }

    /// Prints one result: as one line of JSON, or as text.
    pub(crate) fn one<T: DeserializeOwned>(
        &mut self,
        value: Value,
        to_text: impl FnOnce(&T, Look) -> String,
    ) -> Result<(), Failure> {
        match self.look {
            Some(look) => self.bytes(to_text(&read(value)?, look).as_bytes()),
            None => self.json(&value),
        }
    }

    /// Prints a list: one line of JSON per item, or as text.
    pub(crate) fn list<T: DeserializeOwned>(
        &mut self,
        values: Value,
        to_text: impl FnOnce(&[T], Look) -> String,
    ) -> Result<(), Failure> {
        if let Some(look) = self.look {
            return self.bytes(to_text(&read::<Vec<T>>(values)?, look).as_bytes());
        }
        match values {
            Value::Array(values) => values.iter().try_for_each(|value| self.json(value)),
            other => self.json(&other),
        }
    }

    /// Prints JSON, indented on a terminal.
    pub(crate) fn raw(&mut self, value: &Value) -> Result<(), Failure> {
        if self.look.is_some() {
            self.line(&visible::escape_invisible(&format!("{value:#}")))
        } else {
            self.json(value)
        }
    }

    /// Prints a line as it is. It must contain nothing that peers wrote.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&visible::escape_invisible(&value.to_string()))
    }

    /// Prints bytes as they are. Text that peers wrote must have been made harmless.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(Failure::Output)
    }

    /// Says on standard error what the command is waiting for.
    pub(crate) fn progress(&self, line: &str) {
        // Not essential.
        let _ = writeln!(std::io::stderr(), "{}", visible::plain(line));
    }

    /// Prints an error to standard error: the reason for the exit, or one that the command continues after.
    pub(crate) fn failure(&self, failure: &Failure) {
        let message = if self.look.is_some() {
            let text = failure.text().map(|text| format!(" ({text})")).unwrap_or_default();
            visible::plain(&format!("prosectl: {}{text}", failure.to_people()))
        } else {
            visible::escape_invisible(&failure.to_json().to_string())
        };
        // There is nowhere to report this.
        let _ = writeln!(std::io::stderr(), "{message}");
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::Connection(error.into()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(for_people: bool, print: impl FnOnce(&mut Output) -> Result<(), Failure>) -> String {
        let paper = Paper::default();
        let look = for_people.then(Look::default);
        print(&mut Output { out: Box::new(paper.clone()), look }).unwrap();
        String::from_utf8(paper.0.take()).unwrap()
    }

    #[test]
    fn a_list_is_one_json_line_an_item() {
        let list = json!([{"a": "x\u{9b}y"}, {"new": true}]);
        let lines = printed(false, |output| output.list::<Value>(list, |_, _| unreachable!()));
        assert_eq!(lines, "{\"a\":\"x\\u009by\"}\n{\"new\":true}\n");
    }

    #[test]
    fn people_get_text_and_indented_json() {
        let text = printed(true, |output| output.one::<u32>(json!(5), |five, _| format!("five is {five}\n")));
        assert_eq!(text, "five is 5\n");
        assert_eq!(printed(true, |output| output.raw(&json!({"a": 1}))), "{\n  \"a\": 1\n}\n");
    }
}
