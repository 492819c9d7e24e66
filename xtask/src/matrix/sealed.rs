//! The rows of a sealed segment.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Row;

/// Reads a file, as any reader of Parquet would.
pub fn rows_of(file: &Path) -> Result<Vec<Row>> {
    let what = || format!("read {}", file.display());
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).with_context(what)?);
    let reader = builder.and_then(ParquetRecordBatchReaderBuilder::build).with_context(what)?;
    let mut json = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut json);
    for batch in reader {
        writer.write(&batch.with_context(what)?)?;
    }
    writer.finish()?;
    let lines = json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).with_context(what)).collect()
}
