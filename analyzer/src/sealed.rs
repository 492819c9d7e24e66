//! A sealed segment: a Parquet file with our footer.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::DataFusionError;
use datafusion::object_store::{self, ObjectMeta};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use tcprst_schema::footer::{Footer, FooterError};

/// What is known of a sealed file without reading its rows.
#[derive(Debug)]
pub struct Sealed {
    pub path: PathBuf,
    pub footer: Footer,
    pub rows: i64,
    pub bytes: u64,
    pub row_groups: usize,
    /// The file as DataFusion scans it, with its statistics: they answer `count(*)` without
    /// a scan and spare the files that a filter on `time` excludes.
    pub scan: PartitionedFile,
}

/// Why a file is not part of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Open(#[from] io::Error),
    #[error("damaged or cut off: {0}")]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error("{}", .0.strip_backtrace())]
    Statistics(#[from] DataFusionError),
    #[error("its path cannot be used: {0}")]
    Path(#[from] object_store::path::Error),
}

/// Reads the footer of a file; `schema` is that of the table it belongs to.
///
/// A file that was cut anywhere fails here and not in the middle of a query, because the
/// footer is its end.
pub fn open(path: &Path, schema: &SchemaRef) -> Result<Sealed, Unusable> {
    let file = File::open(path)?;
    let attributes = file.metadata()?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let pairs = metadata.file_metadata().key_value_metadata();
    let footer = Footer::from_key_values(pairs.map_or(&[], Vec::as_slice))?;
    let statistics = DFParquetMetadata::statistics_from_parquet_metadata(&metadata, schema)?;
    let scan = PartitionedFile::new_from_meta(ObjectMeta {
        location: object_store::path::Path::from_absolute_path(std::path::absolute(path)?)?,
        last_modified: attributes.modified()?.into(),
        size: attributes.len(),
        e_tag: None,
        version: None,
    });
    Ok(Sealed {
        path: path.to_owned(),
        footer,
        rows: metadata.file_metadata().num_rows(),
        bytes: attributes.len(),
        row_groups: metadata.num_row_groups(),
        scan: scan.with_statistics(Arc::new(statistics)),
    })
}
