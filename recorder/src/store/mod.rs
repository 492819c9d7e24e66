//! The folder of a recording: one recorder at a time, rows in, sealed segments out.
//!
//! ```text
//! account     seen = written + counted + lost, CPU by CPU
//! segment     the open segment: own (columns that differ from row to row) and profiles (all others)
//!             -> spool (Arrow IPC, synced) and Parquet (tmp, fsync, rename); counts -> the rollup
//! count_spool resets without rows in the open segment, synced
//! seal        when a segment is complete
//! table       one file of any other table, from a batch of rows
//! recover     spools that a killed recorder left behind -> segments
//! lock        one recorder for each folder
//! ```

mod account;
mod batch;
mod count_spool;
mod counts;
#[cfg(test)]
mod full_row;
mod lock;
mod own;
mod profiles;
mod recover;
mod seal;
mod segment;
mod spool;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tcprst_schema::columns::Column;
use tcprst_schema::footer::{CpuAccount, Filtered, Footer, Origin, SiteStatus};
use tcprst_schema::paths::SegmentName;
use tcprst_schema::row::{Own, RollupRow, Row};
use tcprst_schema::tables::Table;
use tcprst_schema::wire::CpuTotals;

use crate::clock::Clock;
use crate::error::Result;
use crate::event::profile::Profiles;
use crate::host::Host;
use account::{Account, Sums};
use count_spool::CountSpool;
use segment::Segment;

pub use account::Before;
pub use lock::{Lock, lock};
pub(crate) use recover::{Recovered, recover};
pub(crate) use seal::SealPolicy;

/// What a store writes to, and what each of its footers says.
#[derive(Clone, Debug)]
pub struct Context {
    /// Folder of the recording; the caller holds its [`Lock`].
    pub dir: PathBuf,
    pub host: Host,
    /// Each RST site and the hook that sees it.
    pub sites: Vec<SiteStatus>,
    /// Names of the kernel's reset reasons.
    pub reasons: BTreeMap<i32, String>,
    /// Whether only some resets were requested.
    pub filtered: Filtered,
    /// Whether the open segment survives a crash. A recording that can be made again needs no
    /// spool.
    pub is_spooled: bool,
}

/// Turns rows into sealed segments.
#[derive(Debug)]
pub struct Store {
    context: Context,
    account: Account,
    open: Option<Segment>,
    /// Of rows that come without one.
    profiles: Profiles,
    /// Counts of the open segment, where it has any.
    counts: Option<CountSpool>,
    /// Start of the time that the next segment covers.
    covered_from_us: i64,
    next_seq: u32,
    /// Resets of this segment for which the kernel refused to run a program.
    refused: u64,
    totals: Totals,
}

/// What was recorded since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub seen: u64,
    pub written: u64,
    /// Resets of storms, counted in place of a row each.
    pub counted: u64,
    pub lost: u64,
    pub segments: u64,
}

impl Store {
    /// A store whose first segment covers the time from `clock` on.
    pub fn new(context: Context, clock: &Clock) -> Self {
        Self::resume(context, &[], 1, clock)
    }

    /// A store that continues an account and the numbers of files.
    pub fn resume(context: Context, base: &[CpuAccount], next_seq: u32, clock: &Clock) -> Self {
        Self {
            context,
            account: Account::from_base(base),
            open: None,
            profiles: Profiles::default(),
            counts: None,
            covered_from_us: clock.now_us(),
            next_seq,
            refused: 0,
            totals: Totals::default(),
        }
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Rows in the open segment, if there is one.
    pub fn open_rows(&self) -> Option<u64> {
        self.open.as_ref().map(Segment::written)
    }

    /// Appends a row; rows come in the order of their time. A row of another day, or from before
    /// a clock step, starts a new segment, so that a segment's name bounds all its rows.
    pub fn append(&mut self, row: &Row, before: Before, clock: &Clock) -> Result<()> {
        let profile = self.profiles.of(row);
        self.append_own(&profile, &row.own(), before, clock)
    }

    /// Appends a row that is a profile's and has this of its own.
    pub(crate) fn append_own(
        &mut self,
        profile: &Arc<Row>,
        own: &Own,
        before: Before,
        clock: &Clock,
    ) -> Result<()> {
        self.segment_for(own.time_us, clock)?.append(profile, own);
        self.account.add(own.cpu, own.seq, before);
        Ok(())
    }

    /// Adds resets that were counted in place of a row each; `time_us` is when their counts were
    /// read. Without an open segment they open one: its footer holds their account.
    pub fn add_counts(&mut self, counts: &[RollupRow], time_us: i64, clock: &Clock) -> Result<()> {
        if counts.is_empty() {
            return Ok(());
        }
        let segment = self.segment_for(time_us, clock)?;
        segment.add_counts(counts);
        let name = segment.name().clone();
        self.spool_counts(&name, counts, clock)?;
        self.account.add_counted(counts.iter().map(|row| row.count.cast_unsigned()).sum());
        Ok(())
    }

    fn spool_counts(
        &mut self,
        name: &SegmentName,
        counts: &[RollupRow],
        clock: &Clock,
    ) -> Result<()> {
        if !self.context.is_spooled {
            return Ok(());
        }
        match &mut self.counts {
            Some(spool) => spool.append(counts),
            None => {
                let footer = self.footer(0, clock);
                let spool = CountSpool::create(&self.context.dir, name, &footer)?;
                self.counts.insert(spool).append(counts)
            }
        }
    }

    /// Takes the counts that were read so far since the start, CPU by CPU: those of
    /// [`Self::add_counts`], and those that were not requested.
    pub fn counts_read(&mut self, by_cpu: &[u64]) {
        self.account.counts_read(by_cpu);
    }

    /// The open segment if it can hold that time, or a new one.
    fn segment_for(&mut self, time_us: i64, clock: &Clock) -> Result<&mut Segment> {
        let is_beyond = |open: &Segment| !open.name().can_hold(time_us);
        if self.open.as_ref().is_some_and(is_beyond) {
            self.seal(clock)?;
        }
        match self.open {
            Some(ref mut segment) => Ok(segment),
            None => self.open_segment(time_us, clock),
        }
    }

    /// Removes a row that was not requested from the account.
    pub(crate) fn pass_over(&mut self, own: &Own, before: Before) {
        self.account.pass_over(own.cpu, own.seq, before);
    }

    /// Makes the appended rows survive a crash, and seals the segment if it is due. Returns
    /// whether it did.
    pub(crate) fn flush(&mut self, policy: SealPolicy, clock: &Clock) -> Result<bool> {
        let Some(segment) = &mut self.open else {
            return Ok(false);
        };
        segment.flush()?;
        // Counts take little space, unless a scan visits every port each second.
        let counts = self.counts.as_ref().map_or(Ok(0), CountSpool::bytes)?;
        let due = segment.is_due(policy)? || counts >= policy.bytes;
        if due {
            self.seal(clock)?;
        }
        Ok(due)
    }

    /// When the open segment is old enough to be sealed; `None` if none is open.
    pub(crate) fn seal_deadline(&self, policy: SealPolicy) -> Option<Instant> {
        self.open.as_ref()?.opened().checked_add(policy.age)
    }

    /// Rows that are appended but not encoded yet.
    pub fn waiting_rows(&self) -> usize {
        self.open.as_ref().map_or(0, Segment::waiting)
    }

    /// Encodes the appended rows.
    pub fn encode(&mut self) -> Result<()> {
        self.open.as_mut().map_or(Ok(()), Segment::flush)
    }

    /// Takes the kernel half's totals, after its rings are empty and its programs are detached.
    pub fn take_totals(&mut self, totals: &[CpuTotals]) {
        self.account.close(totals);
    }

    /// Resets lost in rings since the start, as far as the account knows.
    pub(crate) fn lost_in_rings(&self) -> u64 {
        self.account.lost_in_all()
    }

    /// Counts resets for which the kernel refused to run a program. No hook saw them, so they are
    /// lost.
    pub(crate) fn add_refused(&mut self, count: u64) {
        self.refused += count;
    }

    /// Seals the rest. A recording without any reset leaves one empty segment, as proof that a
    /// recorder was running.
    pub(crate) fn close(&mut self, clock: &Clock) -> Result<()> {
        let nothing = self.account.sums() == Sums::default() && self.refused == 0;
        if self.open.is_none() && nothing && self.totals.segments > 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open_segment(clock.now_us(), clock)?;
        }
        self.seal(clock)
    }

    fn open_segment(&mut self, first_time_us: i64, clock: &Clock) -> Result<&mut Segment> {
        let name = self.next_name(first_time_us);
        let footer = self.context.is_spooled.then(|| self.footer(0, clock));
        let segment = Segment::open(&self.context.dir, name, footer.as_ref())?;
        Ok(self.open.insert(segment))
    }

    fn next_name(&mut self, first_time_us: i64) -> SegmentName {
        let name = SegmentName::new(&self.context.host.name, first_time_us, self.next_seq);
        self.next_seq += 1;
        name
    }

    /// Seals the open segment, if there is one. It covers the time up to `clock`.
    pub fn seal(&mut self, clock: &Clock) -> Result<()> {
        let Some(segment) = self.open.take() else {
            return Ok(());
        };
        let footer = self.footer(segment.written(), clock);
        segment.seal(&self.context.dir, &footer)?;
        if let Some(counts) = self.counts.take() {
            counts.remove()?;
        }
        self.account.next_segment();
        self.refused = 0;
        self.covered_from_us = footer.recorded_to_us;
        self.totals.seen += footer.seen;
        self.totals.written += footer.written;
        self.totals.counted += footer.counted;
        self.totals.lost += footer.lost;
        self.totals.segments += 1;
        Ok(())
    }

    fn footer(&self, written: u64, clock: &Clock) -> Footer {
        let sums = self.account.sums();
        let Context { host, sites, reasons, filtered, .. } = &self.context;
        let origin = Origin {
            recorder: env!("CARGO_PKG_VERSION"),
            host: &host.name,
            boot_id: &host.boot_id,
            kernel: &host.kernel,
        };
        Footer {
            recorded_from_us: self.covered_from_us,
            recorded_to_us: clock.now_us(),
            clock: clock.anchor(),
            sites: sites.clone(),
            reasons: reasons.clone(),
            seen: sums.seen + self.refused,
            written,
            counted: sums.counted,
            lost: sums.lost + self.refused,
            account: self.account.base().to_vec(),
            filtered: *filtered,
            ..Footer::new(origin)
        }
    }

    /// Writes a file of a table other than `resets`; no file without rows. `from_us` is the time
    /// in its name.
    pub fn write_table<R>(
        &mut self,
        table: Table,
        columns: &'static [Column<R>],
        rows: &[R],
        from_us: i64,
        clock: &Clock,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let name = self.next_name(from_us);
        table::write(&self.context.dir, &name, table, columns, rows, &self.footer(0, clock))
    }
}
