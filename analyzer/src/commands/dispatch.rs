//! The list of subcommands, and what each of them runs.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Subcommand;

use super::{
    Context, Report, Request, compact, diff, explain, files, flame, losses, report, schema,
    summary, timeline, top, verify,
};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::output::format::Format;

/// A subcommand with its arguments: one module each, in `commands/`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List the columns of every table: type, encoding and meaning
    Schema,
    /// Merge small segments into large ones
    Compact(compact::Args),
    /// List the recorded segments, oldest first, and whether each is complete
    Files(files::Args),
    /// List resets that were seen but not recorded, and what is known about them
    Losses(losses::Args),
    /// Count resets by cause, container, port, peer network, ... in any combination, and by time
    Summary(summary::Args),
    /// Rank containers, services, peers, processes and callers by their resets
    Top(top::Args),
    /// Show resets over time, including times without any
    Timeline(timeline::Args),
    /// Show what changed between two windows, and how certain that is
    Diff(diff::Args),
    /// Explain a cause or one event, and what to check next
    Explain(explain::Args),
    /// Print kernel stacks as folded lines, or draw a flame graph
    Flame(flame::Args),
    /// Write one HTML page with charts, tables and filters; it loads nothing and prints well
    Report(report::Args),
    /// Read every file completely and report files that are damaged or inconsistent
    Verify,
}

impl Command {
    /// The report of a subcommand, or `None` where its answer is not the result of SQL.
    fn report(&self) -> Option<&dyn Report> {
        match self {
            Command::Files(args) => Some(args),
            Command::Losses(args) => Some(args),
            Command::Summary(args) => Some(args),
            Command::Top(args) => Some(args),
            Command::Timeline(args) => Some(args),
            Command::Diff(args) => Some(args),
            Command::Explain(args) => Some(args),
            Command::Flame(args) => Some(args),
            Command::Schema | Command::Compact(_) | Command::Report(_) | Command::Verify => None,
        }
    }

    /// Runs a subcommand that asks nothing of the recording's tables; `None` for all others.
    pub(crate) fn run_without_session(
        &self,
        dirs: &[PathBuf],
        threads: Option<NonZeroUsize>,
        format: Format,
    ) -> Option<Result<Outcome, Error>> {
        let out = &mut io::stdout().lock();
        match self {
            Command::Schema => Some(schema::run(format, out)),
            Command::Verify => Some(verify::run(dirs, threads, format, out)),
            Command::Compact(_) | Command::Report(_) => None,
            Command::Files(_)
            | Command::Losses(_)
            | Command::Summary(_)
            | Command::Top(_)
            | Command::Timeline(_)
            | Command::Diff(_)
            | Command::Explain(_)
            | Command::Flame(_) => None,
        }
    }

    /// The SQL of a report that was asked to print it (`--sql`). No recording is needed.
    pub(crate) fn shown_sql(&self, request: &Request) -> Result<Option<String>, Error> {
        self.report().map_or(Ok(None), |report| super::shown_sql(report, request))
    }

    /// Runs the subcommand on an open recording.
    pub(crate) async fn run(&self, context: &mut Context<'_>) -> Result<Outcome, Error> {
        if let Some(report) = self.report() {
            return super::run(report, context).await;
        }
        match self {
            Command::Compact(args) => {
                compact::run(args, context.dirs, context.request.format, context.out)
            }
            Command::Report(args) => report::run(args, context).await,
            // They ran without a session.
            Command::Schema | Command::Verify => Ok(Outcome::Complete),
            // They ran as reports.
            Command::Files(_)
            | Command::Losses(_)
            | Command::Summary(_)
            | Command::Top(_)
            | Command::Timeline(_)
            | Command::Diff(_)
            | Command::Explain(_)
            | Command::Flame(_) => Ok(Outcome::Complete),
        }
    }
}
