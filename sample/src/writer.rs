//! Writes the rows of a shift through the recorder's store: the same files, footers and account.
//! Only the spool is missing, whose sole purpose is to survive a crash.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tcprst_recorder::store::{Before, Context, Store};
use tcprst_recorder::{Clock, Result, unkeyed_loss};
use tcprst_schema::columns::{CONTAINER_COLUMNS, LOSS_COLUMNS};
use tcprst_schema::footer::{ClockAnchor, Filtered, SiteStatus};
use tcprst_schema::hook::{Direction, SITES};
use tcprst_schema::row::{ContainerRow, LossRow, Row};
use tcprst_schema::tables::Table;
use tcprst_schema::wire::CpuTotals;

use crate::frames::REASONS;
use crate::plan::{Minute, Shift};
use crate::world::{Node, Workload};

/// Rows of a batch: the maximum of the recorder.
const BATCH_ROWS: usize = 16_384;

/// CPU time of this thread, without the time for which it had to wait for a CPU.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// When a segment is complete, by the time of its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Segments end at whole multiples of this time.
    pub(crate) age_us: i64,
    pub(crate) rows: u64,
}

/// Counts of written rows and files, and the CPU time of each step.
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

/// The files of one shift.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    node: &'a Node,
    shift: &'a Shift,
    policy: Policy,
    boot_us: i64,
    store: Store,
    /// End of the open segment.
    until_us: i64,
    pub(crate) written: Written,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        dir: &Path,
        node: &'a Node,
        shift: &'a Shift,
        policy: Policy,
        boot_us: i64,
    ) -> Self {
        let context = Context {
            dir: dir.to_owned(),
            host: node.host.clone(),
            sites: sites(),
            reasons: (0..).zip(REASONS.iter().map(|name| (*name).to_owned())).collect(),
            filtered: Filtered::default(),
            is_spooled: false,
        };
        let start = clock(shift.from_us, boot_us);
        let store = Store::resume(context, &shift.base, shift.first_file, &start);
        let written = Written::default();
        Self { node, shift, policy, boot_us, store, until_us: shift.to_us, written }
    }

    pub(crate) fn append(&mut self, row: &Row, lost_before: u64) -> Result<()> {
        let is_full = |rows| row.time_us >= self.until_us || rows >= self.policy.rows;
        if self.store.open_rows().is_some_and(is_full) {
            self.seal(self.until_us.min(row.time_us))?;
        }
        if self.store.open_rows().is_none() {
            let age_us = self.policy.age_us;
            self.until_us = ((row.time_us.div_euclid(age_us) + 1) * age_us).min(self.shift.to_us);
        }
        let before = Before { lost: lost_before, counted: 0 };
        self.store.append(row, before, &clock(row.time_us, self.boot_us))?;
        if self.store.waiting_rows() >= BATCH_ROWS {
            self.encode()?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        let start = cpu_time();
        self.store.encode()?;
        self.written.encoding += cpu_time().saturating_sub(start);
        Ok(())
    }

    fn seal(&mut self, until_us: i64) -> Result<()> {
        self.encode()?;
        let start = cpu_time();
        self.store.seal(&clock(until_us, self.boot_us))?;
        self.written.sealing += cpu_time().saturating_sub(start);
        Ok(())
    }

    /// Ends the shift: completes the account, and writes the last segment, the containers and the
    /// losses.
    pub(crate) fn close(mut self, totals: &[CpuTotals]) -> Result<Written> {
        self.store.take_totals(totals);
        self.seal(self.shift.to_us)?;
        let end = clock(self.shift.to_us, self.boot_us);
        if self.shift.starts_run {
            let from_us = self.shift.from_us;
            let row = |workload: &Workload| workload.row(self.node, from_us);
            let rows: Vec<ContainerRow> = self.node.workloads.iter().filter_map(row).collect();
            self.store.write_table(Table::Containers, CONTAINER_COLUMNS, &rows, from_us, &end)?;
        }
        let lost = self.shift.minutes.iter().filter(|minute| minute.lost > 0);
        let rows: Vec<LossRow> = lost.map(|minute| self.loss(minute)).collect();
        let from_us = rows.first().map_or(0, |row| row.from_us);
        self.store.write_table(Table::Losses, LOSS_COLUMNS, &rows, from_us, &end)?;
        let totals = self.store.totals();
        Ok(Written {
            rows: totals.written,
            lost: totals.lost,
            files: totals.segments,
            ..self.written
        })
    }

    /// The losses of a minute; they are of the most frequent kind.
    fn loss(&self, minute: &Minute) -> LossRow {
        let host = Arc::clone(&self.node.name);
        LossRow {
            callee: Some("tcp_v4_send_reset".into()),
            caller: Some("tcp_v4_rcv".into()),
            reason: Some("NO_SOCKET".into()),
            reason_code: Some(1),
            family: Some("ipv4"),
            ..unkeyed_loss(&host, "ring", minute.lost, minute.from_us, minute.to_us)
        }
    }
}

/// The clocks of a host at a time of the recording.
fn clock(at_us: i64, boot_us: i64) -> Clock {
    let boot_ns = (at_us - boot_us).cast_unsigned() * 1000;
    Clock::from_anchor(ClockAnchor { boot_ns, realtime_ns: at_us.cast_unsigned() * 1000 })
}

/// The sites that a recorder with `--received` has on such a kernel.
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
