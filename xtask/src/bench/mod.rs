//! `cargo xtask bench`: the cost of the recorder compared with the tools that it replaces, and the
//! speed of the analyzer compared with DuckDB.
//!
//! Every number is measured in the same run, on the same machine, with the same resets.
//! Timings are printed and never asserted; only "nothing on the hot path" and the account of the
//! recorder can fail.

mod analyze;
mod attach;
mod conditions;
mod connections;
mod hot_path;
mod owners;
mod pace;
mod programs;
mod record;
mod running;
mod stats;
mod table;
mod tool;
mod usage;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Compare tcprst-analyze with DuckDB on the same files
    Analyze(analyze::AnalyzeArgs),
    /// Measure how the cost of `summary` grows with the recording
    Scale(analyze::ScaleArgs),
    /// Compare tcprst-record with tcpdump and bpftrace on the same resets
    Record(record::RecordArgs),
    /// Measure the cost of connections that are never reset, with and without tcprst-record
    Connections(connections::ConnectionsArgs),
    /// Count how often an innocent process is named, and how often the task on the CPU is one
    Owners(owners::OwnersArgs),
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.bench {
        Bench::Analyze(args) => analyze::run(&args),
        Bench::Scale(args) => analyze::run_scale(&args),
        Bench::Record(args) => record::run(&args),
        Bench::Connections(args) => connections::run(&args),
        Bench::Owners(args) => owners::run(&args),
    }
}
