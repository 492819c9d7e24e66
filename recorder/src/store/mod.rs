//! The recording's folder: one recorder at a time, rows in, sealed segments out.

pub mod account;
pub mod batch;
pub mod recover;
pub mod seal;
pub mod segment;
pub mod spool;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tcprst_schema::columns::{CONTAINER_COLUMNS, LEDGER_COLUMNS};
use tcprst_schema::footer::{Filtered, Footer, SiteStatus};
use tcprst_schema::paths::{SegmentName, Table, spool_dir};
use tcprst_schema::row::{ContainerRow, LedgerRow, LossRow, Row};
use tcprst_schema::wire::CpuTotals;
use tcprst_schema::writer::create_dir;
use tcprst_schema::{SCHEMA_VERSION, TAXONOMY_VERSION};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::losses;
use crate::host::Host;
use crate::kernel::btf::Names;
use crate::store::account::{Account, Sums};
use crate::store::seal::SealPolicy;
use crate::store::segment::Segment;

/// The lock of a recording's folder.
pub const LOCK: &str = ".tcprst-record.lock";

/// A folder that this recorder holds.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    _lock: Flock<File>,
    host: Host,
    sites: Vec<SiteStatus>,
    names: Names,
    policy: SealPolicy,
    account: Account,
    open: Option<Segment>,
    /// Start of the time that the next segment covers.
    covered_from_us: i64,
    next_seq: u32,
    filtered: Filtered,
    /// Resets that the kernel refused to run a program for, so far.
    refused: u64,
    totals: Totals,
}

/// What the recorder did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub seen: u64,
    pub written: u64,
    pub lost: u64,
    pub segments: u64,
}

/// Takes the folder: creates it where it is missing, and locks it.
pub fn lock(dir: &Path) -> Result<Flock<File>> {
    create_dir(&spool_dir(dir))?;
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    let mut lock =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, _)| {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Error::Locked { dir: dir.to_owned(), holder: holder.trim().to_owned() }
        })?;
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "pid {}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(lock)
}

impl Store {
    pub fn new(
        dir: &Path,
        lock: Flock<File>,
        host: Host,
        sites: Vec<SiteStatus>,
        names: Names,
        policy: SealPolicy,
        clock: &Clock,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            _lock: lock,
            host,
            sites,
            names,
            policy,
            account: Account::default(),
            open: None,
            covered_from_us: clock.now_us(),
            next_seq: 1,
            filtered: Filtered::default(),
            refused: 0,
            totals: Totals::default(),
        }
    }

    /// The same for a recording that was not asked for everything.
    pub fn filtered(self, filtered: Filtered) -> Self {
        Self { filtered, ..self }
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes rows in the order of their time. Those of another day, or of a clock
    /// that was set back, go into another segment, so that its name is true for each row. What is not wanted was never asked for:
    /// it is taken out of the account.
    pub fn append(
        &mut self,
        rows: &[(Row, u64)],
        is_wanted: impl Fn(&Row) -> bool,
        clock: &Clock,
    ) -> Result<()> {
        for (row, lost_before) in rows {
            if !is_wanted(row) {
                self.account.pass_over(row.cpu, row.seq, *lost_before);
                continue;
            }
            let other_times = |open: &Segment| !open.name().can_hold(row.time_us);
            if self.open.as_ref().is_some_and(other_times) {
                self.seal(clock)?;
            }
            let segment = match &mut self.open {
                Some(segment) => segment,
                None => self.open_segment(row.time_us, clock)?,
            };
            segment.append(row);
            self.account.add(row.cpu, row.seq, *lost_before);
        }
        Ok(())
    }

    /// Makes what was appended survive, and seals the segment where it is due. True if it did.
    pub fn flush(&mut self, clock: &Clock) -> Result<bool> {
        let Some(segment) = &mut self.open else {
            return Ok(false);
        };
        segment.flush()?;
        let due = segment.is_due(self.policy)?;
        if due {
            self.seal(clock)?;
        }
        Ok(due)
    }

    /// Takes the kernel half's last word, once its rings are empty and its programs gone.
    pub fn take_totals(&mut self, totals: &[CpuTotals]) {
        self.account.close(totals);
    }

    /// Resets lost in rings since the start, as far as the account knows.
    pub fn lost_in_rings(&self) -> u64 {
        self.account.lost_in_all()
    }

    /// Seals what is left. A recording in which nothing happened leaves one empty segment: it
    /// says that somebody was watching.
    pub fn close(&mut self, clock: &Clock) -> Result<()> {
        let nothing = self.account.sums() == Sums::default() && self.refused == 0;
        if self.open.is_none() && nothing && self.totals.segments > 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open_segment(clock.now_us(), clock)?;
        }
        self.seal(clock)
    }

    /// Counts resets for which the kernel refused to run a program: seen by nobody, so lost.
    pub fn add_refused(&mut self, count: u64) {
        self.refused += count;
    }

    fn open_segment(&mut self, first_time_us: i64, clock: &Clock) -> Result<&mut Segment> {
        let name = SegmentName::new(&self.host.name, first_time_us, self.next_seq);
        let footer = self.footer(0, clock);
        let segment = Segment::open(&self.dir, name, &footer)?;
        self.next_seq += 1;
        Ok(self.open.insert(segment))
    }

    fn seal(&mut self, clock: &Clock) -> Result<()> {
        let Some(segment) = self.open.take() else {
            return Ok(());
        };
        let footer = self.footer(segment.written(), clock);
        segment.seal(&self.dir, &footer)?;
        self.account.next_segment();
        self.refused = 0;
        self.covered_from_us = footer.recorded_to_us;
        self.totals.seen += footer.seen;
        self.totals.written += footer.written;
        self.totals.lost += footer.lost;
        self.totals.segments += 1;
        Ok(())
    }

    fn footer(&self, written: u64, clock: &Clock) -> Footer {
        let sums = self.account.sums();
        Footer {
            schema_version: SCHEMA_VERSION,
            taxonomy_version: TAXONOMY_VERSION,
            recorder: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.name.clone(),
            boot_id: self.host.boot_id.clone(),
            kernel: self.host.kernel.clone(),
            recorded_from_us: self.covered_from_us,
            recorded_to_us: clock.now_us(),
            clock: clock.anchor(),
            sites: self.sites.clone(),
            reasons: self.names.reasons.clone(),
            seen: sums.seen + self.refused,
            written,
            lost: sums.lost + self.refused,
            account: self.account.base().to_vec(),
            recovered: false,
            filtered: self.filtered,
            merged: Vec::new(),
        }
    }

    /// Writes a file of the table `losses`.
    pub fn write_losses(&mut self, rows: &[LossRow], clock: &Clock) -> Result<()> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let name = SegmentName::new(&self.host.name, first.from_us, self.next_seq);
        self.next_seq += 1;
        losses::write(&self.dir, &name, rows, self.footer(0, clock))
    }

    /// Writes a file of the table `containers`.
    pub fn write_containers(&mut self, rows: &[ContainerRow], clock: &Clock) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        // Of the day when it is written: a container lives on for many days.
        let name = SegmentName::new(&self.host.name, clock.now_us(), self.next_seq);
        self.next_seq += 1;
        let footer = self.footer(0, clock);
        losses::write_table(&self.dir, &name, Table::Containers, CONTAINER_COLUMNS, rows, footer)
    }

    /// Writes a file of the table `ledger`.
    pub fn write_ledger(&mut self, rows: &[LedgerRow], clock: &Clock) -> Result<()> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let name = SegmentName::new(&self.host.name, first.from_us, self.next_seq);
        self.next_seq += 1;
        let footer = self.footer(0, clock);
        losses::write_table(&self.dir, &name, Table::Ledger, LEDGER_COLUMNS, rows, footer)
    }
}
