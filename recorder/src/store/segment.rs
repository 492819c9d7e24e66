//! The open segment. Each batch goes to the spool, for safety, and to the Parquet file: there the
//! columns that differ from reset to reset are encoded at once, and the others when it is sealed,
//! from the number of each row's profile.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tcprst_schema::arrow::ROW_GROUP_ROWS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::profile::pack;
use tcprst_schema::resets::ResetsFile;
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{Own, RollupRow, Row};
use tcprst_schema::tables::Table;
use tcprst_schema::writer::PartialFile;

use crate::error::{Error, Result};
use crate::store::counts::Counts;
use crate::store::own::OwnBatch;
use crate::store::profiles::SegmentProfiles;
use crate::store::seal::SealPolicy;
use crate::store::spool::Spool;

/// A segment of more profiles is sealed: a busy host has some hundred, and each takes a kilobyte or
/// two. Who sets his own command name can make many.
const MAX_PROFILES: usize = 16 * 1024;

/// A segment that takes rows.
#[derive(Debug)]
pub(crate) struct Segment {
    name: SegmentName,
    spool: Option<Spool>,
    file: ResetsFile,
    /// The batch: rows that are in no file yet, and their profiles.
    own: OwnBatch,
    numbers: Vec<u32>,
    profiles: SegmentProfiles,
    counts: Counts,
    /// Resets without rows.
    counted: Rollup,
    written: u64,
    opened: Instant,
}

impl Segment {
    /// Opens a segment. `spooled` is its footer as far as it is known, for the spool; without it
    /// there is no spool.
    pub(crate) fn open(dir: &Path, name: SegmentName, spooled: Option<&Footer>) -> Result<Self> {
        Ok(Self {
            spool: spooled.map(|footer| Spool::create(name.spool(dir), footer)).transpose()?,
            file: ResetsFile::create(name.partial(dir, Table::Resets))?,
            own: OwnBatch::new(),
            numbers: Vec::new(),
            profiles: SegmentProfiles::new(),
            counts: Counts::new(),
            counted: Rollup::default(),
            written: 0,
            opened: Instant::now(),
            name,
        })
    }

    pub(crate) fn name(&self) -> &SegmentName {
        &self.name
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    /// Rows in it.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Rows that are in no file yet.
    pub(crate) fn waiting(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn append(&mut self, profile: &Arc<Row>, own: &Own) {
        let number = self.profiles.number(profile);
        let row = self.profiles.row(number, own);
        self.own.append(row);
        self.counts.add(row.time_us, number, row.service_port());
        self.numbers.push(number);
        self.written += 1;
    }

    /// Adds resets without rows to the rollup.
    pub(crate) fn add_counts(&mut self, counts: &[RollupRow]) {
        self.counted.add_counts(counts);
    }

    /// Writes the rows into both files, and syncs the spool.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.numbers.is_empty() {
            return Ok(());
        }
        let own = self.own.finish()?;
        if let Some(spool) = &mut self.spool {
            let profiles = self.profiles.columns()?;
            spool.append(&pack(&own, &self.numbers, &profiles).map_err(Error::Batch)?)?;
            spool.sync()?;
        }
        self.file.append(&own, &self.numbers)?;
        self.numbers.clear();
        if self.file.open_rows() >= ROW_GROUP_ROWS {
            self.file.end_group(&*self.profiles.columns()?)?;
        }
        Ok(())
    }

    /// Whether the policy wants it sealed.
    pub(crate) fn is_due(&self, policy: SealPolicy) -> Result<bool> {
        let bytes = self.spool.as_ref().map_or(Ok(0), Spool::bytes)?;
        let is_diverse = self.profiles.len() >= MAX_PROFILES;
        Ok(is_diverse || policy.is_due(self.opened.elapsed(), bytes))
    }

    /// Seals it: writes the rollup, then the Parquet file, then removes the spool. A crash before
    /// the removal leaves both files under one name; readers and recovery know that they hold the
    /// same rows.
    pub(crate) fn seal(mut self, dir: &Path, footer: &Footer) -> Result<()> {
        self.flush()?;
        // With the names that have come since the rows were flushed.
        let profiles = self.profiles.columns()?;
        let mut rollup = std::mem::take(&mut self.counted);
        self.counts.add_to(&mut rollup, &profiles)?;
        write_rollup(dir, &self.name, &mut rollup, footer)?;
        self.file.end_group(&profiles)?;
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

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
