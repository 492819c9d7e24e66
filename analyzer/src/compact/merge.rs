//! Several segments into one.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use tcprst_schema::arrow::by_name;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{SEALED, Table};
use tcprst_schema::writer::PartialFile;

use super::{CompactError, Source};
use crate::sealed::Sealed;

/// Rows of a batch on the way: dictionaries of a few thousand rows are worth their while.
const BATCH_ROWS: usize = 64 * 1024;

/// Writes the rows of a run of segments into `folder`, under the name of the first.
pub(super) fn merge(table: Table, group: &[Source], folder: &Path) -> Result<(), CompactError> {
    let mut file = PartialFile::create(target(group, folder), table)?;
    let schema = table.spool_schema();
    // Row after row: segments that follow each other are in the order of time.
    for source in group {
        each_batch(&source.segment, None, |batch| Ok(file.append(&by_name(&batch, &schema)?)?))?;
    }
    file.close(&footer(group))?;
    Ok(())
}

fn target(group: &[Source], folder: &Path) -> std::path::PathBuf {
    folder.join(format!("{}.{SEALED}", group[0].name))
}

/// Either half of a step can fail; the path is put to it outside.
pub(super) enum Failed {
    Arrow(ArrowError),
    Other(CompactError),
}

impl From<ArrowError> for Failed {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

impl From<tcprst_schema::writer::WriteError> for Failed {
    fn from(error: tcprst_schema::writer::WriteError) -> Self {
        Self::Other(error.into())
    }
}

/// Reads a segment, all columns or those of these that it has.
pub(super) fn each_batch(
    segment: &Sealed,
    columns: Option<&[&str]>,
    mut step: impl FnMut(RecordBatch) -> Result<(), Failed>,
) -> Result<(), CompactError> {
    let read = |error: &dyn std::fmt::Display| CompactError::read(&segment.path, error);
    let file = File::open(&segment.path).map_err(CompactError::io("open", &segment.path))?;
    let options = ArrowReaderOptions::new().with_schema(segment.physical_schema());
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .and_then(|builder| {
            let mask = match columns {
                Some(columns) => {
                    ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied())
                }
                None => ProjectionMask::all(),
            };
            builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
        })
        .map_err(|error| read(&error))?;
    for batch in reader {
        step(batch.map_err(|error| read(&error))?).map_err(|failed| match failed {
            Failed::Arrow(error) => read(&error),
            Failed::Other(error) => error,
        })?;
    }
    Ok(())
}

/// What the merged segment says of itself: the sum of what its parts said.
fn footer(group: &[Source]) -> Footer {
    let footers = || group.iter().map(|source| &source.segment.footer);
    let first = &group[0].segment.footer;
    let merged = group.iter().skip(1).map(|source| source.name.to_string());
    Footer {
        recorded_from_us: footers().map(|f| f.recorded_from_us).min().unwrap_or_default(),
        recorded_to_us: footers().map(|f| f.recorded_to_us).max().unwrap_or_default(),
        seen: footers().map(|f| f.seen).sum(),
        written: footers().map(|f| f.written).sum(),
        lost: footers().map(|f| f.lost).sum(),
        // The parts of a part are gone for good.
        merged: footers().flat_map(|f| f.merged.clone()).chain(merged).collect(),
        ..first.clone()
    }
}
