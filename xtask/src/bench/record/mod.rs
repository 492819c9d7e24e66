//! `cargo xtask bench record`: measures round by round, prints medians and spreads.

mod account;
mod idle;
mod round;
mod rows;

use std::num::{NonZeroU32, NonZeroU64};
use std::thread;

use anyhow::{Result, ensure};
use scenarios::{Mix, Namespace};

use self::idle::Idle;
use self::round::{Plan, Round};
use super::conditions;
use super::hot_path;
use super::table::render;
use super::tool::Tool;
use crate::needs::{self, User};
use crate::{exit, print};

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// Resets in each flood; a third of it for BPF run statistics
    #[arg(long, value_name = "N", default_value = "100000")]
    resets: NonZeroU64,
    /// Threads that send a flood [default: one for each CPU]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU64>,
    /// Measure everything this often, and print medians and spreads
    #[arg(long, value_name = "R", default_value = "1")]
    rounds: NonZeroU32,
    /// Kinds of resets that take turns; by default first closed-port alone, then all
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
    let threads = match args.threads {
        Some(threads) => threads.get(),
        None => thread::available_parallelism()?.get() as u64,
    };
    let ns = Namespace::new()?;
    eprintln!("idle");
    let idle = Idle::measure(&ns)?;
    let mut measured: Vec<(Mix, Vec<Round>)> =
        args.mixes().into_iter().map(|mix| (mix, Vec::new())).collect();
    for number in 1..=args.rounds.get() {
        for (mix, rounds) in &mut measured {
            eprintln!("round {number} of {}: {mix}", args.rounds);
            // An everyday pace of closed ports alone is a storm already.
            let calm = *mix != Mix::closed_port();
            let plan = Plan { mix, resets: args.resets.get(), threads, calm };
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
        "Rounds: {}, and medians of them; floods of {} resets over loopback from {threads} threads, \
         which also share the 50 000 per second; each tool alone; default buffers everywhere.",
        args.rounds, args.resets
    ))?;
    let mut faults = Vec::new();
    for (mix, rounds) in &measured {
        print::line(&format!("\nResets: {mix}"))?;
        for line in render(&rows::rows(rounds)) {
            print::line(&line)?;
        }
        print::line("Account of tcprst-record, whole machine:")?;
        for (lines, found) in rounds.iter().map(account::lines) {
            faults.extend(found.iter().map(|fault| format!("{mix}: {fault}")));
            for line in lines {
                print::line(&line)?;
            }
        }
    }
    print::line(&format!(
        "\nIdle, all tools at the same time; resets elsewhere on this machine: {}",
        Idle::resets_elsewhere(&idle)
    ))?;
    for line in render(&Idle::rows(&idle)) {
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
    without_owner.verdict()?;
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

const NOTES: &[&str] = &[
    "Keepalive time-outs are in no mix: their resets come from a timer, seconds apart.",
    "BPF run statistics: from one thread, in turns, with the clock reads of the statistics. Programs \
     are told apart by their names. Those that follow connections run for all kinds but closed-port, \
     each of which opens a connection.",
    "CPU us per reset: all threads of the tool; its start is not counted, its end is (sealing the \
     file; naming the stacks), but not at 1 000 per second. tcprst-record also records the resets of \
     others on this machine: its CPU time and bytes are shared out over all. A paced thread sends in \
     bursts of 1 ms.",
    "Bytes on disk: all files of the recording, the rollups and the losses too.",
    "Counted: resets of a storm that the kernel half counts by key, without a row of their own.",
    "Added: a flood with the tool less the mean of those before and after it without. CPU time \
     is that of the flooding threads; wall time also has what the tool takes from its CPU.",
    "Wake-ups: context switches of all threads, whether they gave up the CPU or were made to.",
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
