//! The file of `resets` that the recorder writes, row by row and profile by profile.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StructArray};
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;

use crate::arrow::compression_level;
use crate::chunk::Profiles;
use crate::footer::Footer;
use crate::tables::Table;
use crate::writer::{WriteError, create, publish};

/// A file that is being written. The columns that differ from reset to reset are encoded as they
/// come, the others when the row group ends: until then a row is the number of its profile.
pub struct ResetsFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// For the distinct values of a column, which fit into one page each.
    distinct: WriterPropertiesPtr,
    group: Option<RowGroup>,
}

/// Rows that are not in the file yet.
struct RowGroup {
    /// For each column of the table.
    writers: Vec<ArrowColumnWriter>,
    /// For each row.
    profiles: Vec<u32>,
}

impl fmt::Debug for ResetsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetsFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ResetsFile {
    /// Creates a file. A file of that name is left over from a crash and has no footer.
    pub fn create(path: PathBuf) -> std::result::Result<Self, WriteError> {
        let table = Table::Resets;
        let (writer, factory) = create(&path, table)?
            .into_serialized_writer()
            .map_err(|source| WriteError::parquet(&path, source))?;
        let distinct = table
            .writer_properties()
            .set_dictionary_page_size_limit(usize::MAX)
            .set_data_page_size_limit(usize::MAX)
            .set_data_page_row_count_limit(usize::MAX)
            .build();
        let (schema, distinct) = (table.spool_schema(), Arc::new(distinct));
        Ok(Self { path, writer, factory, schema, distinct, group: None })
    }

    /// Rows of the open row group. End it before it is too large for readers.
    pub fn open_rows(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.profiles.len())
    }

    /// Appends rows: their own columns ([`crate::profile::own_schema`]) and profiles.
    pub fn append(
        &mut self,
        own: &RecordBatch,
        profiles: &[u32],
    ) -> std::result::Result<(), WriteError> {
        self.encode(own, profiles).map_err(|source| WriteError::parquet(&self.path, source))
    }

    fn encode(&mut self, own: &RecordBatch, profiles: &[u32]) -> Result<()> {
        let group = match &mut self.group {
            Some(group) => group,
            group => {
                let number = self.writer.flushed_row_groups().len();
                let writers = self.factory.create_column_writers(number)?;
                group.insert(RowGroup { writers, profiles: Vec::new() })
            }
        };
        for (field, writer) in self.schema.fields().iter().zip(&mut group.writers) {
            if let Some(column) = own.column_by_name(field.name()) {
                for leaf in compute_leaves(field, column)? {
                    writer.write(&leaf)?;
                }
            }
        }
        group.profiles.extend_from_slice(profiles);
        Ok(())
    }

    /// Ends the row group. `profiles` are those that the numbers of its rows are about.
    pub fn end_group(&mut self, profiles: &StructArray) -> std::result::Result<(), WriteError> {
        self.write_group(profiles).map_err(|source| WriteError::parquet(&self.path, source))
    }

    fn write_group(&mut self, profiles: &StructArray) -> Result<()> {
        let Some(RowGroup { writers, profiles: numbers }) = self.group.take() else {
            return Ok(());
        };
        let parquet = self.writer.schema_descr().columns().to_vec();
        let mut shared = Profiles::new(&numbers, compression_level())?;
        let mut group = self.writer.next_row_group()?;
        for ((at, field), mut writer) in self.schema.fields().iter().enumerate().zip(writers) {
            let Some(values) = profiles.column_by_name(field.name()) else {
                writer.close()?.append_to_row_group(&mut group)?;
                continue;
            };
            match values.as_boolean_opt() {
                // Parquet has no dictionaries of Booleans.
                Some(values) => {
                    for leaf in compute_leaves(field, &gather(values, &numbers))? {
                        writer.write(&leaf)?;
                    }
                    writer.close()?.append_to_row_group(&mut group)?;
                }
                None => {
                    let (bytes, close) = shared.encode(&parquet[at], values, &self.distinct)?;
                    group.append_column(&bytes, close)?;
                }
            }
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer, syncs, and moves the file to its final name, durably. The last row group
    /// must have ended.
    pub fn seal(mut self, footer: &Footer, target: &Path) -> std::result::Result<(), WriteError> {
        if self.group.is_some() {
            let source = ParquetError::General("the row group has not ended".into());
            return Err(WriteError::parquet(&self.path, source));
        }
        for pair in footer.to_key_values()? {
            self.writer.append_key_value_metadata(pair);
        }
        let file =
            self.writer.into_inner().map_err(|source| WriteError::parquet(&self.path, source))?;
        file.sync_all().map_err(WriteError::io("sync", &self.path))?;
        publish(&self.path, target)
    }
}

fn gather(values: &BooleanArray, numbers: &[u32]) -> ArrayRef {
    let mut column = BooleanBuilder::with_capacity(numbers.len());
    for number in numbers {
        let at = *number as usize;
        column.append_option(values.is_valid(at).then(|| values.value(at)));
    }
    Arc::new(column.finish())
}
