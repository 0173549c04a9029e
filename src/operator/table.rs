//! Plain aligned text for a terminal of 80 columns.

use crate::columns::wrap;

/// A table: columns as wide as their cells, two spaces between. A row that is wider than 80
/// columns puts its first cell on a line of its own; the last cell is broken between words.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// A cell longer than this does not widen its column for everybody.
const MAX_FIRST: usize = 28;

impl Table {
    /// A table with these headings.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![headings.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| if c.is_empty() { "-".to_owned() } else { c }).collect());
    }

    /// The text, indented by `indent` spaces.
    pub fn text(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells =
                    self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                match column {
                    0 => cells.filter(|width| *width <= MAX_FIRST).max().unwrap_or(0),
                    _ => cells.max().unwrap_or(0),
                }
            })
            .collect();
        self.rows.iter().map(|row| line(row, &widths, indent)).collect()
    }
}

fn line(row: &[String], widths: &[usize], indent: usize) -> String {
    let mut text = " ".repeat(indent);
    let mut column = indent;
    for (position, (cell, width)) in row.iter().zip(widths).enumerate() {
        if position + 1 == row.len() {
            text.push_str(&wrap(cell, column));
            break;
        }
        text.push_str(cell);
        let length = cell.chars().count();
        if length > *width {
            text.push('\n');
            text.push_str(&" ".repeat(column + width + 2));
        } else {
            text.push_str(&" ".repeat(width - length + 2));
        }
        column += width + 2;
    }
    format!("{}\n", text.trim_end())
}

/// `name:` and its value, the values aligned at `at`; an absent value is `-`.
pub fn field(name: &str, value: Option<&str>, at: usize) -> String {
    let label = format!("{name}:");
    let length = label.chars().count();
    // A long name pushes its value, all lines of it, to the right.
    let at = at.max(length + 1);
    let gap = at - length;
    format!("{label}{}{}\n", " ".repeat(gap), wrap(value.unwrap_or("-"), at))
}

/// A time as people read it, to the second, in UTC.
pub(super) fn when(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::WIDTH;

    #[test]
    fn no_line_passes_80_columns_while_words_can_be_broken() {
        let mut table = Table::new(["HOST", "CONSUL SAYS", "WHY"]);
        table.row(["node1".into(), "passing".into(), "word ".repeat(60)]);
        table.row(["n".repeat(60), "critical".into(), String::new()]);
        let text = table.text(2);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
        assert!(text.lines().last().unwrap().ends_with("critical     -"), "{text}");
        for name in ["a", "node1.example.org.at.home"] {
            let text = field(name, Some(&"word ".repeat(60)), 20);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
    }
}
