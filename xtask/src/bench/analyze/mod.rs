//! `cargo xtask bench analyze`: the analyzer against DuckDB, on the same files.
//!
//! Inside one process each (connection open, views made, footers read) and as whole processes; with
//! the files in the page cache and not. Both sides take turns in one run, and must say the same.

mod compare;
mod docs;
mod duck;
mod first_row;
mod ours;
mod plot;
mod process;
mod queries;
mod results;
mod sample;
mod scale;
mod session;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use super::conditions;
use crate::print::line;
use duck::Duck;
use ours::Ours;
use process::PageCache;
pub(crate) use scale::ScaleArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeArgs {
    /// Resets in the sample that is queried: 5000, 10k, 100M
    #[arg(long, value_name = "N", default_value = "100M")]
    events: String,
    /// A recording that is there already, instead of a sample
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure everything this often, and print medians
    #[arg(long, value_name = "R", default_value = "5")]
    rounds: NonZeroU32,
    /// The same for runs for which the page cache is emptied; 0 leaves them out
    #[arg(long, value_name = "R", default_value = "3")]
    cold_rounds: u32,
    /// Leave the time to the first row out
    #[arg(long)]
    no_first_row: bool,
    /// Write the tables to docs/analyze.md
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(args: &AnalyzeArgs) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let ours = Ours::find()?;
    let duck = Duck::install(threads)?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None => sample::make(&format!("events-{}", args.events), &["--events", &args.events])?,
    };
    let cache = PageCache::of(&data)?;
    let mut lines = vec![
        conditions::machine()?,
        format!("{}; {threads} threads on both sides", duck.versions()?),
        sample::describe(&data)?,
    ];
    if args.cold_rounds > 0 {
        lines.push(cache.describe());
    }
    for text in &lines {
        line(text)?;
    }
    let rounds = compare::Rounds { warm: args.rounds.get(), cold: args.cold_rounds };
    let mut tables = compare::run(&ours, &duck, &data, &cache, rounds)?;
    if !args.no_first_row {
        tables.extend(first_row::run(&ours, &duck, args.rounds.get())?);
    }
    for text in &tables {
        line(text)?;
    }
    if args.write_docs {
        lines.push(String::new());
        lines.extend(tables);
        docs::write("bench analyze", &lines)?;
    }
    Ok(())
}

pub(crate) fn run_scale(args: &ScaleArgs) -> Result<()> {
    scale::run(args)
}
