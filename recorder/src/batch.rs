//! From rows to record batches: the builders follow from the column table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Builder, Int64Builder, RecordBatch, StringDictionaryBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use tcprst_schema::arrow::spool_schema;
use tcprst_schema::columns::{Column, Kind, Value};

use crate::error::{Error, Result};

enum Builder {
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringDictionaryBuilder<Int32Type>),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int32 => Self::Int32(Int32Builder::new()),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            Kind::Text => Self::Text(StringDictionaryBuilder::new()),
        }
    }

    /// Appends a value. One of another type than the column's becomes null, and a test of the
    /// column table makes sure that there is none.
    fn append(&mut self, value: &Value<'_>) {
        match self {
            Self::Int32(builder) => builder.append_option(value.as_int().map(|v| v as i32)),
            Self::Int64(builder) => builder.append_option(value.as_int()),
            Self::Boolean(builder) => builder.append_option(value.as_bool()),
            Self::Timestamp(builder) => builder.append_option(value.as_int()),
            Self::Text(builder) => builder.append_option(value.as_text()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Rows of one table on their way into a file.
pub struct Batch<R: 'static> {
    columns: &'static [Column<R>],
    schema: SchemaRef,
    builders: Vec<Builder>,
    rows: usize,
}

impl<R> std::fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<R> Batch<R> {
    pub fn new(columns: &'static [Column<R>]) -> Self {
        Self {
            columns,
            schema: spool_schema(columns),
            builders: columns.iter().map(|column| Builder::new(column.kind)).collect(),
            rows: 0,
        }
    }

    pub fn append(&mut self, row: &R) {
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            builder.append(&(column.value)(row));
        }
        self.rows += 1;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows so far; the batch starts anew.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(Error::Batch)
    }
}
