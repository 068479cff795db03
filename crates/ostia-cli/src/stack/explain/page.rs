//! Text on a page of some width: paragraphs, bytes, tables of fields.

use std::collections::BTreeSet;

use super::headers::Header;

/// Narrower than this, nothing can be told any more; wider, lines get hard to read.
const NARROWEST: usize = 64;
const WIDEST: usize = 120;
/// Columns of a field's name.
const NAME: usize = 18;
/// Columns of its value, where the meaning stands beside it.
const VALUE: usize = 26;
/// With fewer columns than this the meaning stands below.
const ROOMY: usize = 96;
/// Bytes in a row, if the page is wide enough for them with their text.
const BYTES: usize = 16;
const ROW: usize = 10 + 3 * BYTES + 2 + BYTES;

/// A page that grows.
#[derive(Debug)]
pub struct Page {
    text: String,
    width: usize,
    color: bool,
    /// Fields that have been explained.
    known: BTreeSet<(&'static str, &'static str)>,
}

impl Page {
    /// An empty page.
    pub fn new(width: usize, color: bool) -> Page {
        Page { text: String::new(), width: width.clamp(NARROWEST, WIDEST), color, known: BTreeSet::new() }
    }

    /// Its columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What stands on it.
    pub fn into_text(self) -> String {
        self.text
    }

    /// A line as it is.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A heading, with room around it.
    pub fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.strong(heading);
        self.line(&"-".repeat(heading.chars().count()));
    }

    /// A line that stands out.
    pub fn strong(&mut self, line: &str) {
        match self.color {
            true => self.line(&format!("\x1b[1m{line}\x1b[0m")),
            false => self.line(line),
        }
    }

    /// A paragraph, broken between words.
    pub fn text(&mut self, text: &str) {
        self.indented(0, text);
    }

    /// The same, with so many columns left free.
    pub fn indented(&mut self, indent: usize, text: &str) {
        for line in wrap(text, self.width.saturating_sub(indent)) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    /// An item of a list.
    pub fn item(&mut self, text: &str) {
        for (number, line) in wrap(text, self.width.saturating_sub(4)).into_iter().enumerate() {
            let mark = if number == 0 { "- " } else { "  " };
            self.line(&format!("  {mark}{line}"));
        }
    }

    /// Bytes, in hexadecimal and, where `readable`, as text.
    pub fn bytes(&mut self, bytes: &[u8], readable: bool) {
        let count = if self.width < ROW { BYTES / 2 } else { BYTES };
        let columns = count * 3;
        for (number, row) in bytes.chunks(count).enumerate() {
            let hex: Vec<String> =
                row.chunks(8).map(|half| half.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")).collect();
            let mut line = format!("    {:04x}  {:columns$}", number * count, hex.join("  "));
            if readable {
                line.push_str("  ");
                line.extend(row.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }));
            }
            self.line(&line);
        }
    }

    /// A header's fields. What a field is for stands where it first appears.
    pub fn fields(&mut self, header: &Header) {
        for field in &header.fields {
            let new = self.known.insert((header.name, field.name));
            let head = format!("    {:NAME$}{}", field.name, field.value);
            if !new {
                self.line(&head);
                continue;
            }
            let meaning = format!("{} ({})", field.meaning, field.rule);
            if self.width < ROOMY || field.value.len() >= VALUE {
                self.line(&head);
                self.indented(8, &meaning);
                continue;
            }
            let indent = 4 + NAME + VALUE;
            for (number, line) in wrap(&meaning, self.width - indent).into_iter().enumerate() {
                match number {
                    0 => self.line(&format!("{head:indent$}{line}")),
                    _ => self.line(&format!("{:indent$}{line}", "")),
                }
            }
        }
    }
}

/// Lines of at most so many columns, broken between words; a longer word has a line to itself.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hold_the_width() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable x", 5), ["unbreakable", "x"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn a_page_is_neither_too_narrow_nor_too_wide() {
        assert_eq!([0, 80, 4000].map(|width| Page::new(width, false).width()), [NARROWEST, 80, WIDEST]);
    }

    #[test]
    fn bytes_stand_in_rows_with_their_text() {
        let mut page = Page::new(80, false);
        page.bytes(b"a readable text\n!", true);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "    0000  61 20 72 65 61 64 61 62  6c 65 20 74 65 78 74 0a  a readable text.");
        assert!(lines[1].starts_with("    0010  21 ") && lines[1].ends_with(" !"));
    }

    #[test]
    fn only_what_may_be_coloured_is() {
        for color in [true, false] {
            let mut page = Page::new(80, color);
            page.heading("A heading");
            assert_eq!(page.into_text().contains('\x1b'), color);
        }
    }
}
