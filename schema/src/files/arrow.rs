//! Arrow schemas and Parquet properties, derived from the column tables.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::take::take;
use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::columns::{Column, ColumnSpec, Encoding, Kind};

impl Kind {
    /// The type that readers of a sealed file see.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
            Kind::Text => DataType::Utf8,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The type in the spool: text is dictionary encoded, because a folded stack of 500 bytes
    /// comes back in most rows of a batch.
    pub fn spool_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            other => other.data_type(),
        }
    }
}

/// The schema of columns whose types `data_type` gives.
pub(crate) fn schema_of(columns: &[ColumnSpec], data_type: fn(Kind) -> DataType) -> SchemaRef {
    let field =
        |column: &ColumnSpec| Field::new(column.name, data_type(column.kind), column.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn schema<R>(columns: &[Column<R>], data_type: fn(Kind) -> DataType) -> SchemaRef {
    schema_of(&columns.iter().map(Column::spec).collect::<Vec<_>>(), data_type)
}

/// Schema of a table as readers see it.
pub fn table_schema<R>(columns: &[Column<R>]) -> SchemaRef {
    schema(columns, Kind::data_type)
}

/// Schema of a table's spool.
pub fn spool_schema<R>(columns: &[Column<R>]) -> SchemaRef {
    schema(columns, Kind::spool_type)
}

/// The columns of `schema` out of a batch, by name and in its types: one that the batch does not
/// have, because an older recorder wrote it, is null; one that we do not know is dropped.
pub fn by_name(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => convert(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// A column in another of the types that a column of ours may have: text is spelled out in a
/// sealed file and a dictionary in a spool; all else must be of this type already.
///
/// arrow's own cast knows every pair of types. It and what it needs are a fifth of the build up to
/// the first recorded reset, for these two.
pub(crate) fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    if let (Some(text), true) = (column.as_string_opt::<i32>(), to == &Kind::Text.spool_type()) {
        return Ok(Arc::new(text.iter().collect::<DictionaryArray<Int32Type>>()));
    }
    if let (Some(dictionary), DataType::Utf8) = (column.as_dictionary_opt::<Int32Type>(), to)
        && dictionary.values().data_type() == to
    {
        return take(dictionary.values(), dictionary.keys(), None);
    }
    Err(ArrowError::CastError(format!("a column of {} is not {to}", column.data_type())))
}

/// Rows of a row group: large enough for dictionaries to pay, small enough to prune by time
/// (within one, the page index does).
pub const ROW_GROUP_ROWS: usize = 512 * 1024;

/// Size up to which a column keeps its dictionary. The library's 1 MiB is too little for the
/// 100,000 addresses that a busy row group has; without a dictionary each of its rows has to be
/// hashed again by whoever groups them.
const DICTIONARY_BYTES: usize = 8 << 20;

/// Columns of many values that people look for one of. A Bloom filter rules out row groups that do not have
/// it; minimum and maximum do not.
const LOOKED_FOR: [&str; 2] = ["src_addr", "dst_addr"];

/// zstd's level: 3 is the library's own default and the best ratio before the time doubles.
pub(crate) fn compression_level() -> ZstdLevel {
    ZstdLevel::try_new(3).unwrap_or_default()
}

/// Parquet properties of a table: zstd, page statistics with a page index, and the encoding
/// that each column names.
pub(crate) fn writer_properties(columns: &[ColumnSpec]) -> WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(compression_level()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(format!("tcprst {}", env!("CARGO_PKG_VERSION")));
    for column in columns {
        let path = ColumnPath::from(column.name);
        properties = match column.encoding {
            Encoding::Dictionary => properties.set_column_dictionary_enabled(path, true),
            Encoding::Delta => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, ParquetEncoding::DELTA_BINARY_PACKED),
            Encoding::Plain => properties.set_column_dictionary_enabled(path, false),
        };
        if LOOKED_FOR.contains(&column.name) && column.kind == Kind::Text {
            // Sized for a full row group; the library folds it to what was put in.
            properties = properties
                .set_column_bloom_filter_fpp(ColumnPath::from(column.name), 0.01)
                .set_column_bloom_filter_max_ndv(ColumnPath::from(column.name), 1 << 18);
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::COLUMNS;

    #[test]
    fn text_is_spelled_out_and_encoded_again() {
        use arrow_array::{Array, Int64Array, StringArray};
        let text: ArrayRef =
            Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
        let encoded = convert(&text, &Kind::Text.spool_type()).expect("a dictionary");
        assert_eq!(encoded.as_dictionary::<Int32Type>().values().len(), 2);
        assert_eq!(&convert(&encoded, &DataType::Utf8).expect("text"), &text);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let refused = convert(&numbers, &DataType::Utf8).expect_err("another type");
        assert_eq!(refused.to_string(), "Cast error: a column of Int64 is not Utf8");
    }

    #[test]
    fn spool_and_table_differ_in_text_only() {
        let (table, spool) = (table_schema(COLUMNS), spool_schema(COLUMNS));
        for (t, s) in table.fields().iter().zip(spool.fields()) {
            assert_eq!(t.data_type() == &DataType::Utf8, t.data_type() != s.data_type());
        }
    }
}
