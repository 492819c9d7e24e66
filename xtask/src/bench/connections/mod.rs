//! `cargo xtask bench connections`: the cost of the recorder for connections that are never reset.

mod cpu;
mod load;
mod report;
mod traffic;

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::Namespace;

use self::cpu::Meter;
use self::load::{BpfRuns, Load, Variant};
use self::report::{Measured, Round};
use super::conditions;
use super::tool::Tool;
use crate::{exit, print};

/// With fewer runs the quartiles are not worth publishing.
const MIN_PUBLISHED: u32 = 50;
/// Threads of a tool that has just started, and the end of the last run's namespace, come to rest.
const SETTLING: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionsArgs {
    /// Measure each variant this often, in turns; numbers to publish need at least 50 runs
    #[arg(long, value_name = "N", default_value = "56")]
    runs: NonZeroU32,
    /// Connections in each run
    ///
    /// Each leaves its port in TIME_WAIT, and a run has its namespace's 28,232 ports.
    #[arg(
        long,
        value_name = "N",
        default_value = "10000",
        value_parser = clap::value_parser!(u32).range(100..=20_000)
    )]
    connections: u32,
}

pub(crate) fn run(args: &ConnectionsArgs) -> Result<()> {
    exit::require_root("BPF programs and network namespaces need root")?;
    let machine = conditions::machine()?;
    let recorder = Tool::Tcprst.version()?;
    let mut rounds = Vec::new();
    for number in 0..args.runs.get() {
        eprintln!("round {} of {}", number + 1, args.runs);
        rounds.push(round(number as usize, args.connections)?);
    }

    print::line(&machine)?;
    print::line(&format!("{}: {recorder}", Tool::Tcprst.name()))?;
    print::line(&format!(
        "{} runs of {} connections for each variant, in turns, over loopback, each run in a new \
         network namespace. CPU time: {}.",
        args.runs,
        args.connections,
        cpu::describe()
    ))?;
    if args.runs.get() < MIN_PUBLISHED {
        print::line(&format!("Fewer than {MIN_PUBLISHED} runs: do not publish these numbers."))?;
    }
    for line in report::lines(&rounds) {
        print::line(&line)?;
    }
    for line in NOTES {
        print::line(line)?;
    }
    Ok(())
}

const NOTES: &[&str] = &[
    "",
    "A connection: connect, a byte each way, an orderly close by both ends. One thread plays both \
     ends.",
    "Above none, paired: the median and the quartiles of the differences within each round. At the \
     median, at the lower quartile, at the minimum: the variant's figure compared with that of \
     none.",
    "BPF run statistics: from an extra run after each run, because they slow programs down. Less \
     empty: less the time of as many runs of the empty program in the same round, which is mostly \
     the clock reads of the statistics. Connections of other programs on this machine count too.",
];

/// Measures each variant once.
fn round(number: usize, connections: u32) -> Result<Round> {
    let mut measured = [Measured::default(); Variant::ALL.len()];
    for place in order(number) {
        measured[place] = measure(Variant::ALL[place], connections)?;
    }
    Ok(Round(measured))
}

/// The places of the variants, in the order of this round: rotated after every two rounds, and
/// backwards in every second. In eight rounds each variant has each place twice, and does not
/// always follow the same one.
fn order(number: usize) -> [usize; Variant::ALL.len()] {
    let mut order = std::array::from_fn(|index| (index + number / 2) % Variant::ALL.len());
    if !number.is_multiple_of(2) {
        order.reverse();
    }
    order
}

fn measure(variant: Variant, connections: u32) -> Result<Measured> {
    let ns = Namespace::new()?;
    let load = Load::start(variant, &ns)?;
    thread::sleep(SETTLING);
    let meter = Meter::new(load.recorder())?;
    let (elapsed, cpu) = ns.run(|| {
        let traffic = traffic::Traffic::new()?;
        traffic.warm_up()?;
        let before = meter.read()?;
        let elapsed = traffic.connect(connections)?;
        Ok((elapsed, meter.read()?.saturating_sub(before)))
    })?;
    ensure!(ns.out_rsts()? == 0, "the connections caused resets, so they were not orderly");
    drop(ns);
    let bpf = load.holder().map(|holder| BpfRuns::measure(holder, connections)).transpose()?;
    load.stop()?;
    // Of the recorder perhaps none runs, but this one must.
    let is_counted = bpf.is_some_and(|bpf| bpf.runs > 0.0);
    ensure!(is_counted || variant != Variant::Empty, "the empty program's runs were not counted");
    Ok(Measured {
        cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(connections),
        per_second: f64::from(connections) / elapsed.as_secs_f64(),
        bpf,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: ConnectionsArgs,
    }

    fn parse(args: &[&str]) -> Result<ConnectionsArgs> {
        Ok(Cli::try_parse_from([&["connections"], args].concat())?.args)
    }

    #[test]
    fn the_default_is_enough_to_publish() -> Result<()> {
        let args = parse(&[])?;
        assert!(args.runs.get() >= MIN_PUBLISHED);
        assert_eq!(args.connections, 10_000);
        let args = parse(&["--runs", "2", "--connections", "500"])?;
        assert_eq!((args.runs.get(), args.connections), (2, 500));
        Ok(())
    }

    #[test]
    fn runs_without_a_meaning_are_refused() {
        for args in [["--runs", "0"], ["--connections", "99"], ["--connections", "28000"]] {
            assert!(parse(&args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn each_variant_has_each_place_in_turn() {
        assert_eq!(order(0), [0, 1, 2, 3]);
        assert_eq!(order(1), [3, 2, 1, 0]);
        assert_eq!(order(2), [1, 2, 3, 0]);
        assert_eq!(order(7), [2, 1, 0, 3]);
        assert_eq!(order(8), order(0));
        for place in 0..Variant::ALL.len() {
            let mut seen: Vec<usize> = (0..8).map(|number| order(number)[place]).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3]);
        }
    }
}
