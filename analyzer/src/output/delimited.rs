//! CSV and TSV: a header and a line a row.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::cells;
use super::encode::Encode;

/// The separator and the quoting of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// RFC 4180: a value that contains a separator, a quote or a line end is quoted.
    Csv,
    /// text/tab-separated-values has no quoting: a tab, a line end and a backslash in a value are
    /// written `\t`, `\n`, `\r` and `\\`, as in PostgreSQL's COPY.
    Tsv,
}

#[derive(Debug)]
pub(super) struct Delimited {
    style: Style,
    header: Option<Vec<String>>,
}

impl Delimited {
    pub(super) fn new(style: Style, schema: &Schema) -> Self {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { style, header: Some(names) }
    }

    /// A result without rows still has its header.
    fn header(&mut self, text: &mut String) {
        if let Some(names) = self.header.take() {
            self.line(text, names.iter().map(String::as_str));
        }
    }

    fn line<'a>(&self, text: &mut String, values: impl Iterator<Item = &'a str>) {
        let start = text.len();
        for (at, value) in values.enumerate() {
            match self.style {
                Style::Csv => {
                    if at > 0 {
                        text.push(',');
                    }
                    csv(text, value);
                }
                Style::Tsv => {
                    if at > 0 {
                        text.push('\t');
                    }
                    tsv(text, value);
                }
            }
        }
        // Readers ignore an empty line.
        if self.style == Style::Csv && text.len() == start {
            text.push_str("\"\"");
        }
        text.push('\n');
    }
}

impl Encode for Delimited {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut text = String::new();
        self.header(&mut text);
        let mut row = cells::Row::new(batch)?;
        for at in 0..batch.num_rows() {
            let values = row.read(at)?;
            self.line(&mut text, values.iter().map(String::as_str));
        }
        Ok(text.into_bytes())
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        let mut text = String::new();
        self.header(&mut text);
        Ok(text.into_bytes())
    }
}

fn csv(text: &mut String, value: &str) {
    if !value.contains([',', '"', '\n', '\r']) {
        return text.push_str(value);
    }
    text.push('"');
    for (at, part) in value.split('"').enumerate() {
        if at > 0 {
            text.push_str("\"\"");
        }
        text.push_str(part);
    }
    text.push('"');
}

fn tsv(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' => text.push_str("\\\\"),
            c => text.push(c),
        }
    }
}
