//! The open segment: each batch goes to the spool, for safety, and is encoded into the Parquet
//! file at once, so that sealing only has to write the footer.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tcprst_schema::columns::COLUMNS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{RollupRow, Row};
use tcprst_schema::tables::Table;
use tcprst_schema::writer::PartialFile;

use crate::error::{Error, Result};
use crate::store::batch::Batch;
use crate::store::seal::SealPolicy;
use crate::store::spool::Spool;

/// A segment that takes rows.
#[derive(Debug)]
pub(crate) struct Segment {
    name: SegmentName,
    spool: Option<Spool>,
    file: PartialFile,
    batch: Batch<Row>,
    rollup: Rollup,
    written: u64,
    opened: Instant,
}

impl Segment {
    /// Opens a segment. `spooled` is its footer as far as it is known, for the spool; without it
    /// there is no spool.
    pub(crate) fn open(dir: &Path, name: SegmentName, spooled: Option<&Footer>) -> Result<Self> {
        Ok(Self {
            spool: spooled.map(|footer| Spool::create(name.spool(dir), footer)).transpose()?,
            file: PartialFile::create(name.partial(dir, Table::Resets), Table::Resets)?,
            batch: Batch::new(COLUMNS),
            rollup: Rollup::default(),
            written: 0,
            opened: Instant::now(),
            name,
        })
    }

    pub(crate) fn name(&self) -> &SegmentName {
        &self.name
    }

    /// Rows in it.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Rows that are not encoded yet.
    pub(crate) fn waiting(&self) -> usize {
        self.batch.rows()
    }

    pub(crate) fn append(&mut self, row: &Row) {
        self.batch.append(row);
        self.written += 1;
    }

    /// Adds resets without rows to the rollup.
    pub(crate) fn add_counts(&mut self, counts: &[RollupRow]) {
        self.rollup.add_counts(counts);
    }

    /// Writes the rows into both files, and syncs the spool.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.batch.rows() > 0 {
            let batch = self.batch.finish()?;
            if let Some(spool) = &mut self.spool {
                spool.append(&batch)?;
                spool.sync()?;
            }
            self.file.append(&batch)?;
            self.rollup.add(&batch).map_err(Error::Batch)?;
        }
        Ok(())
    }

    /// Whether the policy wants it sealed.
    pub(crate) fn is_due(&self, policy: SealPolicy) -> Result<bool> {
        let bytes = self.spool.as_ref().map_or(Ok(0), Spool::bytes)?;
        Ok(policy.is_due(self.opened.elapsed(), bytes))
    }

    /// Seals it: writes the rollup, then the Parquet file, then removes the spool. A crash before
    /// the removal leaves both files under one name; readers and recovery know that they hold the
    /// same rows.
    pub(crate) fn seal(mut self, dir: &Path, footer: &Footer) -> Result<()> {
        self.flush()?;
        write_rollup(dir, &self.name, &mut self.rollup, footer)?;
        self.file.seal(footer, &self.name.sealed(dir, Table::Resets))?;
        match &self.spool {
            Some(spool) => fs::remove_file(spool.path()).map_err(Error::io("remove", spool.path())),
            None => Ok(()),
        }
    }
}

/// Writes the rollup of a segment. Written first, so that every sealed segment has its rollup;
/// readers ignore a rollup without a segment.
pub(crate) fn write_rollup(
    dir: &Path,
    name: &SegmentName,
    rollup: &mut Rollup,
    footer: &Footer,
) -> Result<()> {
    let written = rollup.rows();
    if written == 0 {
        return Ok(());
    }
    let table = Table::ResetsPerMinute;
    let mut file = PartialFile::create(name.partial(dir, table), table)?;
    file.append(&rollup.finish().map_err(Error::Batch)?)?;
    // The resets that it counts, so that a reader can tell whether they are the whole segment.
    let footer = footer.for_companion(written);
    Ok(file.seal(&footer, &name.sealed(dir, table))?)
}
