//! A live segment: the spool that a running recorder appends to.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use tcprst_schema::arrow::by_name;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::COUNTS;
use tcprst_schema::spool;
pub(crate) use tcprst_schema::spool::SpoolError;
use tcprst_schema::tables::Table;

use crate::recording::types::reader_schema;

/// The current content of a spool.
#[derive(Debug)]
pub(crate) struct Live {
    pub path: PathBuf,
    pub footer: Footer,
    pub bytes: u64,
    /// Complete batches, in the schema of the table.
    pub batches: Vec<RecordBatch>,
    /// Resets without rows, in the schema of `resets_per_minute`.
    pub counts: Vec<RecordBatch>,
    /// The error that stopped reading before the end; an unfinished message is not an error.
    pub damage: Option<ArrowError>,
}

impl Live {
    /// Resets without rows.
    pub(crate) fn counted(&self) -> u64 {
        let of_batch = |batch: &RecordBatch| -> i64 {
            let counted = batch.column_by_name("counted");
            let counted = counted.and_then(|counted| counted.as_primitive_opt::<Int64Type>());
            counted.map_or(0, |counted| counted.iter().flatten().sum())
        };
        self.counts.iter().map(|batch| of_batch(batch).cast_unsigned()).sum()
    }

    pub(crate) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Reads a spool, and the counts beside it, up to the last complete batch; `None` if its schema is not
/// written yet.
pub(crate) fn read(path: &Path, schema: &SchemaRef) -> Result<Option<Live>, SpoolError> {
    let rows = spool::read(path)?;
    // Only a storm has counts. A damaged file of them must not hide the rows.
    let counts = spool::read(&path.with_extension(COUNTS)).ok().flatten();
    let in_schema = |spool: &Option<spool::Spool>, schema: &SchemaRef| {
        let batches = spool.iter().flat_map(spool::Spool::batches);
        batches.map(|batch| by_name(&batch?, schema)).collect::<Result<Vec<_>, _>>()
    };
    let batches = in_schema(&rows, schema)?;
    let counts_read = in_schema(&counts, &reader_schema(Table::ResetsPerMinute))?;
    // A segment without a row yet has counts alone.
    let Some(spool) = rows.or(counts) else { return Ok(None) };
    Ok(Some(Live {
        path: path.to_owned(),
        footer: spool.footer,
        bytes: spool.bytes,
        batches,
        counts: counts_read,
        damage: spool.damage,
    }))
}
