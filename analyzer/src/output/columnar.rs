//! Parquet and Arrow IPC: typed output for other programs.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::encode::Encode;

/// Maximum size of a row group, so that memory does not grow with the result.
const ROW_GROUP_ROWS: usize = 1 << 20;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The equivalent types that every reader supports: many programs do not support text views.
fn plain(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    // Drops the metadata that a query plan leaves in the schema.
    Arc::new(Schema::new(
        fields
            .map(|field| Field::new(field.name(), plain(field.data_type()), field.is_nullable()))
            .collect::<Vec<_>>(),
    ))
}

fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// Encodes one Parquet file.
#[derive(Debug)]
pub(super) struct Parquet {
    schema: SchemaRef,
    /// `None` after the file is finished.
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Parquet {
    pub(super) fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let schema = plain_schema(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_created_by(format!("tcprst {}", env!("CARGO_PKG_VERSION")))
            .build();
        // As in the recorded files: the Parquet types are sufficient.
        let options =
            ArrowWriterOptions::new().with_skip_arrow_metadata(true).with_properties(properties);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        Ok(Self { schema, writer: Some(writer) })
    }
}

impl Encode for Parquet {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let Some(writer) = &mut self.writer else {
            return Ok(Vec::new());
        };
        writer.write(&plain_batch(batch, &self.schema)?)?;
        // The writer counts its bytes itself, so draining its buffer changes no offset.
        Ok(std::mem::take(writer.inner_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        match self.writer.take() {
            Some(writer) => Ok(writer.into_inner()?),
            None => Ok(Vec::new()),
        }
    }
}

/// Encodes an Arrow IPC stream.
pub(super) struct ArrowStream {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub(super) fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let schema = plain_schema(schema);
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        Ok(Self { schema, writer })
    }
}

impl Encode for ArrowStream {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.writer.write(&plain_batch(batch, &self.schema)?)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}
