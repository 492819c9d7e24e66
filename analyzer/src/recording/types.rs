//! The types of columns as queries see them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tcprst_schema::arrow::table_schema;
use tcprst_schema::columns::Column;

/// The type of text in a table: numbers into a dictionary, as the files have it. A filter then
/// looks at each stack once and not once a row, and groups are found by number (see
/// [`crate::query::dictionary`]).
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Schema of a table as queries see it, the same whatever the files' versions.
///
/// It differs from [`table_schema`] in two ways. Every column is nullable, because a file of
/// an older recorder may lack it. Text keeps its dictionary ([`text_type`]).
pub fn reader_schema<R>(columns: &[Column<R>]) -> SchemaRef {
    let fields = table_schema(columns)
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
