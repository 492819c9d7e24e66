//! What the tools cost while nothing is reset.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use scenarios::Namespace;

use crate::bench::running::{Running, Tally};
use crate::bench::table::MeasureRow;
use crate::bench::tool::Tool;
use crate::bench::usage;

/// Long enough to see a wake-up every ten seconds twice.
const IDLE: Duration = Duration::from_secs(20);
/// What a start leaves to do.
const SETTLING: Duration = Duration::from_secs(2);

/// One tool, idle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    /// A second.
    wakeups: f64,
    /// Percent of a CPU.
    cpu: f64,
    tally: Tally,
}

impl Idle {
    /// All tools at the same time: none of them takes what another could feel.
    pub(super) fn measure(ns: &Namespace) -> Result<[Self; 3]> {
        let mut tools = Vec::new();
        for tool in Tool::ALL {
            tools.push(Running::start(tool, ns)?);
        }
        thread::sleep(SETTLING);
        let look = || -> Result<Vec<(u64, Duration)>> {
            let one = |tool: &Running| {
                Ok((usage::context_switches(tool.pid())?, usage::total_of(tool.pid())?))
            };
            tools.iter().map(one).collect()
        };
        let (start, before) = (Instant::now(), look()?);
        thread::sleep(IDLE);
        let (after, elapsed) = (look()?, start.elapsed().as_secs_f64());
        let mut idle = Vec::new();
        for (tool, (before, after)) in tools.iter_mut().zip(before.iter().zip(after)) {
            idle.push(Self {
                wakeups: after.0.saturating_sub(before.0) as f64 / elapsed,
                cpu: 100.0 * after.1.saturating_sub(before.1).as_secs_f64() / elapsed,
                tally: tool.stop(ns)?,
            });
        }
        let [a, b, c] = idle[..] else { unreachable!("one for each tool") };
        Ok([a, b, c])
    }

    pub(super) fn rows(tools: &[Self; 3]) -> Vec<MeasureRow> {
        let row = |label, decimals, value: fn(&Self) -> f64| {
            MeasureRow::new(label, decimals, tools.each_ref().map(|tool| Some(value(tool))))
        };
        vec![
            row("wake-ups a second", 1, |idle| idle.wakeups),
            row("% of a CPU", 3, |idle| idle.cpu),
            row("resident, MiB", 1, |idle| mebibytes(idle.tally.memory.now)),
            row("  its peak since the start", 1, |idle| mebibytes(idle.tally.memory.peak)),
        ]
    }

    /// Resets that others on this machine caused in the meantime.
    pub(super) fn resets_elsewhere(tools: &[Self; 3]) -> u64 {
        tools.iter().filter_map(|tool| tool.tally.ledger).map(|ledger| ledger.account.seen).sum()
    }
}

pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
