//! `cargo xtask bench record`: measures round by round, prints medians and spreads.

mod round;
mod rows;

use std::num::{NonZeroU32, NonZeroU64};

use anyhow::Result;
use scenarios::{Mix, Namespace};

use self::round::{Plan, Round};
use super::conditions;
use super::hot_path;
use super::table::render;
use super::tool::Tool;
use crate::needs::{self, User};
use crate::{exit, print};

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// Resets in each flood
    #[arg(long, value_name = "N", default_value = "300000")]
    resets: NonZeroU64,
    /// Threads that send a flood
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroU64,
    /// Measure everything this often, and print medians and spreads
    #[arg(long, value_name = "R", default_value = "3")]
    rounds: NonZeroU32,
    /// Kinds of resets that take turns in a flood; by default first closed-port alone, then all
    ///
    /// `all`, or names with commas between them: closed-port, close-unread, linger0,
    /// data-after-close, time-wait. A keepalive time-out comes from a timer, so no flood has it.
    #[arg(long, value_name = "KIND,...")]
    mix: Option<Mix>,
}

impl RecordArgs {
    /// One table for each.
    fn mixes(&self) -> Vec<Mix> {
        match &self.mix {
            Some(mix) => vec![mix.clone()],
            None => vec![Mix::closed_port(), Mix::all()],
        }
    }
}

pub(crate) fn run(args: &RecordArgs) -> Result<()> {
    exit::require_root("BPF programs, packet capture and a network namespace need root")?;
    needs::provide(User::BenchRecord)?;
    let conditions = conditions::describe()?;
    let ns = Namespace::new()?;
    let mut measured: Vec<(Mix, Vec<Round>)> =
        args.mixes().into_iter().map(|mix| (mix, Vec::new())).collect();
    for number in 1..=args.rounds.get() {
        for (mix, rounds) in &mut measured {
            eprintln!("round {number} of {}: {mix}", args.rounds);
            let plan = Plan { mix, resets: args.resets.get(), threads: args.threads.get() };
            rounds.push(Round::measure(&ns, plan)?);
        }
    }
    eprintln!("the hot path");
    let hot_path = hot_path::measure(&ns, Tool::Tcprst)?;
    let without_owner = hot_path::measure(&ns, Tool::TcprstWithoutOwner)?;

    for line in conditions {
        print::line(&line)?;
    }
    print::line(&format!(
        "Medians of {} rounds; floods of {} resets over loopback, threads that send: {}; each tool \
         alone; default buffers everywhere.",
        args.rounds, args.resets, args.threads
    ))?;
    for (mix, rounds) in &measured {
        print::line(&format!("\nResets: {mix}"))?;
        for line in render(&rows::rows(rounds)) {
            print::line(&line)?;
        }
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
    "Keepalive time-outs are in no flood: their resets come from a timer, seconds apart.",
    "BPF run statistics: all programs of the tool, the clock reads of the statistics included. A \
     classic socket filter has none. All kinds but closed-port open a connection for each reset, \
     and programs that follow connections run for it.",
    "Added: a flood with the tool less the mean of those before and after it without. CPU time \
     is that of the flooding threads; wall time also has what the tool takes from its CPU.",
    "CPU per reset (flood): of all threads of the tool's process for each reset that it kept; its \
     start is not counted, its end is (sealing the file; naming the stacks). At 1 000 per second \
     neither is.",
    "Rate held: >= means that nothing was lost at the fastest that one thread could send beside \
     the tool: no limit was found, and on few CPUs the tool slows the thread down. A paced thread \
     sends in bursts of 1 ms.",
    "bpftrace keeps counts by stack and nothing else; tcpdump keeps packets and no cause. Where \
     root may not raise RLIMIT_MEMLOCK, bpftrace is told that it did (seccomp, no tracing): \
     its CPU time is its own.\n",
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: RecordArgs,
    }

    fn parse(args: &[&str]) -> Result<Vec<String>> {
        let cli = Cli::try_parse_from([&["record"], args].concat())?;
        Ok(cli.args.mixes().iter().map(Mix::to_string).collect())
    }

    #[test]
    fn a_storm_and_the_mix_are_measured_unless_one_is_named() -> Result<()> {
        let all = Mix::all().to_string();
        assert_eq!(parse(&[])?, ["closed-port", &all]);
        assert_eq!(parse(&["--mix", "all"])?, [all]);
        assert_eq!(parse(&["--mix", "closed-port"])?, ["closed-port"]);
        assert_eq!(parse(&["--mix", "linger0,time-wait"])?, ["linger0, time-wait"]);
        Ok(())
    }

    #[test]
    fn keepalive_is_refused_with_a_reason() {
        let error = parse(&["--mix", "closed-port,keepalive"]).expect_err("no flood has it");
        assert!(error.to_string().contains("timer"), "{error}");
    }
}
