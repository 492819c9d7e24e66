//! The rows of a sealed segment.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;

use super::recording::Row;

/// Reads a file, as any reader of Parquet would.
pub(crate) fn rows_of(file: &Path) -> Result<Vec<Row>> {
    let what = || format!("read {}", file.display());
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).with_context(what)?);
    let reader = builder.and_then(ParquetRecordBatchReaderBuilder::build).with_context(what)?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.with_context(what)?;
        for at in 0..batch.num_rows() {
            let schema = batch.schema_ref();
            let fields = schema.fields().iter().zip(batch.columns());
            let values =
                fields.map(|(field, column)| Ok((field.name().clone(), value(column, at)?)));
            rows.push(values.collect::<Result<Row>>().with_context(what)?);
        }
    }
    Ok(rows)
}

/// One value, as JSON has it; a time as text.
fn value(column: &ArrayRef, at: usize) -> Result<Json> {
    if column.is_null(at) {
        return Ok(Json::Null);
    }
    Ok(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(at).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(at).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(at).into(),
        DataType::Boolean => column.as_boolean().value(at).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let us = column.as_primitive::<TimestampMicrosecondType>().value(at);
            let time = DateTime::from_timestamp_micros(us).context("a time out of range")?;
            time.to_rfc3339_opts(SecondsFormat::Micros, true).into()
        }
        other => bail!("a column of {other} is not one of ours"),
    })
}
