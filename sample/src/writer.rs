//! Writes the rows of a shift as the recorder does: the same files, footers and account, without
//! the spool, whose only use is to survive a crash.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tcprst_schema::columns::{COLUMNS, CONTAINER_COLUMNS};
use tcprst_schema::footer::{ClockAnchor, Filtered, Footer, SiteStatus};
use tcprst_schema::hook::{Direction, SITES};
use tcprst_schema::paths::{SegmentName, Table};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{ContainerRow, LossRow, Row};
use tcprst_schema::wire::CpuTotals;
use tcprst_schema::writer::PartialFile;
use tcprst_schema::{SCHEMA_VERSION, TAXONOMY_VERSION};

use crate::frames::REASONS;
use crate::plan::{Minute, Shift};
use crate::world::Node;
use tcprst_recorder::error::{Error, Result};
use tcprst_recorder::event::losses;
use tcprst_recorder::store::account::Account;
use tcprst_recorder::store::batch::Batch;
use tcprst_recorder::store::segment::write_rollup;

/// Rows of a batch, as many as the recorder has at most.
const BATCH_ROWS: usize = 16_384;

/// CPU time of this thread: how long it was kept waiting is the machine's business.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// When a segment is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Segments end at whole multiples of it.
    pub(crate) age_us: i64,
    pub(crate) rows: u64,
}

/// What was written, and what it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) lost: u64,
    pub(crate) files: u64,
    pub(crate) making_rows: Duration,
    pub(crate) batching: Duration,
    pub(crate) encoding: Duration,
    pub(crate) sealing: Duration,
}

/// The segment that takes rows.
#[derive(Debug)]
struct Open {
    name: SegmentName,
    file: PartialFile,
    rollup: Rollup,
    until_us: i64,
    rows: u64,
}

/// The files of one shift.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    dir: &'a Path,
    node: &'a Node,
    shift: &'a Shift,
    policy: Policy,
    boot_us: i64,
    account: Account,
    batch: Batch<Row>,
    open: Option<Open>,
    covered_from_us: i64,
    next_file: u32,
    pub(crate) written: Written,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        dir: &'a Path,
        node: &'a Node,
        shift: &'a Shift,
        policy: Policy,
        boot_us: i64,
    ) -> Self {
        Self {
            dir,
            node,
            shift,
            policy,
            boot_us,
            account: Account::from_base(&shift.base),
            batch: Batch::new(COLUMNS),
            open: None,
            covered_from_us: shift.from_us,
            next_file: shift.first_file,
            written: Written::default(),
        }
    }

    pub(crate) fn append(&mut self, row: &Row, lost_before: u64) -> Result<()> {
        if let Some(open) = &self.open
            && (row.time_us >= open.until_us || open.rows >= self.policy.rows)
        {
            let until_us = open.until_us.min(row.time_us);
            self.seal(until_us)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open_segment(row.time_us)?,
        };
        open.rows += 1;
        self.batch.append(row);
        self.account.add(row.cpu, row.seq, lost_before);
        if self.batch.rows() >= BATCH_ROWS {
            self.encode()?;
        }
        Ok(())
    }

    fn open_segment(&mut self, time_us: i64) -> Result<&mut Open> {
        let name = self.name(time_us);
        let file = PartialFile::create(name.partial(self.dir, Table::Resets), Table::Resets)?;
        let age_us = self.policy.age_us;
        let until_us = ((time_us.div_euclid(age_us) + 1) * age_us).min(self.shift.to_us);
        Ok(self.open.insert(Open { name, file, rollup: Rollup::default(), until_us, rows: 0 }))
    }

    fn name(&mut self, time_us: i64) -> SegmentName {
        let name = SegmentName::new(&self.node.name, time_us, self.next_file);
        self.next_file += 1;
        name
    }

    fn encode(&mut self) -> Result<()> {
        if let Some(open) = &mut self.open
            && self.batch.rows() > 0
        {
            let batch = self.batch.finish()?;
            let start = cpu_time();
            open.file.append(&batch)?;
            open.rollup.add(&batch).map_err(Error::Batch)?;
            self.written.encoding += cpu_time().saturating_sub(start);
        }
        Ok(())
    }

    fn seal(&mut self, until_us: i64) -> Result<()> {
        self.encode()?;
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let start = cpu_time();
        let footer = self.footer(open.rows, until_us);
        write_rollup(self.dir, &open.name, &mut open.rollup, &footer)?;
        open.file.seal(&footer, &open.name.sealed(self.dir, Table::Resets))?;
        self.account.next_segment();
        self.covered_from_us = until_us;
        self.written.rows += footer.written;
        self.written.lost += footer.lost;
        self.written.files += 1;
        self.written.sealing += cpu_time().saturating_sub(start);
        Ok(())
    }

    /// The end of the shift: what the account still lacks, losses, and the last segment.
    pub(crate) fn close(&mut self, totals: &[CpuTotals]) -> Result<()> {
        self.account.close(totals);
        self.seal(self.shift.to_us)?;
        if self.shift.starts_run {
            let row = |place: &crate::world::Place| place.row(self.node, self.shift.from_us);
            let rows: Vec<ContainerRow> = self.node.places.iter().filter_map(row).collect();
            let name = self.name(self.shift.from_us);
            let (table, footer) = (Table::Containers, self.footer(0, self.shift.to_us));
            losses::write_table(self.dir, &name, table, CONTAINER_COLUMNS, &rows, footer)?;
        }
        let lost = self.shift.minutes.iter().filter(|minute| minute.lost > 0);
        let rows: Vec<LossRow> = lost.map(|minute| self.loss(minute)).collect();
        if let Some(first) = rows.first() {
            let name = self.name(first.from_us);
            losses::write(self.dir, &name, &rows, self.footer(0, self.shift.to_us))?;
        }
        Ok(())
    }

    /// What was lost was what most came of.
    fn loss(&self, minute: &Minute) -> LossRow {
        let host = Arc::clone(&self.node.name);
        LossRow {
            callee: Some("tcp_v4_send_reset".into()),
            caller: Some("tcp_v4_rcv".into()),
            reason: Some("NO_SOCKET".into()),
            reason_code: Some(1),
            family: Some("ipv4"),
            ..losses::unkeyed(&host, "ring", minute.lost, minute.from_us, minute.to_us)
        }
    }

    fn footer(&self, written: u64, until_us: i64) -> Footer {
        let sums = self.account.sums();
        let boot_ns = (until_us - self.boot_us).cast_unsigned() * 1000;
        Footer {
            schema_version: SCHEMA_VERSION,
            taxonomy_version: TAXONOMY_VERSION,
            recorder: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.node.host.name.clone(),
            boot_id: self.node.host.boot_id.clone(),
            kernel: self.node.host.kernel.clone(),
            recorded_from_us: self.covered_from_us,
            recorded_to_us: until_us,
            clock: ClockAnchor { boot_ns, realtime_ns: until_us.cast_unsigned() * 1000 },
            sites: sites(),
            reasons: REASONS.iter().zip(0..).map(|(name, at)| (at, (*name).to_owned())).collect(),
            seen: sums.seen,
            written,
            lost: sums.lost,
            account: self.account.base().to_vec(),
            recovered: false,
            merged: Vec::new(),
            filtered: Filtered::default(),
        }
    }
}

/// As a recorder with `--received` has them on such a kernel.
fn sites() -> Vec<SiteStatus> {
    let watched = SITES.iter().filter(|site| site.direction != Direction::Icmp);
    watched
        .map(|site| {
            let is_tracepoint = site.module.is_none() || site.function.starts_with("tcp_");
            let hook = if is_tracepoint { "raw_tracepoint" } else { "kprobe" };
            SiteStatus {
                site: site.function.to_owned(),
                direction: site.direction.name().to_owned(),
                hook: Some(hook.to_owned()),
                detail: site.function.to_owned(),
                why: String::new(),
                waiting: None,
            }
        })
        .collect()
}
