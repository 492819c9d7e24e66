//! One round: each tool alone, on the same resets.

use std::time::Duration;

use anyhow::Result;
use scenarios::{Flood, Mix, Namespace, flood_with};

use crate::bench::hot_path;
use crate::bench::pace::{self, Held, paced};
use crate::bench::programs::{self, Program, RunStatistics};
use crate::bench::running::{Running, Tally};
use crate::bench::stats::median;
use crate::bench::tool::Tool;
use crate::bench::usage;

/// How long a pace must hold.
const TRIAL: Duration = Duration::from_secs(3);
/// Resets a second on a machine with a problem, but not under attack.
const CALM: f64 = 1000.0;

/// The flood that each tool records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'m> {
    pub(super) mix: &'m Mix,
    pub(super) resets: u64,
    pub(super) threads: u64,
}

impl Plan<'_> {
    fn flood(self, ns: &Namespace) -> Result<Flood> {
        flood_with(ns, self.mix, self.resets, self.threads)
    }
}

/// The measurements of one round.
#[derive(Debug)]
pub(super) struct Round {
    /// Floods without any tool: before, between and after those with one.
    pub(super) bare: Vec<Cost>,
    pub(super) tools: [Measured; 3],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) flood: Cost,
    pub(super) added: Cost,
    pub(super) outcome: Tally,
    pub(super) kernel: Option<KernelCost>,
    /// With `--socket-owner=off`.
    pub(super) kernel_without_owner: Option<KernelCost>,
    pub(super) held: Held,
    /// CPU microseconds a reset at [`CALM`].
    pub(super) calm: f64,
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

/// BPF run statistics, in nanoseconds a reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelCost {
    pub(super) all: f64,
    /// The part of programs that see resets, and do not follow connections.
    pub(super) resets: f64,
    /// The part of programs on `inet_sock_set_state`.
    pub(super) states: f64,
}

impl KernelCost {
    /// None for a tool without BPF programs.
    fn measure(tool: Tool, ns: &Namespace, plan: Plan<'_>) -> Result<Option<Self>> {
        if tool == Tool::Tcpdump {
            return Ok(None);
        }
        let mut running = Running::start(tool, ns)?;
        let statistics = RunStatistics::enable()?;
        let resets = plan.flood(ns)?.resets;
        let programs = programs::for_process(running.pid())?;
        drop(statistics);
        running.stop(ns)?;
        let sum = |chosen: &dyn Fn(&Program) -> bool| {
            let chosen = programs.values().filter(|program| chosen(program));
            chosen.map(|program| program.nanoseconds).sum::<u64>() as f64 / resets as f64
        };
        Ok(Some(Self {
            all: sum(&|_| true),
            resets: sum(&|program| !hot_path::is_per_connection(program)),
            states: sum(&|program| program.tracepoint.as_deref() == Some("inet_sock_set_state")),
        }))
    }
}

impl Round {
    pub(super) fn measure(ns: &Namespace, plan: Plan<'_>) -> Result<Self> {
        // Sockets, caches and the CPU's clock settle.
        Plan { resets: plan.resets / 10, ..plan }.flood(ns)?;
        let mut bare = vec![Cost::from_flood(ns, plan)?];
        let mut floods = Vec::new();
        for tool in Tool::ALL {
            let mut running = Running::start(tool, ns)?;
            let cost = Cost::from_flood(ns, plan)?;
            floods.push((tool, cost, running.stop(ns)?));
            bare.push(Cost::from_flood(ns, plan)?);
        }
        let ceiling = median(bare.iter().map(|cost| cost.per_second())).unwrap_or(CALM);
        let mut tools = Vec::new();
        for (index, (tool, flood, outcome)) in floods.into_iter().enumerate() {
            tools.push(Measured {
                flood,
                added: flood.above(bare[index], bare[index + 1]),
                outcome,
                kernel: KernelCost::measure(tool, ns, plan)?,
                kernel_without_owner: match tool {
                    Tool::Tcprst => KernelCost::measure(Tool::TcprstWithoutOwner, ns, plan)?,
                    _ => None,
                },
                held: held(tool, ns, plan.mix, ceiling)?,
                calm: calm(tool, ns, plan.mix)?,
            });
        }
        let [a, b, c] = tools[..] else { unreachable!("one for each tool") };
        Ok(Self { bare, tools: [a, b, c] })
    }
}

/// The greatest pace at which the tool loses nothing.
fn held(tool: Tool, ns: &Namespace, mix: &Mix, ceiling: f64) -> Result<Held> {
    pace::search(ceiling, |rate| {
        let mut running = Running::start(tool, ns)?;
        let flood = paced(ns, mix, rate, TRIAL)?;
        let outcome = running.stop(ns)?;
        let complete = outcome.is_complete(flood.resets);
        let name = tool.name();
        let verdict = if complete { "held" } else { "lost some" };
        eprintln!("  {name}: {:.0} resets a second: {verdict}", flood.per_second());
        Ok((flood.per_second(), complete))
    })
}

/// CPU microseconds of the tool for each reset at an everyday pace. While it runs, so that
/// the CPU time of its start and end is left out, which would distort so few resets.
fn calm(tool: Tool, ns: &Namespace, mix: &Mix) -> Result<f64> {
    let mut running = Running::start(tool, ns)?;
    let before = usage::total_of(running.pid())?;
    let flood = paced(ns, mix, CALM, TRIAL)?;
    let cpu = usage::total_of(running.pid())? - before;
    running.stop(ns)?;
    Ok(micros(cpu) / flood.resets as f64)
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
