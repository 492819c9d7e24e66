//! The rows of the table: medians over the rounds, and the spread from round to round.

use super::round::{Cost, Measured, Round, micros};
use crate::bench::stats::{median, spread};
use crate::bench::table::MeasureRow;

/// The value of a tool in a round; none where it has none.
type Value<'v> = &'v dyn Fn(&Measured) -> Option<f64>;

pub(super) fn rows(rounds: &[Round]) -> Vec<MeasureRow> {
    let row = |label, decimals, value: Value<'_>| row(rounds, label, decimals, value, None);
    let row_with_bare = |label, decimals, value: Value<'_>, bare: &dyn Fn(&Cost) -> f64| {
        self::row(rounds, label, decimals, value, Some(bare))
    };
    let kept = |m: &Measured| m.outcome.kept as f64;
    let ceilings = std::array::from_fn(|tool| {
        let at_ceiling = rounds.iter().filter(|round| round.tools[tool].held.is_ceiling);
        at_ceiling.count() * 2 > rounds.len()
    });
    vec![
        row("kernel ns per reset (BPF run statistics)", 0, &|m| Some(m.kernel?.all)),
        row("  of that in programs that see resets", 0, &|m| Some(m.kernel?.resets)),
        row("  of that in inet_sock_set_state", 0, &|m| {
            Some(m.kernel?.states).filter(|states| *states > 0.0)
        }),
        row("  with --socket-owner=off", 0, &|m| Some(m.kernel_without_owner?.all)),
        row_with_bare("added ns per reset, CPU time", 0, &|m| Some(m.added.cpu), &|cost| cost.cpu),
        row_with_bare("added ns per reset, wall time", 0, &|m| Some(m.added.wall), &|cost| {
            cost.wall
        }),
        row_with_bare(
            "unpaced flood, resets per second",
            0,
            &|m| Some(m.flood.per_second()),
            &|cost| cost.per_second(),
        ),
        row("  kept of it, %", 2, &|m| Some((100.0 * kept(m) / m.flood.resets as f64).min(100.0))),
        row("rate held without loss, resets per second", 0, &|m| Some(m.held.rate))
            .at_least(ceilings),
        row("user CPU us per reset (flood)", 2, &|m| Some(micros(m.outcome.cpu.user) / kept(m))),
        row("system CPU us per reset (flood)", 2, &|m| {
            Some(micros(m.outcome.cpu.system) / kept(m))
        }),
        row("CPU us per reset, all threads (flood)", 2, &|m| {
            Some(micros(m.outcome.cpu.user + m.outcome.cpu.system) / kept(m))
        }),
        row("CPU us per reset at 1 000 per second", 2, &|m| Some(m.calm)),
        row("bytes on disk per reset", 2, &|m| Some(m.outcome.bytes? as f64 / kept(m))),
    ]
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
