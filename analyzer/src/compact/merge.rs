//! Merges several segments into one.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use tcprst_schema::arrow::by_name;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SEALED;
use tcprst_schema::tables::Table;
use tcprst_schema::writer::PartialFile;

use super::groups::DayFile;
use crate::error::CompactError;
use crate::recording::sealed::Sealed;

/// Rows in a copied batch: large enough for dictionaries to pay off.
const BATCH_ROWS: usize = 64 * 1024;

/// Writes the rows of a run of segments into `folder`, under the name of the first.
pub(super) fn merge(table: Table, group: &[DayFile], folder: &Path) -> Result<(), CompactError> {
    let mut file = PartialFile::create(target(group, folder), table)?;
    let schema = table.spool_schema();
    // Consecutive segments are in order of time.
    for source in group {
        each_batch(&source.segment, None, |batch| {
            let batch = by_name(&batch, &schema)
                .map_err(|error| CompactError::read(&source.segment.path, &error))?;
            Ok(file.append(&batch)?)
        })?;
    }
    file.close(&footer(group))?;
    Ok(())
}

fn target(group: &[DayFile], folder: &Path) -> std::path::PathBuf {
    folder.join(format!("{}.{SEALED}", group[0].name))
}

/// Reads a segment: all columns, or those of `columns` that it has.
pub(super) fn each_batch(
    segment: &Sealed,
    columns: Option<&[&str]>,
    mut step: impl FnMut(RecordBatch) -> Result<(), CompactError>,
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
        step(batch.map_err(|error| read(&error))?)?;
    }
    Ok(())
}

/// The footer of the merged segment: the sum of the footers of its parts.
fn footer(group: &[DayFile]) -> Footer {
    let footers = || group.iter().map(|source| &source.segment.footer);
    let first = &group[0].segment.footer;
    let merged = group.iter().skip(1).map(|source| source.name.to_string());
    Footer {
        recorded_from_us: footers().map(|f| f.recorded_from_us).min().unwrap_or_default(),
        recorded_to_us: footers().map(|f| f.recorded_to_us).max().unwrap_or_default(),
        seen: footers().map(|f| f.seen).sum(),
        written: footers().map(|f| f.written).sum(),
        counted: footers().map(|f| f.counted).sum(),
        lost: footers().map(|f| f.lost).sum(),
        // Includes parts of parts, because their files are gone as well.
        merged: footers().flat_map(|f| f.merged.clone()).chain(merged).collect(),
        ..first.clone()
    }
}
