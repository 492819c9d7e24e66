//! Results on stdout, batch by batch: memory does not grow with the result.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{JsonArray, LineDelimited, Writer as JsonWriter};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;

use crate::cli::Format;
use crate::error::Error;

mod text_table;

pub use text_table::Cells;
use text_table::TextTable;
pub(crate) use text_table::escape;

/// Turns batches into bytes. Arrow's writers write into memory, so that an I/O error stays one
/// (the CSV writer would make text of it, and a closed pipe could not be told from a full disk).
#[derive(Debug)]
enum Encoder {
    Table(TextTable),
    Csv { header_done: bool, schema: SchemaRef },
    Json(JsonWriter<Vec<u8>, JsonArray>),
    Ndjson(JsonWriter<Vec<u8>, LineDelimited>),
}

impl Encoder {
    fn new(format: Format, cells: Cells, schema: SchemaRef) -> Self {
        // Without explicit nulls the keys of an object would depend on its values.
        let json = JsonBuilder::new().with_explicit_nulls(true);
        match format {
            Format::Table => Encoder::Table(TextTable::new(&schema, cells)),
            Format::Csv => Encoder::Csv { header_done: false, schema },
            Format::Json => Encoder::Json(json.build(Vec::new())),
            Format::Ndjson => Encoder::Ndjson(json.build(Vec::new())),
        }
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self {
            Encoder::Table(table) => table.encode(batch),
            Encoder::Csv { header_done, .. } => {
                let mut bytes = Vec::new();
                let header = !std::mem::replace(header_done, true);
                let mut writer =
                    arrow::csv::WriterBuilder::new().with_header(header).build(&mut bytes);
                writer.write(batch)?;
                drop(writer);
                Ok(bytes)
            }
            Encoder::Json(writer) => {
                writer.write(batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Encoder::Ndjson(writer) => {
                writer.write(batch)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    /// What is left to write after the last batch.
    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        match self {
            Encoder::Table(table) => Ok(table.finish()),
            // A result without rows still has its header.
            Encoder::Csv { header_done: false, schema } => {
                let empty = RecordBatch::new_empty(SchemaRef::clone(schema));
                self.encode(&empty)
            }
            Encoder::Csv { .. } => Ok(Vec::new()),
            Encoder::Json(writer) => {
                writer.finish()?;
                let mut bytes = std::mem::take(writer.get_mut());
                bytes.push(b'\n');
                Ok(bytes)
            }
            Encoder::Ndjson(writer) => {
                writer.finish()?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

/// Prints the result of a query while it comes.
pub async fn stream(
    format: Format,
    cells: Cells,
    mut batches: SendableRecordBatchStream,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut encoder = Encoder::new(format, cells, batches.schema());
    while let Some(batch) = batches.next().await {
        out.write_all(&encoder.encode(&batch?)?).map_err(Error::Output)?;
    }
    out.write_all(&encoder.finish()?).map_err(Error::Output)
}

/// Prints one batch.
pub fn batch(format: Format, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), Error> {
    let mut encoder = Encoder::new(format, Cells::OneLine, batch.schema());
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
        let mut encoder = Encoder::new(format, Cells::OneLine, sample().schema());
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
