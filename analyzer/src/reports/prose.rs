//! Sentences: topics with wrapped paragraphs for people, or rows for programs.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use unicode_width::UnicodeWidthStr as _;

use crate::error::Error;
use crate::output;
use crate::output::format::Format;

/// The width of --help.
const WIDTH: usize = 98;
const INDENT: &str = "  ";

/// An answer in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prose {
    topics: Vec<(&'static str, Vec<String>)>,
}

impl Prose {
    /// Adds a topic, unless it has no paragraph.
    pub(crate) fn add(&mut self, topic: &'static str, paragraphs: Vec<String>) {
        if !paragraphs.is_empty() {
            self.topics.push((topic, paragraphs));
        }
    }

    /// Prints the answer. It quotes names of processes and containers, escaped as in tables.
    pub(crate) fn print(&self, format: Format, out: &mut dyn Write) -> Result<(), Error> {
        if format != Format::Table {
            return output::batch(format, &self.batch()?, out);
        }
        for (place, (topic, paragraphs)) in self.topics.iter().enumerate() {
            let mut text = format!("{}{topic}\n", if place == 0 { "" } else { "\n" });
            for paragraph in paragraphs {
                let line = output::escape(paragraph, output::Cells::OneLine);
                wrap(&line, &mut text);
            }
            out.write_all(text.as_bytes()).map_err(Error::Output)?;
        }
        out.flush().map_err(Error::Output)
    }

    /// One row for each paragraph.
    fn batch(&self) -> Result<RecordBatch, Error> {
        let rows = || self.topics.iter().flat_map(|(t, ps)| ps.iter().map(move |p| (*t, p)));
        let field = |name: &str| Field::new(name, DataType::Utf8, false);
        let topics: StringArray = rows().map(|(topic, _)| Some(topic)).collect();
        let texts: StringArray = rows().map(|(_, text)| Some(text.trim())).collect();
        let schema = Schema::new(vec![field("topic"), field("text")]);
        Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(topics), Arc::new(texts)])?)
    }
}

/// Wraps a paragraph between words. Its own indent applies to all its lines.
fn wrap(paragraph: &str, text: &mut String) {
    let own = paragraph.len() - paragraph.trim_start().len();
    let indent = format!("{INDENT}{}", " ".repeat(own));
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        if width > 0 && width + 1 + word.width() > WIDTH {
            text.push('\n');
            width = 0;
        }
        if width == 0 {
            text.push_str(&indent);
            width = indent.len();
        } else {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.width();
    }
    text.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_wrapped_and_harmless() {
        let mut prose = Prose::default();
        prose.add("Topic", vec!["word ".repeat(30), "a\u{1b}[2J\nb".to_owned()]);
        prose.add("Nothing", Vec::new());
        let mut bytes = Vec::new();
        prose.print(Format::Table, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().all(|line| line.len() <= WIDTH + 1), "{text}");
        assert!(text.starts_with("Topic\n  word word"), "{text}");
        assert!(text.contains("a\\u{1b}[2J\\nb") && !text.contains("Nothing"), "{text}");

        let mut bytes = Vec::new();
        prose.print(Format::Ndjson, &mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 2);
    }
}
