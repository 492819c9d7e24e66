//! One round: each tool alone, on the same resets.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use scenarios::{Flood, Mix, Namespace, flood_with};

use crate::bench::pace::paced;
use crate::bench::programs::{self, Program, RunStatistics, Trigger};
use crate::bench::running::{Running, Tally};
use crate::bench::tool::Tool;
use crate::bench::usage;

/// How long resets are paced.
const PACED: Duration = Duration::from_secs(5);
/// Resets a second on a machine under attack.
pub(super) const BUSY: f64 = 50_000.0;
/// Resets a second on a machine with a problem, but not under attack.
pub(super) const CALM: f64 = 1000.0;
/// For BPF run statistics the tools take turns, so that a machine that slows down slows both.
const TURNS: [Tool; 4] = [Tool::Tcprst, Tool::Bpftrace, Tool::Bpftrace, Tool::Tcprst];
/// Threads of a tool that has just started come to rest.
const SETTLING: Duration = Duration::from_millis(300);

/// The flood that each tool records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'m> {
    pub(super) mix: &'m Mix,
    pub(super) resets: u64,
    pub(super) threads: u64,
    /// Whether the tools are measured at [`CALM`] too.
    pub(super) calm: bool,
}

impl Plan<'_> {
    fn flood(self, ns: &Namespace) -> Result<Flood> {
        flood_with(ns, self.mix, self.resets, self.threads)
    }
}

/// The measurements of one round, tools in the order of [`Tool::ALL`].
#[derive(Debug)]
pub(super) struct Round {
    /// Floods without any tool: before, between and after those with one.
    pub(super) bare: Vec<Cost>,
    pub(super) tools: [Measured; 3],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) kernel: Option<KernelCost>,
    pub(super) busy: Paced,
    pub(super) calm: Option<Paced>,
    pub(super) flood: Cost,
    pub(super) added: Cost,
    pub(super) flooded: Tally,
}

/// The cost of a flood, in nanoseconds a reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) cpu: f64,
    pub(super) wall: f64,
    pub(super) resets: u64,
}

impl Cost {
    fn from_flood(ns: &Namespace, plan: Plan<'_>) -> Result<Self> {
        let before = usage::own()?;
        let Flood { resets, elapsed, .. } = plan.flood(ns)?;
        let cpu = usage::own()? - before;
        let each = |time: Duration| time.as_nanos() as f64 / resets as f64;
        Ok(Self { cpu: each(cpu), wall: each(elapsed), resets })
    }

    /// Less the mean of two without a tool.
    fn above(self, before: Self, after: Self) -> Self {
        Self {
            cpu: self.cpu - f64::midpoint(before.cpu, after.cpu),
            wall: self.wall - f64::midpoint(before.wall, after.wall),
            ..self
        }
    }

    pub(super) fn per_second(self) -> f64 {
        1e9 / self.wall
    }
}

/// A tool at a pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paced {
    /// Resets a second, as they came.
    pub(super) per_second: f64,
    pub(super) resets: u64,
    /// CPU time while it ran, without its start and its end.
    pub(super) running: Duration,
    pub(super) elapsed: Duration,
    pub(super) tally: Tally,
}

impl Paced {
    fn measure(tool: Tool, ns: &Namespace, mix: &Mix, rate: f64, threads: u64) -> Result<Self> {
        let mut running = Running::start(tool, ns)?;
        thread::sleep(SETTLING);
        let (start, before) = (Instant::now(), usage::total_of(running.pid())?);
        let flood = paced(ns, mix, rate, PACED, threads)?;
        let cpu = usage::total_of(running.pid())? - before;
        let elapsed = start.elapsed();
        let tally = running.stop(ns)?;
        Ok(Self {
            per_second: flood.per_second(),
            resets: flood.resets,
            running: cpu,
            elapsed,
            tally,
        })
    }
}

/// BPF run statistics, in nanoseconds a reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelCost {
    /// All programs of the tool.
    pub(super) all: f64,
    /// The part of programs that see resets: those that follow connections are not in it.
    pub(super) resets: f64,
    /// How often those ran for each reset. More than once where others on this machine cause
    /// resets at the same time, which makes the rest too high.
    pub(super) runs: f64,
}

impl KernelCost {
    fn measure(tool: Tool, ns: &Namespace, plan: Plan<'_>) -> Result<Self> {
        let mut running = Running::start(tool, ns)?;
        let statistics = RunStatistics::enable()?;
        let resets = plan.flood(ns)?.resets as f64;
        let programs = programs::for_process(running.pid())?;
        drop(statistics);
        running.stop(ns)?;
        let for_resets =
            |program: &&Program| tool == Tool::Bpftrace || program.trigger() == Trigger::Resets;
        let nanoseconds = |program: &Program| program.nanoseconds as f64 / resets;
        let seeing = programs.values().filter(for_resets);
        Ok(Self {
            all: programs.values().map(nanoseconds).sum(),
            resets: seeing.clone().map(nanoseconds).sum(),
            runs: seeing.map(|program| program.runs as f64 / resets).sum(),
        })
    }

    fn mean(self, other: Self) -> Self {
        Self {
            all: f64::midpoint(self.all, other.all),
            resets: f64::midpoint(self.resets, other.resets),
            runs: f64::midpoint(self.runs, other.runs),
        }
    }

    /// The mean of the turns of each tool; none for a tool without BPF programs.
    fn in_turns(ns: &Namespace, plan: Plan<'_>) -> Result<[Option<Self>; 3]> {
        let mut costs = [None; 3];
        // One thread: two would wait for each other's locks in the maps of bpftrace.
        let plan = Plan { resets: (plan.resets / 3).max(1), threads: 1, ..plan };
        for tool in TURNS {
            let cost = Self::measure(tool, ns, plan)?;
            for (place, known) in Tool::ALL.into_iter().zip(&mut costs) {
                if place == tool {
                    *known = Some(known.map_or(cost, |earlier: Self| earlier.mean(cost)));
                }
            }
        }
        Ok(costs)
    }
}

impl Round {
    pub(super) fn measure(ns: &Namespace, plan: Plan<'_>) -> Result<Self> {
        // Sockets, caches and the CPU's clock settle.
        Plan { resets: plan.resets / 10, ..plan }.flood(ns)?;
        let kernel = KernelCost::in_turns(ns, plan)?;
        let mut bare = vec![Cost::from_flood(ns, plan)?];
        let mut tools = Vec::new();
        for (index, tool) in Tool::ALL.into_iter().enumerate() {
            let mut running = Running::start(tool, ns)?;
            let flood = Cost::from_flood(ns, plan)?;
            let flooded = running.stop(ns)?;
            bare.push(Cost::from_flood(ns, plan)?);
            let calm = || Paced::measure(tool, ns, plan.mix, CALM, 1);
            tools.push(Measured {
                kernel: kernel[index],
                busy: Paced::measure(tool, ns, plan.mix, BUSY, plan.threads)?,
                calm: plan.calm.then(calm).transpose()?,
                flood,
                added: flood.above(bare[index], bare[index + 1]),
                flooded,
            });
        }
        let [a, b, c] = tools[..] else { unreachable!("one for each tool") };
        Ok(Self { bare, tools: [a, b, c] })
    }
}
