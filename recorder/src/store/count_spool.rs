//! Counts of the open segment, on disk at once: a crash must not lose what has no rows.

use std::fs;
use std::path::{Path, PathBuf};

use tcprst_schema::columns::ROLLUP_COLUMNS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::row::RollupRow;
use tcprst_schema::tables::Table;

use crate::error::{Error, Result};
use crate::store::batch::Batch;
use crate::store::spool::Spool;

/// The spool of counts beside the spool of rows. Most segments need none.
#[derive(Debug)]
pub(crate) struct CountSpool {
    batch: Batch<RollupRow>,
    spool: Spool,
}

impl CountSpool {
    /// Creates it; `footer` is that of the segment as far as it is known.
    pub(crate) fn create(dir: &Path, name: &SegmentName, footer: &Footer) -> Result<Self> {
        let spool =
            Spool::create_for(&Table::ResetsPerMinute.spool_schema(), name.counts(dir), footer)?;
        Ok(Self { batch: Batch::new(ROLLUP_COLUMNS), spool })
    }

    /// Appends counts, which survive a crash from then on.
    pub(crate) fn append(&mut self, counts: &[RollupRow]) -> Result<()> {
        counts.iter().for_each(|row| self.batch.append(row));
        self.spool.append(&self.batch.finish()?)?;
        self.spool.sync()
    }

    /// Size of the file so far.
    pub(crate) fn bytes(&self) -> Result<u64> {
        self.spool.bytes()
    }

    /// Removes it, after the segment is sealed.
    pub(crate) fn remove(self) -> Result<()> {
        let path: PathBuf = self.spool.path().to_owned();
        fs::remove_file(&path).map_err(Error::io("remove", &path))
    }
}
