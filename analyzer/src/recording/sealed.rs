//! A sealed segment: a Parquet file with our footer.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::{self, ObjectMeta};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics as ParquetStatistics;
use tcprst_schema::footer::{Footer, FooterError};
use tcprst_schema::rollup::MINUTE_US;
use tcprst_schema::tables::Table;

use crate::recording::metadata::{Kept, room_of};
use crate::recording::reader::Known;
use crate::recording::types::text_type;

/// A sealed file, described without reading its rows.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub path: PathBuf,
    pub footer: Footer,
    pub bytes: u64,
    pub rows: i64,
    pub row_groups: usize,
    /// Minimum and maximum of the time column, if the footer has them.
    pub times: Option<(i64, i64)>,
    /// The file for a DataFusion scan, without statistics.
    scan: PartitionedFile,
}

/// The reason why a file is left out of the answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Open(#[from] io::Error),
    #[error("damaged or truncated: {0}")]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error("unusable path: {0}")]
    Path(#[from] object_store::path::Error),
}

/// Reads the footer of a file.
///
/// A truncated file fails here and not in the middle of a query, because the footer is at the end.
pub(crate) fn open(path: &Path) -> Result<Sealed, Unusable> {
    read(path, |_| Kept::default())
}

/// Reads the footer and keeps its metadata for scans of the table, if there is room.
pub(crate) fn open_to_scan(path: &Path, table: Table) -> Result<Sealed, Unusable> {
    read(path, |metadata| room_of(table).keep(metadata))
}

fn read(path: &Path, keep: impl FnOnce(ParquetMetaData) -> Kept) -> Result<Sealed, Unusable> {
    let file = File::open(path)?;
    let attributes = file.metadata()?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let pairs = metadata.file_metadata().key_value_metadata();
    let footer = Footer::from_key_values(pairs.map_or(&[], Vec::as_slice))?;
    let (rows, row_groups) = (metadata.file_metadata().num_rows(), metadata.num_row_groups());
    let times = times(&metadata);
    let scan = PartitionedFile::new_from_meta(ObjectMeta {
        location: object_store::path::Path::from_absolute_path(std::path::absolute(path)?)?,
        last_modified: attributes.modified()?.into(),
        size: attributes.len(),
        e_tag: None,
        version: None,
    })
    .with_arrow_schema(physical_schema(&metadata)?)
    .with_extension(Known {
        path: path.to_owned(),
        identity: Known::identity_of(&attributes),
        metadata: keep(metadata),
    });
    Ok(Sealed {
        path: path.to_owned(),
        footer,
        bytes: attributes.len(),
        rows,
        row_groups,
        times,
        scan,
    })
}

impl Sealed {
    /// The columns of the file, with the types of the reader.
    pub(crate) fn physical_schema(&self) -> SchemaRef {
        self.scan.arrow_schema.clone().unwrap_or_else(|| Arc::new(Schema::empty()))
    }

    /// Minimum and maximum of the times of its resets, those without a row included: the minutes in
    /// which they were counted lie in the time that the segment covers.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        if self.footer.counted == 0 {
            return self.times;
        }
        let from = self.footer.recorded_from_us.div_euclid(MINUTE_US) * MINUTE_US;
        let to = self.footer.recorded_to_us;
        Some(self.times.map_or((from, to), |(least, most)| (least.min(from), most.max(to))))
    }

    /// Whether the file has this column; a file of an older recorder may lack it.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.physical_schema().column_with_name(name).is_some()
    }

    /// The file with the statistics that a table of this schema can use: the number of rows
    /// answers `count(*)` without a scan, and the times allow a query to skip whole files. The
    /// reader uses the statistics of other columns, row group by row group.
    pub(crate) fn scan(&self, schema: &SchemaRef) -> PartitionedFile {
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Exact(usize::try_from(self.rows).unwrap_or(0));
        statistics.total_byte_size =
            Precision::Inexact(usize::try_from(self.bytes).unwrap_or(usize::MAX));
        if let (Some((least, greatest)), Some(column)) =
            (self.times, statistics.column_statistics.first_mut())
        {
            let zone = Some(Arc::from("UTC"));
            let time =
                |us| Precision::Exact(ScalarValue::TimestampMicrosecond(Some(us), zone.clone()));
            *column = ColumnStatistics::new_unknown()
                .with_min_value(time(least))
                .with_max_value(time(greatest))
                .with_null_count(Precision::Exact(0));
        }
        self.scan.clone().with_statistics(Arc::new(statistics))
    }
}

/// The columns of a file with the types of the reader: text keeps its dictionary.
fn physical_schema(metadata: &ParquetMetaData) -> Result<SchemaRef, ParquetError> {
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Field::new(field.name(), text_type(), field.is_nullable()),
        _ => Field::clone(field),
    });
    Ok(shared(Schema::new(fields.collect::<Vec<_>>())))
}

/// Maximum number of distinct schemas: one for each table and version of the recorder.
const MAX_SHARED_SCHEMAS: usize = 32;

/// The shared copy of a schema: thousands of files have few distinct schemas.
fn shared(schema: Schema) -> SchemaRef {
    static KNOWN: Mutex<Vec<SchemaRef>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = known.iter().find(|same| ***same == schema) {
        return Arc::clone(same);
    }
    let schema = Arc::new(schema);
    if known.len() < MAX_SHARED_SCHEMAS {
        known.push(Arc::clone(&schema));
    }
    schema
}

/// The range of the first column, which is the time of a table.
fn times(metadata: &ParquetMetaData) -> Option<(i64, i64)> {
    let of_group = |at: usize| {
        let group = metadata.row_group(at);
        if group.column(0).column_path().string() != "time" {
            return None;
        }
        match group.column(0).statistics()? {
            ParquetStatistics::Int64(values) => Some((*values.min_opt()?, *values.max_opt()?)),
            _ => None,
        }
    };
    let mut all = (0..metadata.num_row_groups()).map(of_group);
    let first = all.next()??;
    all.try_fold(first, |(least, greatest), next| {
        let (from, to) = next?;
        Some((least.min(from), greatest.max(to)))
    })
}
