//! The file of `resets` that the recorder writes, row by row and profile by profile.

use std::fmt;
use std::fs::File;
use std::io::sink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;

use crate::arrow::compression_level;
use crate::chunk::Profiles;
use crate::columns::OWN_COLUMNS;
use crate::footer::Footer;
use crate::tables::Table;
use crate::writer::{WriteError, create, publish};

/// A file that is being written. The columns that differ from reset to reset are encoded as they
/// come, the others when the row group ends: until then a row is the number of its profile.
pub struct ResetsFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    schema: SchemaRef,
    /// The columns that the library encodes, row by row: a row's own, and Booleans, of which Parquet
    /// has no dictionaries.
    by_row: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
    /// For the distinct values of the other columns, which fit into one page each. They are
    /// compressed here: the library makes a compressor for each column, some 20 us each.
    distinct: WriterPropertiesPtr,
    group: Option<RowGroup>,
}

/// Rows that are not in the file yet.
struct RowGroup {
    /// For each column that is encoded row by row.
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
        let error = |source| WriteError::parquet(&path, source);
        let table = Table::Resets;
        let schema = table.spool_schema();
        let is_by_row = |field: &&Arc<Field>| {
            OWN_COLUMNS.contains(&field.name().as_str()) || field.data_type() == &DataType::Boolean
        };
        let by_row: Fields = schema.fields().iter().filter(is_by_row).cloned().collect();
        let by_row = Arc::new(Schema::new(by_row));
        let (writer, _) = create(&path, table)?.into_serialized_writer().map_err(error)?;
        // A factory makes writers for all columns of its file, so it is that of a file without rows.
        let properties = table.writer_properties().build();
        let (_, factory) = ArrowWriter::try_new(sink(), Arc::clone(&by_row), Some(properties))
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(error)?;
        let distinct = table
            .writer_properties()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_page_size_limit(usize::MAX)
            .set_data_page_size_limit(usize::MAX)
            .set_data_page_row_count_limit(usize::MAX)
            .build();
        let distinct = Arc::new(distinct);
        Ok(Self { path, writer, schema, by_row, factory, distinct, group: None })
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
        for (field, writer) in self.by_row.fields().iter().zip(&mut group.writers) {
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
        let mut writers = self.by_row.fields().iter().zip(writers).peekable();
        for (at, field) in self.schema.fields().iter().enumerate() {
            let values = profiles.column_by_name(field.name());
            if let Some((_, mut writer)) = writers.next_if(|(by_row, _)| *by_row == field) {
                if let Some(values) = values.and_then(|values| values.as_boolean_opt()) {
                    for leaf in compute_leaves(field, &gather(values, &numbers))? {
                        writer.write(&leaf)?;
                    }
                }
                writer.close()?.append_to_row_group(&mut group)?;
            } else if let Some(values) = values {
                let (bytes, close) = shared.encode(&parquet[at], values, &self.distinct)?;
                group.append_column(&bytes, close)?;
            } else {
                return Err(ParquetError::General(format!("no values of {}", field.name())));
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::{env, fs, process};

    use arrow_array::{Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::ParquetMetaData;

    use super::*;
    use crate::arrow::by_name;
    use crate::columns::{Kind, columns_of};
    use crate::footer::Origin;
    use crate::profile::{own_schema, pack, profile_fields, unpack};
    use crate::writer::PartialFile;

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % most
        }
    }

    /// Columns of so many values; those that are nullable have nulls, or nothing else.
    fn columns(
        of_own: bool,
        rows: usize,
        mut value: impl FnMut(usize, usize) -> Option<u64>,
    ) -> Vec<ArrayRef> {
        let column = |(at, column): (usize, &crate::columns::Column<crate::row::Row>)| {
            let values: Vec<Option<u64>> = (0..rows)
                .map(|row| value(at, row).or_else(|| (!column.nullable).then_some(7)))
                .collect();
            let int32 = || values.iter().map(|v| v.map(|v| v as i32 - 5));
            let int64 = || values.iter().map(|v| v.map(|v| (v as i64) << 33));
            let text = |v: u64| format!("{v}{}", "ä".repeat(40 * usize::from(v.is_multiple_of(3))));
            let texts = || values.iter().map(|v| v.map(text));
            let array: ArrayRef = match column.kind {
                Kind::Int32 => Arc::new(int32().collect::<Int32Array>()),
                Kind::Int64 => Arc::new(int64().collect::<Int64Array>()),
                Kind::Boolean => {
                    Arc::new(values.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())
                }
                Kind::Timestamp => {
                    let times: TimestampMicrosecondArray = int64().collect();
                    Arc::new(times.with_timezone("UTC"))
                }
                Kind::Text => Arc::new(texts().collect::<StringArray>()),
            };
            let to = if of_own { column.kind.spool_type() } else { column.kind.data_type() };
            crate::arrow::convert(&array, &to).expect("converted")
        };
        columns_of(of_own).enumerate().map(column).collect()
    }

    fn read(path: &Path) -> (Vec<RecordBatch>, Arc<ParquetMetaData>) {
        let file = File::open(path).expect("the file");
        let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new()
            .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .expect("a Parquet file");
        let metadata = Arc::clone(builder.metadata());
        let batches = builder.with_batch_size(7_000).build().expect("a reader");
        (batches.collect::<std::result::Result<_, _>>().expect("read"), metadata)
    }

    /// What a chunk's footer says of its values.
    fn described(metadata: &ParquetMetaData) -> Vec<HashMap<&str, String>> {
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
        chunks
            .map(|chunk| {
                let statistics = chunk.statistics();
                let nulls = statistics.and_then(|s| s.null_count_opt());
                let bounds = statistics.map(|s| (s.min_bytes_opt(), s.max_bytes_opt()));
                HashMap::from([
                    ("name", chunk.column_descr().name().to_owned()),
                    ("rows", chunk.num_values().to_string()),
                    ("nulls", format!("{nulls:?}")),
                    ("bounds", format!("{bounds:?}")),
                ])
            })
            .collect()
    }

    #[test]
    fn profiles_and_the_librarys_own_writer_make_the_same_file() {
        let folder = env::temp_dir().join(format!("tcprst-resets-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let origin = Origin { recorder: "0.1.0", host: "web", boot_id: "b", kernel: "6.18" };
        let footer = Footer::new(origin);
        let mut dice = Dice(1);
        // One value, two, some, more than a byte has; runs and none.
        for (profiles, rows, run) in [(1, 10, 1), (2, 999, 1), (9, 21_000, 3), (700, 9_000, 50)] {
            let values = columns(false, profiles, |at, profile| match at % 6 {
                0 => None,
                1 => Some(3),
                2 => Some(profile as u64),
                3 => (profile % 2 == 0).then_some(profile as u64 / 3),
                4 => (profile > 0).then(|| dice.below(5)),
                _ => Some(dice.below(1 << 20)),
            });
            let profile = StructArray::try_new(profile_fields(), values, None).expect("profiles");
            let profile = Arc::new(profile);
            let ours = folder.join("ours.tmp");
            let theirs = folder.join("theirs.tmp");
            let mut file = ResetsFile::create(ours).expect("created");
            let mut whole = PartialFile::create(theirs, Table::Resets).expect("created");
            // Two row groups, the second with some of the profiles only, each of two batches.
            for group in [profiles as u64, (profiles as u64).div_ceil(2)] {
                for _ in 0..2 {
                    let own = columns(true, rows, |_, row| Some(row as u64 / 5 + dice.below(3)));
                    let own = RecordBatch::try_new(own_schema(), own).expect("a batch");
                    let mut number = 0;
                    let numbers: Vec<u32> = (0..rows)
                        .map(|row| {
                            if row % run == 0 {
                                number = dice.below(group) as u32;
                            }
                            number
                        })
                        .collect();
                    file.append(&own, &numbers).expect("appended");
                    let packed = pack(&own, &numbers, &profile).expect("packed");
                    let rows = unpack(&packed).expect("unpacked");
                    let rows = by_name(&rows, &Table::Resets.spool_schema()).expect("by name");
                    whole.append(&rows).expect("appended");
                }
                file.end_group(&profile).expect("ended");
                whole.end_group().expect("ended");
            }
            let (ours, theirs) = (folder.join("ours.parquet"), folder.join("theirs.parquet"));
            file.seal(&footer, &ours).expect("sealed");
            whole.seal(&footer, &theirs).expect("sealed");
            let ((ours, our_footer), (theirs, their_footer)) = (read(&ours), read(&theirs));
            assert_eq!(ours.iter().map(RecordBatch::num_rows).sum::<usize>(), 4 * rows);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                for (field, theirs) in theirs.schema().fields().iter().zip(theirs.columns()) {
                    assert_eq!(&ours[field.name().as_str()], theirs, "{}", field.name());
                }
            }
            assert_eq!(ours.len(), theirs.len());
            assert_eq!(described(&our_footer), described(&their_footer));
        }
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_whose_row_group_has_not_ended_is_not_sealed() {
        let folder = env::temp_dir().join(format!("tcprst-open-group-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut file = ResetsFile::create(folder.join("tmp")).expect("created");
        let own = columns(true, 1, |_, _| Some(1));
        let own = RecordBatch::try_new(own_schema(), own).expect("a batch");
        file.append(&own, &[0]).expect("appended");
        assert_eq!(file.open_rows(), 1);
        let origin = Origin { recorder: "0.1.0", host: "web", boot_id: "b", kernel: "6.18" };
        let error = file.seal(&Footer::new(origin), &folder.join("sealed")).expect_err("refused");
        assert!(error.to_string().contains("has not ended"), "{error}");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
