//! A live segment: the spool that a running recorder appends to.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use tcprst_schema::arrow::by_name;
use tcprst_schema::footer::Footer;
use tcprst_schema::spool;
pub(crate) use tcprst_schema::spool::SpoolError;

/// The current content of a spool.
#[derive(Debug)]
pub(crate) struct Live {
    pub path: PathBuf,
    pub footer: Footer,
    pub bytes: u64,
    /// Complete batches, in the schema of the table.
    pub batches: Vec<RecordBatch>,
    /// The error that stopped reading before the end; an unfinished message is not an error.
    pub damage: Option<ArrowError>,
}

impl Live {
    pub(crate) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Reads a spool up to its last complete batch; `None` if its schema is not written yet.
pub(crate) fn read(path: &Path, schema: &SchemaRef) -> Result<Option<Live>, SpoolError> {
    let Some(spool) = spool::read(path)? else { return Ok(None) };
    let batches = spool.batches().map(|batch| by_name(&batch?, schema)).collect::<Result<_, _>>();
    Ok(Some(Live {
        path: path.to_owned(),
        footer: spool.footer,
        bytes: spool.bytes,
        batches: batches?,
        damage: spool.damage,
    }))
}
