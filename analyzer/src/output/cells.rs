//! Values formatted as text, row by row.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Formats one row of a batch at a time; null is empty. The strings are reused for each row.
pub(super) struct Row<'a> {
    columns: Vec<ArrayFormatter<'a>>,
    values: Vec<String>,
}

impl<'a> Row<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &OPTIONS))
            .collect::<Result<Vec<_>, _>>()?;
        let values = vec![String::new(); columns.len()];
        Ok(Self { columns, values })
    }

    pub(super) fn read(&mut self, at: usize) -> Result<&[String], ArrowError> {
        for (column, value) in self.columns.iter().zip(&mut self.values) {
            value.clear();
            column.value(at).write(value)?;
        }
        Ok(&self.values)
    }
}
