//! The rows of the table: medians over the rounds, and the spread from round to round.

use std::time::Duration;

use super::idle::mebibytes;
use super::round::{Cost, Measured, Round};
use crate::bench::stats::{median, spread};
use crate::bench::table::MeasureRow;

/// The value of a tool in a round; none where it has none.
type Value<'v> = &'v dyn Fn(&Measured) -> Option<f64>;

pub(super) fn rows(rounds: &[Round]) -> Vec<MeasureRow> {
    let row = |label, decimals, value: Value<'_>| row(rounds, label, decimals, value, None);
    let row_with_bare = |label, decimals, value: Value<'_>, bare: &dyn Fn(&Cost) -> f64| {
        self::row(rounds, label, decimals, value, Some(bare))
    };
    let mut rows = vec![
        row("kernel ns per reset, programs that see resets", 0, &|m| Some(m.kernel?.resets)),
        row("  their runs per reset", 2, &|m| Some(m.kernel?.runs)),
        row("  all programs of the tool", 0, &|m| Some(m.kernel?.all)),
        row("CPU us per reset at 50 000 per second", 3, &|m| {
            Some(micros(m.busy.tally.cpu) / m.busy.tally.all(m.busy.resets))
        }),
        row("  of that while it runs", 3, &|m| {
            Some(micros(m.busy.running) / m.busy.tally.all(m.busy.resets))
        }),
        row("  resets per second that came", 0, &|m| Some(m.busy.per_second)),
        row("  kept or counted, %", 2, &|m| Some(percent(m.busy.tally.known(), m.busy.resets))),
        row("  peak resident, MiB", 1, &|m| Some(mebibytes(m.busy.tally.memory.peak))),
        row("  bytes on disk per reset", 2, &|m| {
            Some(m.busy.tally.bytes? as f64 / m.busy.tally.all(m.busy.resets))
        }),
    ];
    if rounds.iter().all(|round| round.tools.iter().all(|tool| tool.calm.is_some())) {
        rows.extend([
            row("CPU us per reset at 1 000 per second", 2, &|m| {
                let calm = m.calm?;
                Some(micros(calm.running) / calm.tally.all(calm.resets))
            }),
            row("  % of a CPU", 2, &|m| {
                let calm = m.calm?;
                Some(100.0 * calm.running.as_secs_f64() / calm.elapsed.as_secs_f64())
            }),
        ]);
    }
    rows.extend([
        row_with_bare("flood, resets per second", 0, &|m| Some(m.flood.per_second()), &|cost| {
            cost.per_second()
        }),
        row("  kept or counted, %", 2, &|m| Some(percent(m.flooded.known(), m.flood.resets))),
        row("  lost by the tool's account", 0, &|m| Some(m.flooded.lost as f64)),
        row("  CPU us per reset", 3, &|m| {
            Some(micros(m.flooded.cpu) / m.flooded.all(m.flood.resets))
        }),
        row("  peak resident, MiB", 1, &|m| Some(mebibytes(m.flooded.memory.peak))),
        row_with_bare("  added ns per reset, CPU time", 0, &|m| Some(m.added.cpu), &|cost| {
            cost.cpu
        }),
        row_with_bare("  added ns per reset, wall time", 0, &|m| Some(m.added.wall), &|cost| {
            cost.wall
        }),
    ]);
    rows
}

/// No more than all: bpftrace counts the resets of others too.
fn percent(part: u64, whole: u64) -> f64 {
    (100.0 * part as f64 / whole as f64).min(100.0)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn row(
    rounds: &[Round],
    label: &'static str,
    decimals: usize,
    value: Value<'_>,
    bare: Option<&dyn Fn(&Cost) -> f64>,
) -> MeasureRow {
    let bare: Vec<f64> = match bare {
        Some(bare) => rounds.iter().flat_map(|round| &round.bare).map(bare).collect(),
        None => Vec::new(),
    };
    let tools: [Vec<f64>; 3] = std::array::from_fn(|tool| {
        rounds.iter().filter_map(|round| value(&round.tools[tool])).collect()
    });
    let [ours, tcpdump, bpftrace] = &tools;
    let medians = tools.each_ref().map(|values| median(values.iter().copied()));
    let spreads = [&bare, ours, tcpdump, bpftrace].map(|values| spread(values.iter().copied()));
    let row = MeasureRow::new(label, decimals, medians).without_tool(median(bare));
    // One round has no spread.
    if rounds.len() > 1 { row.spread(spreads) } else { row }
}
