//! Aligned columns for people.

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use unicode_width::UnicodeWidthStr as _;

use super::encode::Encode;
use super::{cells, escape};

/// Rows that determine the widths. Using all rows would keep the whole result in memory; a wider
/// cell further down shifts only its own row.
const WIDTH_ROWS: usize = 1000;

/// Maximum width of a column of a query plan.
const PLAN_WIDTH: usize = 80;

/// The meaning of a line end in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Part of the value: it is escaped, so that a row is one line.
    OneLine,
    /// Layout, as in a query plan.
    Lines,
}

/// Formats batches as a table.
#[derive(Debug)]
pub(super) struct TextTable {
    cells: Cells,
    header: Vec<String>,
    right: Vec<bool>,
    /// Rows buffered until the widths are known.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl TextTable {
    pub(super) fn new(schema: &Schema, cells: Cells) -> Self {
        let fields = schema.fields();
        Self {
            cells,
            header: fields
                .iter()
                .map(|field| escape::escape(field.name(), |_| false).into_owned())
                .collect(),
            right: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
            waiting: Vec::new(),
            widths: None,
        }
    }

    /// Fixes the widths, then writes the header and the buffered rows.
    fn start(&mut self, text: &mut String) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.width()).collect();
        for row in &waiting {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.lines().map(|line| line.width()).max().unwrap_or(0).max(*width);
            }
        }
        if self.cells == Cells::Lines {
            // Lines of a plan can have thousands of characters; no column follows to their right.
            widths.iter_mut().for_each(|width| *width = (*width).min(PLAN_WIDTH));
        }
        self.line(text, &self.header, &widths);
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(text, &rule, &widths);
        for row in &waiting {
            self.line(text, row, &widths);
        }
        self.widths = Some(widths);
    }

    /// Writes one row, with as many lines as its highest cell.
    fn line(&self, text: &mut String, row: &[String], widths: &[usize]) {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
        for at in 0..height {
            let start = text.len();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let part = cell.lines().nth(at).unwrap_or_default();
                let padding = " ".repeat(width.saturating_sub(part.width()));
                let gap = if column == 0 { "" } else { "  " };
                // Writing to a string cannot fail.
                let _ = if self.right[column] {
                    write!(text, "{gap}{padding}{part}")
                } else {
                    write!(text, "{gap}{part}{padding}")
                };
            }
            text.truncate(start + text[start..].trim_end().len());
            text.push('\n');
        }
    }
}

impl Encode for TextTable {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let lines = self.cells == Cells::Lines;
        let mut text = String::new();
        let mut values = cells::Row::new(batch)?;
        for at in 0..batch.num_rows() {
            let row: Vec<String> = values
                .read(at)?
                .iter()
                .map(|value| escape::escape(value, |c| lines && c == '\n').into_owned())
                .collect();
            if let Some(widths) = &self.widths {
                self.line(&mut text, &row, widths);
            } else {
                self.waiting.push(row);
                if self.waiting.len() == WIDTH_ROWS {
                    self.start(&mut text);
                }
            }
        }
        Ok(text.into_bytes())
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        let mut text = String::new();
        if self.widths.is_none() {
            self.start(&mut text);
        }
        Ok(text.into_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn table(names: Vec<&str>, counts: Vec<Option<i64>>, cells: Cells) -> String {
        let batch = RecordBatch::try_from_iter([
            ("comm", Arc::new(StringArray::from(names)) as ArrayRef),
            ("n", Arc::new(Int64Array::from(counts)) as ArrayRef),
        ])
        .unwrap();
        let mut table = TextTable::new(&batch.schema(), cells);
        let mut bytes = table.encode(&batch).unwrap();
        bytes.extend(table.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_are_right_and_nulls_empty() {
        let text = table(vec!["curl", "a"], vec![Some(10), None], Cells::OneLine);
        assert_eq!(text, "comm   n\n----  --\ncurl  10\na\n");
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let text = table(vec!["\u{1b}[2J\r\n\u{7}\u{9b}x\u{202e}"], vec![Some(1)], Cells::OneLine);
        assert!(text.contains("\\u{1b}[2J\\r\\n\\u{7}\\u{9b}x\\u{202e}"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_plan_keeps_its_lines() {
        let text = table(vec!["a\n  b"], vec![Some(1)], Cells::Lines);
        assert_eq!(text, "comm  n\n----  -\na     1\n  b\n");
    }

    #[test]
    fn rows_after_the_first_thousand_are_not_kept() {
        let names = vec!["x"; WIDTH_ROWS + 5];
        let counts = vec![Some(1); WIDTH_ROWS + 5];
        assert_eq!(table(names, counts, Cells::OneLine).lines().count(), WIDTH_ROWS + 7);
    }
}
