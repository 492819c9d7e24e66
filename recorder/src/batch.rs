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
    Text(TextBuilder),
}

/// Text goes in run by run: hashing a folded stack of 500 bytes for each row was a quarter of
/// the writer's time in a flood, and neighbours are mostly equal.
#[derive(Default)]
struct TextBuilder {
    inner: StringDictionaryBuilder<Int32Type>,
    last: Option<String>,
    run: usize,
}

impl TextBuilder {
    fn append(&mut self, text: Option<&str>) {
        if self.run > 0 && self.last.as_deref() == text {
            self.run += 1;
            return;
        }
        self.end_run();
        self.last = text.map(str::to_owned);
        self.run = 1;
    }

    fn end_run(&mut self) {
        match &self.last {
            Some(text) => self.inner.append_values(text, self.run),
            None => self.inner.append_nulls(self.run),
        }
        self.run = 0;
    }

    fn finish(&mut self) -> ArrayRef {
        self.end_run();
        self.last = None;
        Arc::new(self.inner.finish())
    }
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
            Kind::Text => Self::Text(TextBuilder::default()),
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
            Self::Text(builder) => builder.append(value.as_text()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => builder.finish(),
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

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
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
                .downcast_dict::<arrow::array::StringArray>()
                .unwrap()
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect();
            assert_eq!(words, round);
        }
    }

    #[test]
    fn every_column_gives_values_of_its_kind() {
        let row = crate::enrich::tests::full_row();
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
