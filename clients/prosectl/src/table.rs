//! Tables and lines that fit the terminal, in colour if wanted. Text that peers wrote goes through [`Cell`], which makes
//! it harmless.

use anstyle::{AnsiColor, Style};
use prosed_protocol::visible::plain;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The widest that a cell may be, in columns, so that a long status doesn't push the rest off the screen.
const MAX_CELL_COLUMNS: usize = 60;
/// The narrowest that a cell is cut to, in columns: less would be unreadable.
const MIN_CELL_COLUMNS: usize = 12;
/// The space between two columns.
const GAP: usize = 2;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const MIDDLING: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();
const HEAD: Style = Style::new().bold();

/// The terminal's properties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Its width in columns, if known.
    pub(crate) columns: Option<usize>,
    pub(crate) colour: bool,
}

/// A piece of text, without control characters that could affect the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: plain(text.as_ref()), style }
    }

    fn to_text(&self, look: Look) -> String {
        if look.colour && !self.text.is_empty() && self.style != Style::new() {
            format!("{}{}{}", self.style.render(), self.text, self.style.render_reset())
        } else {
            self.text.clone()
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// One line of cells, with nothing between them.
pub(crate) fn line(cells: impl IntoIterator<Item = Cell>, look: Look) -> String {
    let mut line: String = cells.into_iter().map(|cell| cell.to_text(look)).collect();
    line.push('\n');
    line
}

pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    max_columns: usize,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|cell| Cell::styled(cell, HEAD)).collect();
        Self { rows: vec![head], max_columns: MAX_CELL_COLUMNS }
    }

    /// Without a header: a name and its uncut value in each row.
    pub(crate) fn of_facts() -> Self {
        Self { rows: Vec::new(), max_columns: usize::MAX }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A row, unless the value is empty.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<Cell>) {
        let value = value.into();
        if !value.text.is_empty() {
            self.row([Cell::styled(name, HEAD), value]);
        }
    }

    pub(crate) fn to_text(&self, look: Look) -> String {
        let widths = self.widths(look);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut gap = 0;
            for (cell, &width) in row.iter().zip(&widths) {
                // Only if something follows, so that no line ends in spaces.
                if !cell.text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', std::mem::take(&mut gap)));
                    let cell = Cell { text: shorten(&cell.text, width), style: cell.style };
                    line.push_str(&cell.to_text(look));
                    gap = width.saturating_sub(cell.text.width()) + GAP;
                } else {
                    gap += width + GAP;
                }
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Each column is as wide as its widest cell. If the terminal is too narrow, the widest columns are cut.
    fn widths(&self, look: Look) -> Vec<usize> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.width()).max().unwrap_or(0).min(self.max_columns)
        };
        let mut widths: Vec<_> = (0..count).map(width).collect();
        if let Some(columns) = look.columns.filter(|_| self.max_columns != usize::MAX) {
            let gaps = count.saturating_sub(1) * GAP;
            while widths.iter().sum::<usize>() + gaps > columns {
                match widths.iter_mut().max() {
                    Some(widest) if *widest > MIN_CELL_COLUMNS => *widest -= 1,
                    _ => break,
                }
            }
        }
        widths
    }
}

fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= columns
    });
    kept.collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATUS", "STATE"]);
        table.row(["美美".into(), "界".repeat(100).as_str().into(), Cell::styled("away", MIDDLING)]);
        table.row(["Romeo".into(), "".into(), Cell::styled("dnd", BAD)]);
        table
    }

    #[test]
    fn columns_are_aligned_and_cut_whatever_the_script() {
        let text = table().to_text(Look::default());
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("NAME   STATUS"), "{text}");
        assert!(lines[1].starts_with("美美   界界") && lines[1].ends_with("界…   away"), "{text}");
        let at = |line: &str, word: &str| line[..line.find(word).unwrap()].width();
        assert_eq!(at(lines[1], "away"), at(lines[2], "dnd"));
        assert_eq!(at(lines[1], "away"), "Romeo".len() + GAP + MAX_CELL_COLUMNS + GAP);
    }

    #[test]
    fn the_widest_give_way_to_a_narrow_terminal() {
        for columns in [80, 40, 30] {
            let text = table().to_text(Look { columns: Some(columns), colour: false });
            assert!(text.lines().all(|line| line.width() <= columns), "{text}");
            assert!(text.contains("Romeo") && text.contains("dnd"), "{text}");
        }
        let narrow = table().to_text(Look { columns: Some(3), colour: false });
        assert!(narrow.lines().any(|line| line.contains("界…")), "something is still to be read: {narrow}");
    }

    #[test]
    fn facts_are_told_whole() {
        let mut facts = Table::of_facts();
        facts.fact("note", "x".repeat(200));
        facts.fact("role", "");
        let text = facts.to_text(Look { columns: Some(20), colour: false });
        assert_eq!(text, format!("note  {}\n", "x".repeat(200)));
    }

    #[test]
    fn colour_is_around_the_words_and_never_without_being_wanted() {
        let colour = table().to_text(Look { columns: None, colour: true });
        assert!(colour.contains("\u{1b}[31mdnd\u{1b}[0m\n"), "{colour:?}");
        assert!(colour.contains("\u{1b}[1mNAME\u{1b}[0m   "), "{colour:?}");
        assert!(!table().to_text(Look::default()).contains('\u{1b}'));
        let cells = [Cell::from("a\u{1b}[2J "), Cell::styled("b", GOOD)];
        assert_eq!(line(cells.clone(), Look::default()), "a\\u{1b}[2J b\n");
        let colour = line(cells, Look { columns: None, colour: true });
        assert_eq!(colour, "a\\u{1b}[2J \u{1b}[32mb\u{1b}[0m\n");
    }
}
