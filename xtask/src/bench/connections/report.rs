//! The tables: quartiles for each variant, and how far they lie above those without a program.

use super::load::{BpfRuns, Variant};
use crate::bench::stats::{Summary, median};
use crate::bench::table::{align, grouped};

/// A run of a variant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// CPU microseconds for each connection, both ends.
    pub(super) cpu_us: f64,
    pub(super) per_second: f64,
    /// None without a program.
    pub(super) bpf: Option<BpfRuns>,
}

/// A run of each variant, in the order of [`Variant::ALL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Round(pub(super) [Measured; Variant::ALL.len()]);

/// The place of the empty program in a round.
const EMPTY: usize = Variant::ALL.len() - 1;

pub(super) fn lines(rounds: &[Round]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |title: &str, table: Vec<String>| {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(table);
    };
    let cpu = |measured: &Measured| measured.cpu_us;
    let rate = |measured: &Measured| measured.per_second;
    add("CPU us per connection, both ends", values(rounds, 2, &cpu));
    add("  above none, %", differences(rounds, &cpu));
    add("Connections per second", values(rounds, 0, &rate));
    add("  above none, %", differences(rounds, &rate));
    add("BPF run statistics per connection, both ends", statistics(rounds));
    lines
}

type Value<'v> = &'v dyn Fn(&Measured) -> f64;

/// The value of a variant in each round.
fn column(rounds: &[Round], place: usize, value: Value<'_>) -> Vec<f64> {
    rounds.iter().map(|round| value(&round.0[place])).collect()
}

fn values(rounds: &[Round], decimals: usize, value: Value<'_>) -> Vec<String> {
    let mut lines =
        vec![["", "median", "lower quartile", "upper quartile", "minimum"].map(str::to_owned)];
    for (place, variant) in Variant::ALL.into_iter().enumerate() {
        let Some(summary) = Summary::new(column(rounds, place, value)) else { continue };
        let Summary { min, lower_quartile, median, upper_quartile } = summary;
        let [median, lower, upper, min] =
            [median, lower_quartile, upper_quartile, min].map(|value| grouped(value, decimals));
        lines.push([variant.name().to_owned(), median, lower, upper, min]);
    }
    align(&lines)
}

fn differences(rounds: &[Round], value: Value<'_>) -> Vec<String> {
    let head = [
        "",
        "paired median",
        "lower quartile",
        "upper quartile",
        "at the median",
        "at the lower quartile",
        "at the minimum",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    let none = column(rounds, 0, value);
    for (place, variant) in Variant::ALL.into_iter().enumerate().skip(1) {
        let with = column(rounds, place, value);
        let paired = with.iter().zip(&none).map(|(&with, &none)| above(with, none));
        let (Some(paired), Some(with), Some(none)) = (
            Summary::new(paired),
            Summary::new(with.iter().copied()),
            Summary::new(none.iter().copied()),
        ) else {
            continue;
        };
        let [a, b, c, d, e, f] = [
            paired.median,
            paired.lower_quartile,
            paired.upper_quartile,
            above(with.median, none.median),
            above(with.lower_quartile, none.lower_quartile),
            above(with.min, none.min),
        ]
        .map(|percent| format!("{percent:+.1}"));
        lines.push([variant.name().to_owned(), a, b, c, d, e, f]);
    }
    align(&lines)
}

/// Percent.
fn above(with: f64, none: f64) -> f64 {
    (with / none - 1.0) * 100.0
}

fn statistics(rounds: &[Round]) -> Vec<String> {
    let head = [
        "",
        "runs",
        "ns a run",
        "ns, median",
        "lower quartile",
        "upper quartile",
        "minimum",
        "less empty, median",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    for (place, variant) in Variant::ALL.into_iter().enumerate() {
        let pairs: Vec<(BpfRuns, BpfRuns)> = rounds
            .iter()
            .filter_map(|Round(measured)| Some((measured[place].bpf?, measured[EMPTY].bpf?)))
            .collect();
        let ours = |value: &dyn Fn(BpfRuns) -> f64| {
            pairs.iter().map(|&(ours, _)| value(ours)).collect::<Vec<f64>>()
        };
        let number = |value: Option<f64>, decimals| {
            value.map_or_else(String::new, |value| grouped(value, decimals))
        };
        let Some(all) = Summary::new(ours(&|bpf| bpf.nanoseconds)) else { continue };
        lines.push([
            variant.name().to_owned(),
            number(median(ours(&|bpf| bpf.runs)), 1),
            number(median(pairs.iter().filter_map(|(ours, _)| ours.each())), 0),
            grouped(all.median, 0),
            grouped(all.lower_quartile, 0),
            grouped(all.upper_quartile, 0),
            grouped(all.min, 0),
            number(median(pairs.iter().map(|(ours, empty)| ours.less(*empty))), 0),
        ]);
    }
    align(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cpu: [f64; 4]) -> Round {
        let bpf = |runs, nanoseconds| Some(BpfRuns { runs, nanoseconds });
        let bpf = [None, bpf(12.0, 1200.0), bpf(10.0, 500.0), bpf(10.0, 300.0)];
        Round(std::array::from_fn(|place| Measured {
            cpu_us: cpu[place],
            per_second: 1e6 / cpu[place],
            bpf: bpf[place],
        }))
    }

    fn words(line: &str) -> Vec<&str> {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn rounds_are_compared_in_pairs() {
        // The second round was slow for all: pairs show that, medians alone would not.
        let rounds = [round([20.0, 22.0, 20.0, 20.0]), round([40.0, 44.0, 44.0, 40.0])];
        let lines = differences(&rounds, &|measured| measured.cpu_us);
        assert_eq!(
            words(&lines[1]),
            ["recorder", "+10.0", "+10.0", "+10.0", "+10.0", "+10.0", "+10.0"]
        );
        assert_eq!(
            words(&lines[2]),
            ["recorder --socket-owner=off", "+5.0", "+2.5", "+7.5", "+6.7", "+4.0", "+0.0"]
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn statistics_are_shown_with_and_without_what_they_cost() {
        let lines = statistics(&[round([20.0; 4])]);
        let recorder = ["recorder", "12.0", "100", "1 200", "1 200", "1 200", "1 200", "840"];
        assert_eq!(words(&lines[1]), recorder);
        assert_eq!(words(&lines[3]).last(), Some(&"0"));
        // Nothing runs in the variant without a program.
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn every_variant_has_a_row() {
        let all = lines(&[round([20.0, 22.0, 21.0, 20.0])]).join("\n");
        for variant in Variant::ALL {
            assert!(all.contains(variant.name()), "{all}");
        }
        assert!(all.contains("50 000"), "{all}");
    }
}
