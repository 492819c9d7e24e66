//! The subcommands: one module each, with its arguments and what it does.
//!
//! Most are a [`Report`]: SQL of `reports/` with the arguments put in. To add one: a module here
//! that implements [`Report`], its SQL, and a variant of [`dispatch::Command`].

pub(crate) mod compact;
pub(crate) mod diff;
pub(crate) mod dispatch;
pub(crate) mod explain;
pub(crate) mod files;
pub(crate) mod flame;
pub(crate) mod losses;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod summary;
pub(crate) mod timeline;
pub(crate) mod top;
pub(crate) mod verify;

use std::io::Write;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use futures::future::LocalBoxFuture;

use crate::error::Error;
use crate::outcome::Outcome;
use crate::output::format::Format;
use crate::query::session::Session;
use crate::reports::ReportArgs;
use crate::reports::notes::{self, Topics};
use crate::window::Window;

/// What the global options ask of a subcommand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// `--since` and `--until`.
    pub window: Window,
    /// `--format`.
    pub format: Format,
    /// The time that relative times count from: one for the whole run.
    pub now: DateTime<Utc>,
}

/// What a subcommand works with once the recording is open.
pub(crate) struct Context<'a> {
    pub session: &'a Session,
    pub request: Request,
    /// The folders of the recording.
    pub dirs: &'a [PathBuf],
    pub out: &'a mut dyn Write,
}

impl Context<'_> {
    /// Prints the result of SQL.
    pub(crate) async fn print(&mut self, sql: &str) -> Result<(), Error> {
        self.session.run_sql(sql, self.request.format, self.out).await
    }
}

/// A subcommand whose answer is the result of SQL: `--sql` prints the SQL, otherwise it runs.
pub(crate) trait Report {
    /// The arguments that every report has.
    fn shared(&self) -> &ReportArgs;

    /// The SQL that answers.
    fn sql(&self, request: &Request) -> Result<String, Error>;

    /// What the notes on stderr say after the answer; `None` for no notes.
    fn topics(&self) -> Result<Option<Topics>, Error> {
        Ok(Some(Topics::ALL))
    }

    /// The windows that the notes are about.
    fn windows(&self, request: &Request) -> Result<Vec<Window>, Error> {
        Ok(vec![request.window])
    }

    /// Runs the SQL and prints the answer.
    fn answer<'a>(
        &'a self,
        sql: String,
        context: &'a mut Context<'_>,
    ) -> LocalBoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { context.print(&sql).await })
    }
}

/// Runs a report: its answer, then the notes.
async fn run(report: &dyn Report, context: &mut Context<'_>) -> Result<Outcome, Error> {
    let request = context.request;
    let sql = report.sql(&request)?;
    report.answer(sql, context).await?;
    if let Some(topics) = report.topics()? {
        notes::report(context.session, &report.windows(&request)?, topics).await?;
    }
    Ok(Outcome::Complete)
}

/// The SQL of a report that was asked to print it. It is made in any case, so that wrong arguments
/// are reported before any file is opened.
fn shown_sql(report: &dyn Report, request: &Request) -> Result<Option<String>, Error> {
    let sql = report.sql(request)?;
    Ok(report.shared().show_sql.then_some(sql))
}
