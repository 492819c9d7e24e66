//! The recording itself: the write thread's loop, from the channel to the files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tcprst_schema::columns::{CONTAINER_COLUMNS, LEDGER_COLUMNS, LOSS_COLUMNS};
use tcprst_schema::footer::{Filtered, SiteStatus};
use tcprst_schema::hook::Direction;
use tcprst_schema::row::{LossRow, RollupRow, Row};
use tcprst_schema::tables::Table;

use crate::app::pending::{Pending, in_order};
use crate::app::print::Printer;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::error::Result;
use crate::event::aftermath::Aftermath;
use crate::event::decode::Events;
use crate::event::enrich::Enricher;
use crate::event::losses::Losses;
use crate::event::ring::{self, Drain};
use crate::event::stacks::Stacks;
use crate::event::storm::{Counted, Storms};
use crate::host::Host;
use crate::kernel::btf::{Kernel, Settings};
use crate::kernel::probe::{self, Counters, Loaded, OwnerHooks, Probe};
use crate::kernel::proc::{BTF, KALLSYMS};
use crate::kernel::rings::RingMemory;
use crate::kernel::sizes::TableSizes;
use crate::kernel::symbols::{SHOW_SYMBOLS, Symbols};
use crate::owner::{self, OwnerOptions, Owners, netns};
use crate::stderr::{counted, say};
use crate::store::{self, Before, Context, Lock, Recovered, SealPolicy, Store, Totals};
use crate::wake::Waker;

/// Rows that are flushed before the interval is over: at 104 bytes each they take 1.7 MB.
const MAX_PENDING: usize = 16 * 1024;
/// With `--container`: how long a row waits for names.
const NAMES_DELAY_NS: u64 = 3 * 1_000_000_000;
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
    pub(crate) ring_memory: RingMemory,
    /// Resets without a socket that get a row, a second and CPU; the others are counted. 0 counts
    /// none.
    pub(crate) storm_rate: u32,
    /// Stop after this time.
    pub(crate) duration: Option<Duration>,
    /// Compare with the packets that leave.
    pub(crate) audit: bool,
    /// Sent resets, and the directions that were requested in addition.
    pub(crate) directions: Vec<Direction>,
    /// Resets a second and CPU whose stacks are walked whole.
    pub(crate) full_stacks: u32,
    /// Bytes of kernel memory in which to remember which process owns each socket.
    pub(crate) socket_memory: Option<u32>,
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

/// A recorder that has started.
#[derive(Debug)]
pub(crate) struct Recorder {
    options: Options,
    probe: Option<Probe>,
    counters: Counters,
    drain: Option<Drain>,
    events: Receiver<Events>,
    enricher: Enricher,
    aftermath: Aftermath,
    losses: Losses,
    storms: Storms,
    /// Whether something was counted before the last flush: more may follow, and nobody tells.
    is_storm: bool,
    store: Store,
    printer: Option<Printer>,
    audit: Option<Audit>,
    owners: Owners,
    owner_hooks: OwnerHooks,
    pending: Vec<Pending>,
    /// When the oldest of them came.
    pending_since: Option<Instant>,
    recovered: Recovered,
    /// Held until the recorder is dropped.
    _lock: Lock,
}

impl Recorder {
    /// Locks the folder, recovers what a killed recorder left there, and hooks the kernel.
    pub(crate) fn start(options: Options, printer: Option<Printer>) -> Result<Self> {
        let kernel = Kernel::read(BTF.as_ref())?;
        let names = kernel.names();
        let settings = Settings {
            stack_depth: options.stack_depth,
            full_stacks: options.full_stacks,
            storm_rate: options.storm_rate,
            socket_owner: options.socket_memory.is_some(),
            sizes: TableSizes::new(options.socket_memory),
            host_netns: netns::host(),
            only_netns: options.filter.netns.clone(),
            only_ports: options.filter.ports.clone(),
        };
        let layout = kernel.layout(&settings)?;
        // Some megabytes, before the loader needs as much.
        drop(kernel);
        let lock = store::lock(&options.dir)?;
        let recovered = store::recover(&options.dir)?;
        let host = Host::read()?;
        let mut audit = match options.audit {
            true => Some(Audit::start(&host.name, &Clock::now()?)?),
            false => None,
        };
        let started = Clock::now()?;
        let Loaded { probe, rings, mut counters, lives, owner_hooks, programs } =
            probe::load(&layout, options.ring_memory, &options.directions, &host.kernel)?;
        for (number, implied) in names.implied() {
            counters.imply(number, Some(implied.shape))?;
        }
        let symbols = Symbols::read(programs);
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
            aftermath: Aftermath::new(),
            losses,
            storms,
            is_storm: false,
            store: Store::new(context, &clock),
            printer,
            audit,
            owners,
            owner_hooks,
            pending: Vec::new(),
            pending_since: None,
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

    /// Wakes the loop of [`Self::run`], so that it looks at `stop`.
    pub(crate) fn waker(&self) -> Option<&Waker> {
        self.drain.as_ref().map(Drain::waker)
    }

    /// Records until `stop` is set or the duration is over, seals, and returns the totals. Sleeps
    /// until there are events, something is due, or the waker is used.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Result<Totals> {
        let started = Instant::now();
        let mut flushed = started;
        loop {
            let over = self.options.duration.is_some_and(|limit| started.elapsed() >= limit);
            if (over || stop.load(Ordering::Relaxed)) && self.probe.is_some() {
                self.detach()?;
            }
            let received = match self.deadline(started, flushed) {
                Some(at) => self.events.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(events) => self.take(&events)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.is_flush_due(flushed) || self.pending.len() >= MAX_PENDING {
                self.flush()?;
                flushed = Instant::now();
            }
        }
        self.close()
    }

    /// When the loop has to do something, if no event comes; `None` if nothing is waiting.
    fn deadline(&self, started: Instant, flushed: Instant) -> Option<Instant> {
        let end = self.options.duration.filter(|_| self.probe.is_some());
        let end = end.and_then(|limit| started.checked_add(limit));
        end.into_iter().chain(self.flush_deadline(flushed)).min()
    }

    /// When the next flush is due: an interval after the last one if rows or counts wait (or the
    /// audit runs, which reports on its own), or when the open segment is old enough.
    fn flush_deadline(&self, flushed: Instant) -> Option<Instant> {
        // Rows wait from the first one on, however long ago the last flush was: names of a container
        // that has just begun come meanwhile.
        let rows = self.pending_since.filter(|_| !self.pending.is_empty());
        let others = (self.is_storm || self.audit.is_some()).then_some(flushed);
        let since = rows.into_iter().chain(others).min();
        let due = since.and_then(|since| since.checked_add(self.options.flush_interval));
        due.into_iter().chain(self.store.seal_deadline(self.options.policy)).min()
    }

    fn is_flush_due(&self, flushed: Instant) -> bool {
        self.flush_deadline(flushed).is_some_and(|at| at <= Instant::now())
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

    fn take(&mut self, events: &Events) -> Result<()> {
        let clock = Clock::now()?;
        let first = self.pending.len();
        if first == 0 {
            self.pending_since = Some(Instant::now());
        }
        for event in events.iter() {
            let (profile, own) = self.enricher.take(&event, &clock);
            self.aftermath.remember(&profile, &own);
            let before = Before { lost: event.header.lost, counted: event.header.counted };
            self.pending.push(Pending { profile, own, before });
        }
        for (number, reason, caller) in self.enricher.take_refuted() {
            say!(
                "this kernel sends resets with the reason {reason} from {caller} too: their stacks \
                 are always walked from now on"
            );
            self.counters.imply(number.cast_unsigned(), None)?;
        }
        let new = &self.pending[first..];
        self.owners.notice(new.iter().map(|pending| &pending.profile));
        let [Pending { own: oldest, .. }, ..] = new else { return Ok(()) };
        if self.printer.is_none() && self.audit.is_none() {
            return Ok(());
        }
        // With the names that are known by now: printing cannot wait for the rest. The events are
        // of one CPU.
        self.owners.catch_up();
        let mut finder = self.owners.finder(oldest.boot_ns, clock.boot_ns());
        let shown: Vec<Row> = new
            .iter()
            .map(|one| {
                let profile = self.aftermath.follow(&one.profile, &one.own);
                one.row(&finder.find(&profile, &one.own))
            })
            .collect();
        drop(finder);
        if let Some(printer) = &mut self.printer {
            let rows = shown.iter().filter(|row| self.options.filter.is_of_container(row));
            rows.for_each(|row| printer.print(row));
        }
        if let Some(audit) = &mut self.audit {
            audit.take(shown.iter());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let clock = Clock::now()?;
        self.write_due(&clock)?;
        self.count_storms(&clock)?;
        let is_due = |audit: &Audit| audit.is_due(self.options.policy.age);
        if self.store.flush(self.options.policy, &clock)? || self.audit.as_ref().is_some_and(is_due)
        {
            self.report(&clock)?;
        }
        Ok(())
    }

    /// Hands the rows that are due to the store, in the order of their time.
    fn write_due(&mut self, clock: &Clock) -> Result<()> {
        let until = self.due_until(clock);
        let order = in_order(self.pending.iter().map(|pending| pending.own.boot_ns), until);
        let (Some(first), Some(last)) = (order.first(), order.last()) else {
            return Ok(());
        };
        self.owners.catch_up();
        let mut finder = self.owners.finder(first.0, last.0);
        for (_, place) in &order {
            let Pending { profile, own, before } = &self.pending[*place];
            // The first reset may have come through another ring, after this one.
            let profile = self.aftermath.follow(profile, own);
            let profile = finder.find(&profile, own);
            if self.options.filter.is_of_container(&profile) {
                self.store.append_own(&profile, own, *before, clock)?;
            } else {
                self.store.pass_over(own, *before);
            }
        }
        match order.len() == self.pending.len() {
            true => self.pending.clear(),
            false => self.pending.retain(|pending| pending.own.boot_ns > until),
        }
        // What is left is looked at again after an interval.
        self.pending_since = Some(Instant::now());
        Ok(())
    }

    /// Time of the last reset that must be written now: of any, unless they are chosen by container.
    /// In that case young rows wait for the runtimes' answers.
    fn due_until(&self, clock: &Clock) -> u64 {
        match self.pending.len() >= MAX_PENDING {
            true => u64::MAX,
            false => self.named_until(clock),
        }
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
        let read = self.storms.read(&mut self.counters, clock, is_last)?;
        self.is_storm = read.is_some();
        if let Some(by_cpu) = read {
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
