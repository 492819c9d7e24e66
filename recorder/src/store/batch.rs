//! From rows to record batches: the builders follow from the column table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
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

/// A dictionary that is being built. In a flood, hashing a folded stack of 500 bytes for each row
/// took a quarter of the writer's time, and copying it another quarter. Adjacent rows are mostly
/// equal, and shared texts have one address, so that a comparison is mostly enough.
#[derive(Default)]
struct TextBuilder {
    keys: Int32Builder,
    values: StringBuilder,
    by_text: HashMap<String, i32>,
    last: Option<i32>,
    /// Keys of texts by their address. A hint only: the text is compared.
    hints: Vec<i32>,
}

/// A power of two. A busy host has some thousand texts in all columns together.
const HINTS: usize = 256;

impl TextBuilder {
    fn append(&mut self, text: Option<&str>) {
        let Some(text) = text else {
            return self.keys.append_null();
        };
        let key = match self.last.filter(|key| self.is_value(*key, text)) {
            Some(key) => key,
            None => self.key(text),
        };
        self.last = Some(key);
        self.keys.append_value(key);
    }

    fn key(&mut self, text: &str) -> i32 {
        self.hints.resize(HINTS, i32::MAX);
        let address = text.as_ptr().addr();
        // Allocations are at least 16 bytes apart.
        let hint = ((address >> 4) ^ (address >> 12)) % HINTS;
        if self.is_value(self.hints[hint], text) {
            return self.hints[hint];
        }
        let key = match self.by_text.get(text) {
            Some(key) => *key,
            None => {
                // A batch has fewer rows than an i32 has numbers.
                let key = self.by_text.len() as i32;
                self.values.append_value(text);
                self.by_text.insert(text.to_owned(), key);
                key
            }
        };
        self.hints[hint] = key;
        key
    }

    /// Whether the key belongs to this text.
    fn is_value(&self, key: i32, text: &str) -> bool {
        let offsets = self.values.offsets_slice();
        let at = key.cast_unsigned() as usize;
        let (Some(from), Some(to)) = (offsets.get(at), offsets.get(at.wrapping_add(1))) else {
            return false;
        };
        let range = from.cast_unsigned() as usize..to.cast_unsigned() as usize;
        self.values.values_slice().get(range) == Some(text.as_bytes())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.by_text.clear();
        self.last = None;
        self.hints.clear();
        let values = Arc::new(self.values.finish());
        Ok(Arc::new(DictionaryArray::try_new(self.keys.finish(), values)?))
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

    /// Appends a value. A value of another type than the column's becomes null; a test of the
    /// column table ensures that there is none.
    fn append(&mut self, value: &Value<'_>) {
        match self {
            Self::Int32(builder) => builder.append_option(value.as_int().map(|v| v as i32)),
            Self::Int64(builder) => builder.append_option(value.as_int()),
            Self::Boolean(builder) => builder.append_option(value.as_bool()),
            Self::Timestamp(builder) => builder.append_option(value.as_int()),
            Self::Text(builder) => builder.append(value.as_text()),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => builder.finish()?,
        })
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

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the rows so far and starts an empty batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect::<Result<_, _>>();
        arrays
            .and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays))
            .map_err(Error::Batch)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
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
    fn a_text_at_the_address_of_another_is_itself() {
        let mut builder = TextBuilder::default();
        let mut buffer = String::new();
        for text in ["one", "two", "one", "six", "two"] {
            buffer.clear();
            buffer.push_str(text);
            builder.append(Some(&buffer));
        }
        let column = builder.finish().unwrap();
        let keys = column.as_dictionary::<Int32Type>().keys();
        assert_eq!(keys.values(), &[0, 1, 0, 2, 1]);
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
