//! `cargo xtask bench analyze`: the analyzer against DuckDB, on the same files.
//!
//! Inside one process each (connection open, views made, footers read) and as whole processes; with
//! the files in the page cache and not. Both sides take turns in one run, and must say the same.
//! The sample is measured compacted, and, warm and in process, as a recorder leaves it.

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
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;

use super::conditions;
use crate::needs::{self, User};
use crate::print::line;
use compare::Rounds;
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
    /// Leave the files as a recorder leaves them out
    #[arg(long)]
    no_recorded: bool,
    /// Leave the time to the first row out
    #[arg(long)]
    no_first_row: bool,
    /// Write the tables to docs/analyze.md
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(args: &AnalyzeArgs) -> Result<()> {
    needs::provide(User::BenchAnalyze)?;
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let ours = Ours::find()?;
    let duck = Duck::install(threads)?;
    let warm = args.rounds.get();
    let all = Rounds { warm, cold: args.cold_rounds, processes: true };
    let mut lines = vec![
        conditions::machine()?,
        format!("{}; {threads} threads on both sides", duck.versions()?),
    ];
    for text in &lines {
        line(text)?;
    }
    let mut measure = |name: &str, data: &Path, rounds| -> Result<()> {
        let cache = PageCache::for_files(data)?;
        let mut about = format!("{name}: {}", sample::describe(data)?);
        if rounds == all && all.cold > 0 {
            about = format!("{about}; {}", cache.describe());
        }
        eprintln!("{about}");
        lines.extend([String::new(), about]);
        lines.extend(compare::run(&ours, &duck, data, &cache, rounds)?);
        Ok(())
    };
    match &args.data {
        Some(data) => measure("A recording", data, all)?,
        None => {
            let events = &args.events;
            let recorded = sample::make(&format!("events-{events}"), &["--events", events])?;
            measure("Compacted", &sample::compacted(&ours, &recorded)?, all)?;
            if !args.no_recorded {
                let few = Rounds { cold: 0, processes: false, ..all };
                measure("As recorded, in segments of five minutes", &recorded, few)?;
            }
        }
    }
    if !args.no_first_row {
        lines.extend(first_row::run(&ours, &duck, warm)?);
    }
    for text in lines.iter().skip(2) {
        line(text)?;
    }
    if args.write_docs {
        docs::write("bench analyze", &lines)?;
    }
    Ok(())
}

pub(crate) fn run_scale(args: &ScaleArgs) -> Result<()> {
    scale::run(args)
}
