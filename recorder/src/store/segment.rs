//! The open segment: each batch goes to the spool, for safety, and is encoded into the Parquet
//! file at once, so that sealing only has to write the footer.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tcprst_schema::columns::{COLUMNS, ROLLUP_COLUMNS};
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{SegmentName, Table};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::Row;
use tcprst_schema::writer::PartialFile;

use crate::error::{Error, Result};
use crate::store::batch::Batch;
use crate::store::seal::SealPolicy;
use crate::store::spool::Spool;

/// A segment that takes rows.
#[derive(Debug)]
pub struct Segment {
    name: SegmentName,
    spool: Spool,
    file: PartialFile,
    batch: Batch<Row>,
    rollup: Rollup,
    written: u64,
    opened: Instant,
}

impl Segment {
    /// Opens a segment; `footer` as far as it is known.
    pub fn open(dir: &Path, name: SegmentName, footer: &Footer) -> Result<Self> {
        Ok(Self {
            spool: Spool::create(name.spool(dir), footer)?,
            file: PartialFile::create(name.partial(dir, Table::Resets), COLUMNS)?,
            batch: Batch::new(COLUMNS),
            rollup: Rollup::default(),
            written: 0,
            opened: Instant::now(),
            name,
        })
    }

    pub fn name(&self) -> &SegmentName {
        &self.name
    }

    /// Rows in it.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn append(&mut self, row: &Row) {
        self.batch.append(row);
        self.written += 1;
    }

    /// Brings the rows into both files, and the spool to the disk.
    pub fn flush(&mut self) -> Result<()> {
        if self.batch.rows() > 0 {
            let batch = self.batch.finish()?;
            self.spool.append(&batch)?;
            self.spool.sync()?;
            self.file.append(&batch)?;
            self.rollup.add(&batch).map_err(Error::Batch)?;
        }
        Ok(())
    }

    /// Whether the policy wants it sealed.
    pub fn is_due(&self, policy: SealPolicy) -> Result<bool> {
        Ok(policy.is_due(self.age(), self.spool.bytes()?))
    }

    fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Seals it: the rollup, the Parquet file, then the spool goes. A crash in between leaves both
    /// under one name, which readers and recovery know to be the same rows.
    pub fn seal(mut self, dir: &Path, footer: &Footer) -> Result<()> {
        self.flush()?;
        write_rollup(dir, &self.name, &mut self.rollup, footer)?;
        self.file.seal(footer, &self.name.sealed(dir, Table::Resets))?;
        let spool = self.spool.path().to_owned();
        fs::remove_file(&spool).map_err(Error::io("remove", &spool))
    }
}

/// Writes the rollup of a segment, before the segment itself is sealed: one that is there must
/// have its rollup, and a rollup without a segment is nobody's.
pub fn write_rollup(
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
    let mut file = PartialFile::create(name.partial(dir, table), ROLLUP_COLUMNS)?;
    file.append(&rollup.finish().map_err(Error::Batch)?)?;
    // What it counts, so that a reader sees at once whether that is the whole segment.
    let footer = Footer { seen: 0, lost: 0, written, ..footer.clone() };
    Ok(file.seal(&footer, &name.sealed(dir, table))?)
}
