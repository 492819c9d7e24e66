//! The recording itself: the write thread's loop, from the channel to the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tcprst_schema::columns::{CONTAINER_COLUMNS, LEDGER_COLUMNS, LOSS_COLUMNS};
use tcprst_schema::footer::{Filtered, SiteStatus};
use tcprst_schema::hook::Direction;
use tcprst_schema::row::{LossRow, RollupRow, Row};
use tcprst_schema::tables::Table;

use crate::app::print::Printer;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::error::Result;
use crate::event::decode::Event;
use crate::event::enrich::Enricher;
use crate::event::losses::Losses;
use crate::event::ring::{self, Drain};
use crate::event::stacks::Stacks;
use crate::event::storm::{Counted, Storms};
use crate::host::Host;
use crate::kernel::btf::{Kernel, Settings};
use crate::kernel::probe::{self, Counters, Loaded, OwnerHooks, Probe};
use crate::kernel::proc::{BTF, KALLSYMS};
use crate::kernel::symbols::{SHOW_SYMBOLS, Symbols};
use crate::owner::{self, OwnerOptions, Owners, netns};
use crate::stderr::{counted, say};
use crate::store::{self, Before, Context, Lock, Recovered, SealPolicy, Store, Totals};

/// Rows that are flushed before the interval is over: at 500 bytes each they take 8 MB.
const MAX_PENDING: usize = 16 * 1024;
/// With `--container`: how long a row waits for names.
const NAMES_DELAY_NS: u64 = 3 * 1_000_000_000;
/// Longest sleep of the loop, so that a signal is answered soon.
const TICK: Duration = Duration::from_millis(100);
/// Programs that were running when they were detached have ended after this time.
const DETACH_GRACE: Duration = Duration::from_millis(20);

/// What to record, and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) policy: SealPolicy,
    pub(crate) flush_interval: Duration,
    /// Frames of the kernel stack, including the tracer's own.
    pub(crate) stack_depth: u32,
    /// Bytes of each CPU's ring buffer.
    pub(crate) ring_bytes: u32,
    /// Resets without a socket that get a row, a second and CPU; the others are counted. 0 counts
    /// none.
    pub(crate) storm_rate: u32,
    /// Stop after this time.
    pub(crate) duration: Option<Duration>,
    /// Compare with the packets that leave.
    pub(crate) audit: bool,
    /// Sent resets, and the directions that were requested in addition.
    pub(crate) directions: Vec<Direction>,
    /// Remember which process owns each socket.
    pub(crate) socket_owner: bool,
    pub(crate) owners: OwnerOptions,
    pub(crate) filter: Filter,
}

/// Which resets to record. An empty list matches all; values in a list are ORed, the lists are
/// ANDed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Names, ids or pods; applied by the recorder.
    pub(crate) containers: Vec<String>,
    /// At either end; applied by the kernel half.
    pub(crate) ports: Vec<u16>,
    /// Inodes of network namespaces; applied by the kernel half.
    pub(crate) netns: Vec<u32>,
}

impl Filter {
    fn filtered(&self) -> Filtered {
        Filtered {
            by_container: !self.containers.is_empty(),
            by_kernel: !(self.ports.is_empty() && self.netns.is_empty()),
        }
    }

    /// Whether a row belongs to one of the containers. Ask as late as possible: names come late.
    fn is_of_container(&self, row: &Row) -> bool {
        let is_owner = |wanted: &String| {
            row.owner.as_ref().is_some_and(|owner| owner::is_named(owner, wanted))
        };
        self.containers.is_empty() || self.containers.iter().any(is_owner)
    }
}

/// A row that is not in the store yet.
#[derive(Debug)]
struct Pending {
    row: Row,
    /// What was lost and counted on its CPU before it.
    before: Before,
}

/// A recorder that has started.
#[derive(Debug)]
pub(crate) struct Recorder {
    options: Options,
    probe: Option<Probe>,
    counters: Counters,
    drain: Option<Drain>,
    events: Receiver<Vec<Event>>,
    enricher: Enricher,
    losses: Losses,
    storms: Storms,
    store: Store,
    printer: Option<Printer>,
    audit: Option<Audit>,
    owners: Owners,
    owner_hooks: OwnerHooks,
    pending: Vec<Pending>,
    recovered: Recovered,
    /// Held until the recorder is dropped.
    _lock: Lock,
}

impl Recorder {
    /// Locks the folder, recovers what a killed recorder left there, and hooks the kernel.
    pub(crate) fn start(options: Options, printer: Option<Printer>) -> Result<Self> {
        let kernel = Kernel::read(BTF.as_ref())?;
        let names = kernel.names();
        // Wake up when a ring is half full: the other half is for events that come until then.
        let settings = Settings {
            stack_depth: options.stack_depth,
            wake_bytes: options.ring_bytes / 2,
            socket_owner: options.socket_owner,
            host_netns: netns::host(),
            storm_rate: options.storm_rate,
            only_netns: options.filter.netns.clone(),
            only_ports: options.filter.ports.clone(),
        };
        let layout = kernel.layout(&names, &settings)?;
        let lock = store::lock(&options.dir)?;
        let recovered = store::recover(&options.dir)?;
        let host = Host::read()?;
        let mut audit = match options.audit {
            true => Some(Audit::start(&host.name, &Clock::now()?)?),
            false => None,
        };
        let started = Clock::now()?;
        let Loaded { probe, rings, counters, lives, owner_hooks } =
            probe::load(&layout, options.ring_bytes, &options.directions, &host.kernel)?;
        // After the load: our own programs, which are on top of every stack, must be in the table.
        let symbols = Symbols::read();
        if symbols.is_empty() {
            say!(
                "the kernel hides its symbols ({KALLSYMS}), so every cause will be `unknown`: \
                 {SHOW_SYMBOLS}"
            );
        }
        // Before the scan for existing containers, which takes a while on a large host.
        let (drain, events) = ring::start(rings)?;
        let owners = Owners::start(lives, options.owners.clone(), &host.name, &started)?;
        let clock = Clock::now()?;
        let enricher = Enricher::new(&host.name, &names, Stacks::new(symbols));
        let losses = Losses::new(&host.name, &clock);
        let reasons = names.reasons.iter().map(|(code, name)| (*code, name.as_str().into()));
        let storms = Storms::new(&host.name, reasons, options.storm_rate, &clock);
        if let Some(audit) = &mut audit {
            audit.open(probe.sites())?;
        }
        let context = Context {
            dir: options.dir.clone(),
            host,
            sites: probe.sites().to_vec(),
            reasons: names.reasons,
            filtered: options.filter.filtered(),
            is_spooled: true,
        };
        Ok(Self {
            options,
            probe: Some(probe),
            counters,
            drain: Some(drain),
            events,
            enricher,
            losses,
            storms,
            store: Store::new(context, &clock),
            printer,
            audit,
            owners,
            owner_hooks,
            pending: Vec::new(),
            recovered,
            _lock: lock,
        })
    }

    /// Each RST site and the hook that sees it.
    pub(crate) fn sites(&self) -> &[SiteStatus] {
        self.probe.as_ref().map_or(&[], Probe::sites)
    }

    /// The hooks that see the owners of sockets and containers.
    pub(crate) fn owner_hooks(&self) -> &OwnerHooks {
        &self.owner_hooks
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Records until `stop` is set or the duration is over, seals, and returns the totals.
    pub(crate) fn run(mut self, stop: &Arc<AtomicBool>) -> Result<Totals> {
        let started = Instant::now();
        let mut flushed = Instant::now();
        loop {
            let over = self.options.duration.is_some_and(|limit| started.elapsed() >= limit);
            if (over || stop.load(Ordering::Relaxed)) && self.probe.is_some() {
                self.detach()?;
            }
            match self.events.recv_timeout(TICK.min(self.options.flush_interval)) {
                Ok(events) => self.take(&events)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if flushed.elapsed() >= self.options.flush_interval || self.pending.len() >= MAX_PENDING
            {
                self.flush()?;
                flushed = Instant::now();
            }
        }
        self.close()
    }

    /// Detaches the programs; the drain thread makes its last sweep and closes the channel.
    fn detach(&mut self) -> Result<()> {
        if let Some(audit) = &mut self.audit {
            audit.shut()?;
        }
        if let Some(probe) = self.probe.take() {
            probe.detach();
            thread::sleep(DETACH_GRACE);
        }
        if let Some(drain) = &self.drain {
            drain.finish();
        }
        Ok(())
    }

    fn take(&mut self, events: &[Event]) -> Result<()> {
        let clock = Clock::now()?;
        let before = self.pending.len();
        for event in events {
            let row = self.enricher.row(event, &clock);
            let before = Before { lost: event.header.lost, counted: event.header.counted };
            self.pending.push(Pending { row, before });
        }
        let new = &mut self.pending[before..];
        // With the names that are known by now: printing cannot wait for the rest.
        self.owners.attribute(new.iter_mut().map(|pending| &mut pending.row));
        if let Some(printer) = &mut self.printer {
            let rows = new.iter().map(|pending| &pending.row);
            rows.filter(|row| self.options.filter.is_of_container(row))
                .for_each(|row| printer.print(row));
        }
        if let Some(audit) = &mut self.audit {
            audit.take(new.iter().map(|pending| &pending.row));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let clock = Clock::now()?;
        // Each CPU's events are in order; this merges the CPUs.
        self.pending.sort_by_key(|pending| pending.row.boot_ns);
        self.owners.attribute(self.pending.iter_mut().map(|pending| &mut pending.row));
        let rest = self.pending.split_off(self.due(&clock));
        for Pending { row, before } in &self.pending {
            if self.options.filter.is_of_container(row) {
                self.store.append(row, *before, &clock)?;
            } else {
                self.store.pass_over(row, *before);
            }
        }
        self.pending = rest;
        self.count_storms(&clock)?;
        let is_due = |audit: &Audit| audit.is_due(self.options.policy.age);
        if self.store.flush(self.options.policy, &clock)? || self.audit.as_ref().is_some_and(is_due)
        {
            self.report(&clock)?;
        }
        Ok(())
    }

    /// Number of pending rows that must be written now: all, unless they are chosen by container.
    /// In that case young rows wait for the runtimes' answers.
    fn due(&self, clock: &Clock) -> usize {
        if self.pending.len() >= MAX_PENDING {
            return self.pending.len();
        }
        let until = self.named_until(clock);
        self.pending.partition_point(|pending| pending.row.boot_ns <= until)
    }

    /// Boot time up to which resets must be written now, whether they have names or not.
    fn named_until(&self, clock: &Clock) -> u64 {
        match self.probe.is_none() || self.options.filter.containers.is_empty() {
            true => u64::MAX,
            false => clock.boot_ns().saturating_sub(NAMES_DELAY_NS),
        }
    }

    /// Reads what the kernel half counted in place of events, and writes what is due. Counts belong
    /// to the minute in which they are read: about a second late.
    fn count_storms(&mut self, clock: &Clock) -> Result<()> {
        let is_last = self.probe.is_none();
        if let Some(by_cpu) = self.storms.read(&mut self.counters, clock, is_last)? {
            self.store.counts_read(&by_cpu);
        }
        self.owners.attribute(self.storms.waiting());
        let mut due = self.storms.take_until(self.named_until(clock));
        due.retain(|counted| self.options.filter.is_of_container(&counted.row));
        // Those of one read have one time.
        for read in due.chunk_by(|one, next| one.row.boot_ns == next.row.boot_ns) {
            let rows: Vec<RollupRow> = read.iter().map(Counted::rollup).collect();
            self.store.add_counts(&rows, read[0].row.time_us, clock)?;
        }
        self.storms.written(&due);
        Ok(())
    }

    /// Writes the tables that go with `resets`: what was lost, then the ledger, whose differences
    /// the losses excuse, then the containers.
    fn report(&mut self, clock: &Clock) -> Result<()> {
        let mut losses = self.take_losses(clock)?;
        losses.extend(self.storms.report(clock));
        let from_us = losses.first().map_or(0, |row| row.from_us);
        self.store.write_table(Table::Losses, LOSS_COLUMNS, &losses, from_us, clock)?;
        if let Some(audit) = &mut self.audit {
            let in_rings = self.counters.totals()?.iter().map(|cpu| cpu.lost).sum();
            audit.take_losses(&losses, in_rings);
            let ledger = audit.report(clock);
            if let Some(printer) = &mut self.printer {
                ledger.iter().for_each(|row| printer.print_ledger(row));
            }
            let from_us = ledger.first().map_or(0, |row| row.from_us);
            self.store.write_table(Table::Ledger, LEDGER_COLUMNS, &ledger, from_us, clock)?;
        }
        // Named by the day on which it is written: a container lives on for many days.
        let (containers, now_us) = (self.owners.rows(clock), clock.now_us());
        self.store.write_table(Table::Containers, CONTAINER_COLUMNS, &containers, now_us, clock)
    }

    fn take_losses(&mut self, clock: &Clock) -> Result<Vec<LossRow>> {
        let refused = self.losses.new_recursion_misses(&self.counters);
        self.store.add_refused(refused);
        let lost = self.store.lost_in_rings();
        self.losses.report(&mut self.counters, lost, refused, &mut self.enricher, clock)
    }

    fn close(mut self) -> Result<Totals> {
        self.flush()?;
        if let Some(drain) = self.drain.take() {
            drain.join()?;
        }
        let clock = Clock::now()?;
        self.store.take_totals(&self.counters.totals()?);
        // What was counted until the programs were detached.
        self.count_storms(&clock)?;
        if let Some(audit) = &mut self.audit {
            audit.finish();
        }
        self.report(&clock)?;
        self.owners.stop();
        self.store.close(&clock)?;
        if let Some(skipped @ 1..) = self.printer.take().map(Printer::close) {
            let resets = counted(skipped, "reset");
            say!("{resets} recorded but not printed: stdout was not read in time");
        }
        if let Some(audit) = &self.audit {
            audit.summary().iter().for_each(|line| say!("{line}"));
        }
        Ok(self.store.totals())
    }
}
