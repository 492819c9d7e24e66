//! The recording itself: the write thread's loop, from the channel to the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tcprst_schema::footer::Filtered;
use tcprst_schema::hook::Direction;
use tcprst_schema::row::Row;

use crate::app::print::Printer;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::error::Result;
use crate::event::decode::Event;
use crate::event::enrich::Enricher;
use crate::event::losses::Losses;
use crate::event::ring::{self, Drain};
use crate::event::stacks::Stacks;
use crate::host::Host;
use crate::kernel::btf::{BTF_PATH, Kernel, Settings};
use crate::kernel::probe::{self, Counters, Loaded, OwnerHooks, Probe};
use crate::kernel::symbols::Symbols;
use crate::owner::{self, Owners, netns};
use crate::say;
use crate::store::recover::{self, Recovered};
use crate::store::seal::SealPolicy;
use crate::store::{self, Store, Totals};

/// Rows that are flushed before their time: at 500 bytes each they take 8 MB.
const MOST_PENDING: usize = 16 * 1024;
/// With `--container`: how long a row waits for names.
const NAMES_LATE_NS: u64 = 3 * 1_000_000_000;
/// How long the loop sleeps at the most, so that a signal is answered soon.
const TICK: Duration = Duration::from_millis(100);
/// Programs that were running when they were detached are done after this.
const GRACE: Duration = Duration::from_millis(20);

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub policy: SealPolicy,
    pub flush_interval: Duration,
    /// Frames of the kernel stack, glue included.
    pub stack_depth: u32,
    /// Bytes of each CPU's ring buffer.
    pub ring_bytes: u32,
    /// Stop by itself after this.
    pub duration: Option<Duration>,
    /// Compare with the packets that leave.
    pub audit: bool,
    /// Which resets: those sent, and what was asked for beside them.
    pub directions: Vec<Direction>,
    /// Remember which process owns each socket.
    pub socket_owner: bool,
    pub owners: owner::Options,
    pub filter: Filter,
}

/// Which resets; nothing given is all. Within a list one must fit, and one of each list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Names, ids or pods, told apart by the recorder.
    pub containers: Vec<String>,
    /// At either end; by the kernel half.
    pub ports: Vec<u16>,
    /// Inodes of network namespaces; by the kernel half.
    pub netns: Vec<u32>,
}

impl Filter {
    fn filtered(&self) -> Filtered {
        Filtered {
            by_container: !self.containers.is_empty(),
            by_kernel: !(self.ports.is_empty() && self.netns.is_empty()),
        }
    }

    /// Whether a row is of one of the containers. To be asked last: names come late.
    fn is_of_container(&self, row: &Row) -> bool {
        let is_owner = |wanted: &String| {
            row.owner.as_ref().is_some_and(|owner| owner::is_named(owner, wanted))
        };
        self.containers.is_empty() || self.containers.iter().any(is_owner)
    }
}

/// A recorder that has started.
#[derive(Debug)]
pub struct Recorder {
    options: Options,
    probe: Option<Probe>,
    counters: Counters,
    drain: Option<Drain>,
    events: Receiver<Vec<Event>>,
    enricher: Enricher,
    losses: Losses,
    store: Store,
    printer: Option<Printer>,
    audit: Option<Audit>,
    owners: Owners,
    owner_hooks: OwnerHooks,
    pending: Vec<(Row, u64)>,
    recovered: Recovered,
}

impl Recorder {
    /// Takes the folder, recovers what a killed recorder left there, and hooks the kernel.
    pub fn start(options: Options, printer: Option<Printer>) -> Result<Self> {
        let kernel = Kernel::read(BTF_PATH.as_ref())?;
        let names = kernel.names();
        // Half full is time to wake up: the other half is for what comes meanwhile.
        let settings = Settings {
            stack_depth: options.stack_depth,
            wake_bytes: options.ring_bytes / 2,
            socket_owner: options.socket_owner,
            host_netns: netns::host(),
            only_netns: options.filter.netns.clone(),
            only_ports: options.filter.ports.clone(),
        };
        let layout = kernel.layout(&names, &settings)?;
        let lock = store::lock(&options.dir)?;
        let recovered = recover::recover(&options.dir)?;
        let host = Host::read()?;
        let mut audit = match options.audit {
            true => Some(Audit::start(&host.name, &Clock::now()?)?),
            false => None,
        };
        let started = Clock::now()?;
        let Loaded { probe, rings, counters, lives, owner_hooks } =
            probe::load(&layout, options.ring_bytes, &options.directions, &host.kernel)?;
        // After the load: our own programs, which lie on top of every stack, must be in it.
        let symbols = Symbols::read();
        if symbols.is_empty() {
            say!(
                "{} shows no addresses, so no cause can be named: \
                 set kernel.kptr_restrict to 0",
                crate::kernel::symbols::KALLSYMS
            );
        }
        // Before the look at what is there, which takes a while on a large host.
        let (drain, events) = ring::start(rings)?;
        let owners = Owners::start(lives, options.owners.clone(), &host.name, &started)?;
        let clock = Clock::now()?;
        let enricher = Enricher::new(&host.name, &names, Stacks::new(symbols));
        let losses = Losses::new(&host.name, &clock);
        let sites = probe.sites().to_vec();
        if let Some(audit) = &mut audit {
            audit.open(&sites)?;
        }
        let store = Store::new(&options.dir, lock, host, sites, names, options.policy, &clock)
            .filtered(options.filter.filtered());
        Ok(Self {
            options,
            probe: Some(probe),
            counters,
            drain: Some(drain),
            events,
            enricher,
            losses,
            store,
            printer,
            audit,
            owners,
            owner_hooks,
            pending: Vec::new(),
            recovered,
        })
    }

    /// What sees each RST site.
    pub fn sites(&self) -> &[tcprst_schema::footer::SiteStatus] {
        self.probe.as_ref().map_or(&[], Probe::sites)
    }

    /// What sees the owners of sockets and containers.
    pub fn owner_hooks(&self) -> &OwnerHooks {
        &self.owner_hooks
    }

    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Records until `stop` is set or the duration is over, seals, and says what it did.
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> Result<Totals> {
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
            if flushed.elapsed() >= self.options.flush_interval
                || self.pending.len() >= MOST_PENDING
            {
                self.flush()?;
                flushed = Instant::now();
            }
        }
        self.close()
    }

    /// Off the kernel; the drain thread makes its last sweep and closes the channel.
    fn detach(&mut self) -> Result<()> {
        if let Some(audit) = &mut self.audit {
            audit.shut()?;
        }
        if let Some(probe) = self.probe.take() {
            probe.detach();
            thread::sleep(GRACE);
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
            self.pending.push((self.enricher.row(event, &clock), event.header.lost));
        }
        // As far as they are known by now: what is printed cannot wait for the rest.
        self.owners.attribute(self.pending[before..].iter_mut().map(|(row, _)| row));
        if let Some(printer) = &mut self.printer {
            let wanted = self.pending[before..].iter().map(|(row, _)| row);
            wanted
                .filter(|row| self.options.filter.is_of_container(row))
                .for_each(|row| printer.print(row));
        }
        if let Some(audit) = &mut self.audit {
            audit.take(self.pending[before..].iter().map(|(row, _)| row));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let clock = Clock::now()?;
        // Each CPU's events are in order; this puts the CPUs together.
        self.pending.sort_by_key(|(row, _)| row.boot_ns);
        self.owners.attribute(self.pending.iter_mut().map(|(row, _)| row));
        let rest = self.pending.split_off(self.due(&clock));
        let is_wanted = |row: &Row| self.options.filter.is_of_container(row);
        self.store.append(&self.pending, is_wanted, &clock)?;
        self.pending = rest;
        let is_due = |audit: &Audit| audit.is_due(self.options.policy.age);
        if self.store.flush(&clock)? || self.audit.as_ref().is_some_and(is_due) {
            self.report_losses(&clock)?;
            self.report_ledger(&clock)?;
            self.report_containers(&clock)?;
        }
        Ok(())
    }

    /// How many of the pending rows are to be written now: all, unless they are chosen by
    /// container. Then those that are young wait for what the runtimes say.
    fn due(&self, clock: &Clock) -> usize {
        let must = self.probe.is_none() || self.pending.len() >= MOST_PENDING;
        if must || self.options.filter.containers.is_empty() {
            return self.pending.len();
        }
        let until = clock.boot_ns().saturating_sub(NAMES_LATE_NS);
        self.pending.partition_point(|(row, _)| row.boot_ns <= until)
    }

    fn report_losses(&mut self, clock: &Clock) -> Result<()> {
        let refused = self.losses.new_recursion_misses(&self.counters);
        self.store.add_refused(refused);
        let lost = self.store.lost_in_rings();
        let rows =
            self.losses.report(&mut self.counters, lost, refused, &mut self.enricher, clock)?;
        if let Some(audit) = &mut self.audit {
            let in_rings = self.counters.totals()?.iter().map(|cpu| cpu.lost).sum();
            audit.take_losses(&rows, in_rings);
        }
        self.store.write_losses(&rows, clock)
    }

    /// To be called after the losses are reported: they excuse differences.
    fn report_ledger(&mut self, clock: &Clock) -> Result<()> {
        let Some(audit) = &mut self.audit else {
            return Ok(());
        };
        let rows = audit.report(clock);
        if let Some(printer) = &mut self.printer {
            rows.iter().for_each(|row| printer.print_ledger(row));
        }
        self.store.write_ledger(&rows, clock)
    }

    fn report_containers(&mut self, clock: &Clock) -> Result<()> {
        let rows = self.owners.rows(clock);
        self.store.write_containers(&rows, clock)
    }

    fn close(mut self) -> Result<Totals> {
        self.flush()?;
        if let Some(drain) = self.drain.take() {
            drain.join()?;
        }
        let clock = Clock::now()?;
        self.store.take_totals(&self.counters.totals()?);
        if let Some(audit) = &mut self.audit {
            audit.finish();
        }
        self.report_losses(&clock)?;
        self.report_ledger(&clock)?;
        self.report_containers(&clock)?;
        self.owners.stop();
        self.store.close(&clock)?;
        if let Some(skipped @ 1..) = self.printer.take().map(Printer::close) {
            say!("{skipped} resets were recorded but not printed: stdout was not read in time");
        }
        if let Some(audit) = &self.audit {
            audit.summary().iter().for_each(|line| say!("{line}"));
        }
        Ok(self.store.totals())
    }
}
