//! Results on stdout, batch by batch, so that memory does not grow with the result; messages and
//! progress on stderr; and results that are files.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;

use crate::error::Error;
use crate::output::format::Format;
use crate::output::progress::Progress;

mod cells;
mod columnar;
mod delimited;
mod encode;
pub(crate) mod escape;
pub(crate) mod file;
pub(crate) mod format;
mod json;
mod markdown;
pub(crate) mod numbers;
pub(crate) mod progress;
pub(crate) mod stderr;
mod table;

use columnar::{ArrowStream, Parquet};
use delimited::{Delimited, Style};
use encode::Encode;
use json::{Json, Ndjson};
use markdown::Markdown;
pub(crate) use table::Cells;
use table::TextTable;

/// Encodes one result in a format.
struct Encoder {
    format: Box<dyn Encode>,
    terminal: escape::Terminal,
}

impl Encoder {
    fn new(format: Format, cells: Cells, schema: &Schema) -> Result<Self, ArrowError> {
        let format: Box<dyn Encode> = match format {
            Format::Table => Box::new(TextTable::new(schema, cells)),
            Format::Csv => Box::new(Delimited::new(Style::Csv, schema)),
            Format::Tsv => Box::new(Delimited::new(Style::Tsv, schema)),
            Format::Json => Box::new(Json::new()),
            Format::Ndjson => Box::new(Ndjson::new()),
            Format::Markdown => Box::new(Markdown::new(schema)),
            Format::Parquet => Box::new(Parquet::new(schema)?),
            Format::Arrow => Box::new(ArrowStream::new(schema)?),
        };
        Ok(Self { format, terminal: escape::Terminal::stdout() })
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        Ok(self.terminal.guard(self.format.encode(batch)?))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        Ok(self.terminal.guard(self.format.finish()?))
    }
}

/// A value for people, escaped: on one line, or with its own line ends.
pub(crate) fn escape(value: &str, cells: Cells) -> String {
    escape::escape(value, |c| c == '\n' && cells == Cells::Lines).into_owned()
}

/// Prints the result of a query while it arrives, with a progress line on the terminal until the
/// first row. Returns the number of rows.
pub(crate) async fn watched(
    format: Format,
    cells: Cells,
    mut batches: SendableRecordBatchStream,
    mut progress: Progress,
    out: &mut dyn Write,
) -> Result<u64, Error> {
    let mut encoder = Encoder::new(format, cells, &batches.schema())?;
    let mut rows = 0;
    loop {
        let batch = tokio::select! {
            biased;
            batch = batches.next() => batch,
            () = progress.due() => {
                progress.show();
                continue;
            }
        };
        let (bytes, is_last) = match batch {
            Some(batch) => {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                (encoder.encode(&batch)?, false)
            }
            None => (encoder.finish()?, true),
        };
        if !bytes.is_empty() {
            progress.give_way();
            out.write_all(&bytes).map_err(Error::Output)?;
        }
        if is_last {
            return Ok(rows);
        }
        // If the result is always ready, nothing else would yield to Ctrl-C.
        tokio::task::yield_now().await;
    }
}

/// Prints one batch.
pub(crate) fn batch(format: Format, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), Error> {
    let mut encoder = Encoder::new(format, Cells::OneLine, &batch.schema())?;
    out.write_all(&encoder.encode(batch)?).map_err(Error::Output)?;
    out.write_all(&encoder.finish()?).map_err(Error::Output)?;
    out.flush().map_err(Error::Output)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn sample() -> RecordBatch {
        let times = TimestampMicrosecondArray::from(vec![1_795_292_299_123_456, 0]);
        RecordBatch::try_from_iter_with_nullable([
            ("time", Arc::new(times.with_timezone("UTC")) as ArrayRef, false),
            ("pid", Arc::new(Int32Array::from(vec![None, Some(7)])) as ArrayRef, true),
            ("comm", Arc::new(StringArray::from(vec!["a,\"b\"", "c\nd"])) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn encoded(format: Format, batches: &[RecordBatch]) -> String {
        let mut encoder = Encoder::new(format, Cells::OneLine, &sample().schema()).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(encoder.encode(batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_has_one_header_and_times_with_z() {
        let text = encoded(Format::Csv, &[sample(), sample()]);
        let rows =
            "2026-11-21T20:18:19.123456Z,,\"a,\"\"b\"\"\"\n1970-01-01T00:00:00Z,7,\"c\nd\"\n";
        assert_eq!(text, format!("time,pid,comm\n{rows}{rows}"));
        assert_eq!(encoded(Format::Csv, &[]), "time,pid,comm\n");
    }

    #[test]
    fn csv_has_a_line_for_a_row_of_one_null() {
        let nulls = RecordBatch::try_from_iter([(
            "pid",
            Arc::new(Int32Array::from(vec![None, Some(1)])) as ArrayRef,
        )])
        .unwrap();
        let mut encoder = Encoder::new(Format::Csv, Cells::OneLine, &nulls.schema()).unwrap();
        assert_eq!(encoder.encode(&nulls).unwrap(), b"pid\n\"\"\n1\n");
    }

    #[test]
    fn tsv_is_a_line_a_row() {
        let text = encoded(Format::Tsv, &[sample()]);
        assert_eq!(
            text,
            "time\tpid\tcomm\n2026-11-21T20:18:19.123456Z\t\ta,\"b\"\n\
             1970-01-01T00:00:00Z\t7\tc\\nd\n"
        );
        assert_eq!(encoded(Format::Tsv, &[]), "time\tpid\tcomm\n");
    }

    #[test]
    fn markdown_has_one_header() {
        let text = encoded(Format::Markdown, &[sample(), sample()]);
        assert!(text.starts_with("| time | pid | comm |\n| --- | ---: | --- |\n"), "{text}");
        assert_eq!(text.lines().count(), 6);
        assert_eq!(encoded(Format::Markdown, &[]).lines().count(), 2);
    }

    #[test]
    fn json_is_one_array_with_explicit_nulls() {
        let value: serde_json::Value =
            serde_json::from_str(&encoded(Format::Json, &[sample(), sample()])).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 4);
        assert_eq!(value[0]["time"], "2026-11-21T20:18:19.123456Z");
        assert_eq!(value[0].get("pid"), Some(&serde_json::Value::Null));
        assert_eq!(encoded(Format::Json, &[]), "[]\n");
    }

    #[test]
    fn ndjson_is_one_object_a_line() {
        let text = encoded(Format::Ndjson, &[sample(), sample()]);
        assert_eq!(text.lines().count(), 4);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(encoded(Format::Ndjson, &[]), "");
    }
}
