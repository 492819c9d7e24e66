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
    /// List resets that have no row, lost or counted in a storm, and what is known about them
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

/// How a subcommand does its work.
enum Work<'a> {
    /// Its answer is the result of SQL.
    Report(&'a dyn Report),
    Compact(&'a compact::Args),
    /// The HTML page.
    Page(&'a report::Args),
    /// It asks nothing of the recording's tables.
    Schema,
    Verify,
}

impl Command {
    fn work(&self) -> Work<'_> {
        match self {
            Command::Files(args) => Work::Report(args),
            Command::Losses(args) => Work::Report(args),
            Command::Summary(args) => Work::Report(args),
            Command::Top(args) => Work::Report(args),
            Command::Timeline(args) => Work::Report(args),
            Command::Diff(args) => Work::Report(args),
            Command::Explain(args) => Work::Report(args),
            Command::Flame(args) => Work::Report(args),
            Command::Compact(args) => Work::Compact(args),
            Command::Report(args) => Work::Page(args),
            Command::Schema => Work::Schema,
            Command::Verify => Work::Verify,
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
        match self.work() {
            Work::Schema => Some(schema::run(format, out)),
            Work::Verify => Some(verify::run(dirs, threads, format, out)),
            Work::Report(_) | Work::Compact(_) | Work::Page(_) => None,
        }
    }

    /// The SQL of a report that was asked to print it (`--sql`). No recording is needed.
    pub(crate) fn shown_sql(&self, request: &Request) -> Result<Option<String>, Error> {
        match self.work() {
            Work::Report(report) => super::shown_sql(report, request),
            Work::Compact(_) | Work::Page(_) | Work::Schema | Work::Verify => Ok(None),
        }
    }

    /// Runs the subcommand on an open recording.
    pub(crate) async fn run(&self, context: &mut Context<'_>) -> Result<Outcome, Error> {
        match self.work() {
            Work::Report(report) => super::run(report, context).await,
            Work::Compact(args) => {
                compact::run(args, context.dirs, context.request.format, context.out)
            }
            Work::Page(args) => report::run(args, context).await,
            // They have run, without a session.
            Work::Schema | Work::Verify => Ok(Outcome::Complete),
        }
    }
}
