//! `cargo xtask bench record`: measures round by round, prints medians.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use anyhow::Result;
use scenarios::{Flood, Namespace, flood};

use super::conditions;
use super::hot_path;
use super::pace::{self, Held, paced};
use super::programs::{self, RunStatistics};
use super::running::{Running, Tally};
use super::stats::median;
use super::table::{MeasureRow, render};
use super::tool::Tool;
use super::usage;
use crate::needs::{self, User};
use crate::{exit, print};

/// How long a pace must hold.
const TRIAL: Duration = Duration::from_secs(3);
/// Resets a second on a machine with a problem, but not under attack.
const CALM: f64 = 1000.0;

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// Resets in each flood
    #[arg(long, value_name = "N", default_value = "300000")]
    resets: NonZeroU64,
    /// Measure everything this often, and print medians
    #[arg(long, value_name = "R", default_value = "3")]
    rounds: NonZeroU32,
}

pub(crate) fn run(args: &RecordArgs) -> Result<()> {
    exit::require_root("BPF programs, packet capture and a network namespace need root")?;
    needs::provide(User::BenchRecord)?;
    let conditions = conditions::describe()?;
    let ns = Namespace::new()?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds.get() {
        eprintln!("round {number} of {}", args.rounds);
        rounds.push(Round::measure(&ns, args.resets.get())?);
    }
    eprintln!("the hot path");
    let hot_path = hot_path::measure(&ns, Tool::Tcprst)?;
    let without_owner = hot_path::measure(&ns, Tool::TcprstWithoutOwner)?;

    for line in conditions {
        print::line(&line)?;
    }
    print::line(&format!(
        "Medians of {} rounds; floods of {} closed-port resets from one thread over loopback; \
         default buffers everywhere.\n",
        args.rounds, args.resets
    ))?;
    for line in render(&rows(&rounds)) {
        print::line(&line)?;
    }
    print::line("")?;
    for line in NOTES.iter().copied().map(str::to_owned) {
        print::line(&line)?;
    }
    for (title, measured) in
        [("With socket owners", &hot_path), ("With --socket-owner=off", &without_owner)]
    {
        print::line(title)?;
        for line in measured.lines() {
            print::line(&line)?;
        }
    }
    hot_path.verdict()?;
    without_owner.verdict()
}

const NOTES: &[&str] = &[
    "BPF run statistics: all programs of the tool, the clock reads of the statistics included. A \
     classic socket filter has none.",
    "Added: a flood with the tool less the mean of those before and after it without. CPU time \
     is the flooding thread's; wall time also has what the tool takes from its CPU.",
    "CPU per reset (flood): of the tool's process for each reset that it kept; its start is not \
     counted, its end is (sealing the file; naming the stacks). At 1 000 per second neither is.",
    "Rate held: >= means that nothing was lost at the fastest that one thread could send beside \
     the tool: no limit was found, and on few CPUs the tool slows the thread down. A paced thread \
     sends in bursts of 1 ms.",
    "bpftrace keeps counts by stack and nothing else; tcpdump keeps packets and no cause. Where \
     root may not raise RLIMIT_MEMLOCK, bpftrace is told that it did (seccomp, no tracing): \
     its CPU time is its own.\n",
];

/// The measurements of one round.
#[derive(Debug)]
struct Round {
    /// Floods without any tool: before, between and after those with one.
    bare: Vec<Cost>,
    tools: [Measured; 3],
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    flood: Cost,
    added: Cost,
    outcome: Tally,
    kernel: Option<KernelCost>,
    /// With `--socket-owner=off`.
    kernel_without_owner: Option<KernelCost>,
    held: Held,
    /// CPU microseconds a reset at [`CALM`].
    calm: f64,
}

/// The cost of a flood, in nanoseconds a reset.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: f64,
    wall: f64,
    resets: u64,
}

impl Cost {
    fn from_flood(ns: &Namespace, resets: u64) -> Result<Self> {
        let before = usage::own()?;
        let Flood { resets, elapsed, .. } = flood(ns, resets, 1)?;
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

    fn per_second(self) -> f64 {
        1e9 / self.wall
    }
}

/// BPF run statistics, in nanoseconds a reset.
#[derive(Clone, Copy, Debug)]
struct KernelCost {
    all: f64,
    /// The part of programs on `inet_sock_set_state`.
    states: f64,
}

impl KernelCost {
    /// None for a tool without BPF programs.
    fn measure(tool: Tool, ns: &Namespace, resets: u64) -> Result<Option<Self>> {
        if tool == Tool::Tcpdump {
            return Ok(None);
        }
        let mut running = Running::start(tool, ns)?;
        let statistics = RunStatistics::enable()?;
        let resets = flood(ns, resets, 1)?.resets;
        let programs = programs::for_process(running.pid())?;
        drop(statistics);
        running.stop(ns)?;
        let each = |only: Option<&str>| {
            let programs = programs.values();
            let chosen =
                programs.filter(|program| only.is_none() || program.tracepoint.as_deref() == only);
            chosen.map(|program| program.nanoseconds).sum::<u64>() as f64 / resets as f64
        };
        Ok(Some(Self { all: each(None), states: each(Some("inet_sock_set_state")) }))
    }
}

impl Round {
    fn measure(ns: &Namespace, resets: u64) -> Result<Self> {
        // Sockets, caches and the CPU's clock settle.
        flood(ns, resets / 10, 1)?;
        let mut bare = vec![Cost::from_flood(ns, resets)?];
        let mut floods = Vec::new();
        for tool in Tool::ALL {
            let mut running = Running::start(tool, ns)?;
            let cost = Cost::from_flood(ns, resets)?;
            floods.push((tool, cost, running.stop(ns)?));
            bare.push(Cost::from_flood(ns, resets)?);
        }
        let ceiling = median(bare.iter().map(|cost| cost.per_second())).unwrap_or(CALM);
        let mut tools = Vec::new();
        for (index, (tool, flood, outcome)) in floods.into_iter().enumerate() {
            tools.push(Measured {
                flood,
                added: flood.above(bare[index], bare[index + 1]),
                outcome,
                kernel: KernelCost::measure(tool, ns, resets)?,
                kernel_without_owner: match tool {
                    Tool::Tcprst => KernelCost::measure(Tool::TcprstWithoutOwner, ns, resets)?,
                    _ => None,
                },
                held: held(tool, ns, ceiling)?,
                calm: calm(tool, ns)?,
            });
        }
        let [a, b, c] = tools[..] else { unreachable!("one for each tool") };
        Ok(Self { bare, tools: [a, b, c] })
    }
}

/// The greatest pace at which the tool loses nothing.
fn held(tool: Tool, ns: &Namespace, ceiling: f64) -> Result<Held> {
    pace::search(ceiling, |rate| {
        let mut running = Running::start(tool, ns)?;
        let flood = paced(ns, rate, TRIAL)?;
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
fn calm(tool: Tool, ns: &Namespace) -> Result<f64> {
    let mut running = Running::start(tool, ns)?;
    let before = usage::total_of(running.pid())?;
    let flood = paced(ns, CALM, TRIAL)?;
    let cpu = usage::total_of(running.pid())? - before;
    running.stop(ns)?;
    Ok(micros(cpu) / flood.resets as f64)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn rows(rounds: &[Round]) -> Vec<MeasureRow> {
    // The median over the rounds, tool by tool; none where a round has none.
    let tools = |value: &dyn Fn(&Measured) -> Option<f64>| {
        std::array::from_fn(|tool| {
            median(rounds.iter().filter_map(|round| value(&round.tools[tool])))
        })
    };
    let bare = |value: &dyn Fn(&Cost) -> f64| {
        median(rounds.iter().flat_map(|round| &round.bare).map(value))
    };
    let kept = |m: &Measured| m.outcome.kept as f64;
    let ceilings = std::array::from_fn(|tool| {
        let at_ceiling = rounds.iter().filter(|round| round.tools[tool].held.is_ceiling);
        at_ceiling.count() * 2 > rounds.len()
    });
    vec![
        MeasureRow::new(
            "kernel ns per reset (BPF run statistics)",
            0,
            tools(&|m| Some(m.kernel?.all)),
        ),
        MeasureRow::new(
            "  of that in inet_sock_set_state",
            0,
            tools(&|m| Some(m.kernel?.states).filter(|states| *states > 0.0)),
        ),
        MeasureRow::new(
            "  with --socket-owner=off",
            0,
            tools(&|m| Some(m.kernel_without_owner?.all)),
        ),
        MeasureRow::new("added ns per reset, CPU time", 0, tools(&|m| Some(m.added.cpu)))
            .without_tool(bare(&|cost| cost.cpu)),
        MeasureRow::new("added ns per reset, wall time", 0, tools(&|m| Some(m.added.wall)))
            .without_tool(bare(&|cost| cost.wall)),
        MeasureRow::new(
            "unpaced flood, resets per second",
            0,
            tools(&|m| Some(m.flood.per_second())),
        )
        .without_tool(bare(&|cost| cost.per_second())),
        MeasureRow::new(
            "  kept of it, %",
            2,
            tools(&|m| Some((100.0 * kept(m) / m.flood.resets as f64).min(100.0))),
        ),
        MeasureRow::new(
            "rate held without loss, resets per second",
            0,
            tools(&|m| Some(m.held.rate)),
        )
        .at_least(ceilings),
        MeasureRow::new(
            "user CPU us per reset (flood)",
            2,
            tools(&|m| Some(micros(m.outcome.cpu.user) / kept(m))),
        ),
        MeasureRow::new(
            "system CPU us per reset (flood)",
            2,
            tools(&|m| Some(micros(m.outcome.cpu.system) / kept(m))),
        ),
        MeasureRow::new("CPU us per reset at 1 000 per second", 2, tools(&|m| Some(m.calm))),
        MeasureRow::new(
            "bytes on disk per reset",
            2,
            tools(&|m| Some(m.outcome.bytes? as f64 / kept(m))),
        ),
    ]
}
