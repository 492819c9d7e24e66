//! A table in GitHub-flavored Markdown.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::encode::Encode;
use super::{cells, escape};

#[derive(Debug)]
pub(super) struct Markdown {
    header: Option<String>,
}

impl Markdown {
    pub(super) fn new(schema: &Schema) -> Self {
        let fields = schema.fields();
        let mut header = String::from("|");
        for field in fields {
            cell(&mut header, field.name());
        }
        header.push_str("\n|");
        for field in fields {
            header.push_str(if field.data_type().is_numeric() { " ---: |" } else { " --- |" });
        }
        header.push('\n');
        Self { header: Some(header) }
    }
}

impl Encode for Markdown {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut text = self.header.take().unwrap_or_default();
        let mut row = cells::Row::new(batch)?;
        for at in 0..batch.num_rows() {
            text.push('|');
            row.read(at)?.iter().for_each(|value| cell(&mut text, value));
            text.push('\n');
        }
        Ok(text.into_bytes())
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        Ok(self.header.take().unwrap_or_default().into_bytes())
    }
}

/// Appends one cell. A value must not become Markdown, HTML or a link that a reader could follow.
fn cell(text: &mut String, value: &str) {
    text.push(' ');
    let value = escape::escape(value, |_| false);
    let mut before = None;
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            // Between letters it is not emphasis, so `tcp_v4_rcv` stays readable.
            '_' if is_word(before) && is_word(rest.peek().copied()) => text.push(c),
            // Only `http://` and `www.` make a link.
            ':' if rest.peek() != Some(&'/') => text.push(c),
            '.' if before != Some('w') && before != Some('W') => text.push(c),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~'
            | '$' | '@' | ':' | '.' => {
                text.push('\\');
                text.push(c);
            }
            c => text.push(c),
        }
        before = Some(c);
    }
    text.push_str(" |");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let mut text = String::new();
        cell(&mut text, value);
        text
    }

    #[test]
    fn names_of_the_kernel_stay_readable() {
        assert_eq!(shown("tcp_v4_rcv"), " tcp_v4_rcv |");
        assert_eq!(shown("2026-11-21T20:18:19Z"), " 2026-11-21T20:18:19Z |");
        assert_eq!(shown("10.0.0.1"), " 10.0.0.1 |");
        assert_eq!(shown(""), "  |");
    }

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(shown("a|b\nc"), " a\\|b\\\\nc |");
        assert_eq!(shown("<img src=x>&lt;"), " &lt;img src=x&gt;&amp;lt; |");
        assert_eq!(shown("![x](y) `c` *b* __i__"), r" \!\[x\]\(y\) \`c\` \*b\* \_\_i\_\_ |");
        assert_eq!(shown("http://www.x.y \\"), r" http\://www\.x.y \\ |");
    }
}
