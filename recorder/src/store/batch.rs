//! From rows to record batches: the builders follow from the column table.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use tcprst_schema::arrow::spool_schema;
use tcprst_schema::columns::{Column, Kind, Value};

use crate::error::{Error, Result};

pub(super) enum Builder {
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    /// Each distinct text once.
    Dictionary(StringDictionaryBuilder<Int32Type>),
    Text(StringBuilder),
}

impl Builder {
    /// Text as a dictionary, as a spool and the Parquet writer take it.
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Dictionary(StringDictionaryBuilder::new()),
            other => Self::plain(other),
        }
    }

    /// Text as it is.
    pub(super) fn plain(kind: Kind) -> Self {
        match kind {
            Kind::Int32 => Self::Int32(Int32Builder::new()),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            Kind::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a value. A value of another type than the column's becomes null; a test of the
    /// column table ensures that there is none.
    pub(super) fn append(&mut self, value: &Value<'_>) {
        match self {
            Self::Int32(builder) => builder.append_option(value.as_int().map(|v| v as i32)),
            Self::Int64(builder) => builder.append_option(value.as_int()),
            Self::Boolean(builder) => builder.append_option(value.as_bool()),
            Self::Timestamp(builder) => builder.append_option(value.as_int()),
            Self::Dictionary(builder) => builder.append_option(value.as_text()),
            Self::Text(builder) => builder.append_option(value.as_text()),
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Dictionary(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Rows of one table that are not in a file yet.
pub(crate) struct Batch<R: 'static> {
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
    pub(crate) fn new(columns: &'static [Column<R>]) -> Self {
        Self {
            columns,
            schema: spool_schema(columns),
            builders: columns.iter().map(|column| Builder::new(column.kind)).collect(),
            rows: 0,
        }
    }

    pub(crate) fn append(&mut self, row: &R) {
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            builder.append(&(column.value)(row));
        }
        self.rows += 1;
    }

    /// Returns the rows so far and starts an empty batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(Error::Batch)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use tcprst_schema::columns::{COLUMNS, Encoding};
    use tcprst_schema::row::Row;

    use super::*;

    const WORDS: &[Column<&'static str>] = &[Column {
        name: "word",
        kind: Kind::Text,
        nullable: true,
        encoding: Encoding::Dictionary,
        encoding_reason: "",
        doc: "",
        value: |word| match *word {
            "" => Value::Null,
            word => Value::Text(word.into()),
        },
    }];

    #[test]
    fn runs_of_text_come_out_row_by_row() {
        let mut batch = Batch::new(WORDS);
        for round in [vec!["a", "a", "", "", "b", "a"], vec!["", "a"], vec![]] {
            round.iter().for_each(|word| batch.append(word));
            let rows = batch.finish().unwrap();
            let column = rows.column(0).as_dictionary::<Int32Type>();
            let words: Vec<&str> = column
                .downcast_dict::<arrow_array::StringArray>()
                .unwrap()
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect();
            assert_eq!(words, round);
        }
    }

    #[test]
    fn every_column_gives_values_of_its_kind() {
        let row = crate::store::full_row::full_row();
        for column in COLUMNS {
            let fits = match (column.value)(&row) {
                Value::Null => column.nullable,
                Value::Int(_) => matches!(column.kind, Kind::Int32 | Kind::Int64 | Kind::Timestamp),
                Value::Bool(_) => column.kind == Kind::Boolean,
                Value::Text(_) => column.kind == Kind::Text,
            };
            assert!(fits, "{}", column.name);
        }
        let mut batch = Batch::<Row>::new(COLUMNS);
        batch.append(&row);
        assert_eq!(batch.finish().unwrap().num_rows(), 1);
    }
}
