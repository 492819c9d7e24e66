//! The types of columns as queries see them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tcprst_schema::tables::Table;

/// The type of text in a table: numbers into a dictionary, as in the files. A filter then examines
/// each stack once instead of once per row, and groups are found by number (see the optimizer rule
/// in `query/dictionary`).
pub(crate) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Schema of a table as queries see it, the same for files of every version.
pub(crate) fn reader_schema(table: Table) -> SchemaRef {
    as_read(&table.schema())
}

/// Columns as queries see them, which differs from the files in two ways: every column is nullable,
/// because a file of an older recorder may lack it, and text keeps its dictionary ([`text_type`]).
pub(super) fn as_read(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8 => text_type(),
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        })
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}
