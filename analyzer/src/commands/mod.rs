//! What follows `tcprst-analyze`: a module a subcommand, with its arguments and what it does.
//!
//! To add one: a module here, a variant in [`crate::app::cli::Command`], a line in [`run`].

pub mod compact;
pub mod diff;
pub mod explain;
pub mod files;
pub mod flame;
pub mod losses;
pub mod report;
pub mod schema;
pub mod summary;
pub mod timeline;
pub mod top;
pub mod verify;

use std::io::Write;

use chrono::{Duration, Utc};

use crate::Outcome;
use crate::app::cli::{Cli, Command};
use crate::error::Error;
use crate::error::ReportError;
use crate::output::format::Format;
use crate::query::session::Session;
use crate::window::Window;

/// What every command has at hand.
#[expect(missing_debug_implementations, reason = "the output is any writer")]
pub struct Context<'a> {
    pub cli: &'a Cli,
    pub session: &'a Session,
    /// `--since` and `--until`.
    pub window: Window,
    pub out: &'a mut dyn Write,
}

impl Context<'_> {
    pub fn format(&self) -> Format {
        self.cli.format
    }
}

/// Does what a command asks for, on an open recording.
pub async fn run(command: &Command, context: &mut Context<'_>) -> Result<Outcome, Error> {
    match command {
        Command::Schema(args) => schema::run(args, context.format(), context.out),
        Command::Compact(args) => {
            compact::run(args, &context.cli.data, context.format(), context.out)
        }
        Command::Files(args) => files::run(args, context).await,
        Command::Losses(args) => losses::run(args, context).await,
        Command::Summary(args) => summary::run(args, context).await,
        Command::Top(args) => top::run(args, context).await,
        Command::Timeline(args) => timeline::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Flame(args) => flame::run(args, context).await,
        Command::Report(args) => report::run(args, context).await,
        Command::Verify(args) => verify::run(args, context.cli, context.out),
    }
}

/// The SQL of a report that is to show it (`--sql`) and not to run. No recording is needed.
pub fn shown_sql(command: &Command, cli: &Cli, window: &Window) -> Result<Option<String>, Error> {
    let (is_asked_for, sql) = match command {
        Command::Files(args) => (args.report.show_sql, Ok(files::sql(window))),
        Command::Losses(args) => (args.report.show_sql, Ok(losses::sql(window))),
        Command::Summary(args) => (args.report.show_sql, summary::sql(args, window)),
        Command::Top(args) => (args.report.show_sql, top::sql(args, window)),
        Command::Timeline(args) => (args.report.show_sql, timeline::sql(args, window, cli.format)),
        Command::Diff(args) => {
            let windows = diff::windows(args, window, Utc::now());
            (args.report.show_sql, windows.and_then(|windows| diff::sql(args, &windows)))
        }
        Command::Explain(args) => (args.report.show_sql, explain::sql(args, window)),
        Command::Flame(args) => (args.report.show_sql, flame::sql(args, window)),
        Command::Schema(_) | Command::Compact(_) | Command::Report(_) | Command::Verify(_) => {
            return Ok(None);
        }
    };
    // Made in any case: what is wrong with the arguments is told before any file is opened.
    let sql = sql?;
    Ok(is_asked_for.then_some(sql))
}

/// A length of time as an SQL interval: `5 minutes`.
pub(crate) fn interval(length: Duration) -> Result<String, Error> {
    let seconds = length.num_seconds();
    if seconds < 1 || length.subsec_nanos() != 0 || length > Duration::days(366) {
        return Err(ReportError::Step.into());
    }
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds % unit == 0);
    let (unit, name) = unit.unwrap_or((1, "second"));
    let count = seconds / unit;
    Ok(format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
}
