//! Columns of a query result by name, in the few types that the page needs.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;

/// An integer column; times are microseconds.
pub(super) fn ints(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>, ArrowError> {
    let column = column(batch, name)?;
    let column = match column.data_type() {
        DataType::Timestamp(_, zone) => {
            cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
        }
        _ => column.clone(),
    };
    let column = cast(&column, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().iter().collect())
}

/// A column of counts, which are never null or negative.
pub(super) fn counts(batch: &RecordBatch, name: &str) -> Result<Vec<u64>, ArrowError> {
    let numbers = ints(batch, name)?;
    Ok(numbers.into_iter().map(|n| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)).collect())
}

/// A text column.
pub(super) fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>, ArrowError> {
    let column = cast(column(batch, name)?, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// The only number of a one-row result.
pub(super) fn single(batches: &[RecordBatch], name: &str) -> Result<Option<i64>, ArrowError> {
    match batches.iter().find(|batch| batch.num_rows() > 0) {
        Some(batch) => Ok(ints(batch, name)?.first().copied().flatten()),
        None => Ok(None),
    }
}

fn column<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::ArrayRef, ArrowError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("the result has no column {name}")))
}
