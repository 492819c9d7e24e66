//! SQL over recorded TCP resets.
//!
//! The path of a query:
//!
//! 1. [`cli`] turns the arguments into SQL text (an argument, a file, stdin or a report of
//!    `reports/`), the folders to read and a format.
//! 2. [`recording`] finds the segments of those folders, sealed ([`sealed`]) and live
//!    ([`spool`]), reads their footers and says of each file that it skips why.
//! 3. [`table`] makes one DataFusion table of sealed files and spools; [`files`] is the table
//!    of the segments themselves.
//! 4. [`session`] plans the SQL, refuses whatever would write, and runs it.
//! 5. [`commands`] holds the subcommands; most are SQL of [`reports`] with the arguments put in,
//!    [`window`] among them, and use [`functions`] that SQL has from us. [`notes`] says what an
//!    answer does not hold.
//! 5. [`commands`] holds the subcommands; most are SQL of `reports/` with the arguments put in.
//!    [`html`] makes the page of `report --html`.
//! 6. [`print`] encodes the result batch by batch, on stdout.
//!
//! [`error`] holds everything that can end this path early, and its exit code.

pub mod cli;
pub mod commands;
pub mod compact;
pub mod dictionary;
pub mod error;
pub mod files;
pub mod functions;
pub mod html;
pub mod notes;
pub mod print;
pub mod prune;
mod reader;
pub mod recording;
mod rederive;
pub mod reports;
pub mod rollup;
pub mod sealed;
pub mod session;
pub mod spool;
pub mod table;
mod timing;
pub mod window;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use cli::{Cli, Command, Job};
use error::Error;
use recording::Recording;

/// How far the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Over everything that was recorded.
    Complete,
    /// Files were skipped: scripts must be able to tell, so it is exit code 1.
    Partial,
}

impl Outcome {
    /// Complete only where both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Outcome::Partial { self } else { other }
    }

    pub fn exit_code(self) -> ExitCode {
        match self {
            Outcome::Complete => ExitCode::SUCCESS,
            Outcome::Partial => ExitCode::from(1),
        }
    }
}

/// One line on stderr.
pub fn tell(message: &dyn Display) {
    // Nobody can be told that stderr is closed.
    let _ = writeln!(io::stderr(), "tcprst-analyze: {message}");
}

/// Does what the arguments ask for, with the result on stdout and notes on stderr.
pub fn run(cli: &Cli) -> Result<Outcome, Error> {
    match answer(cli) {
        // `| head` has what it wanted.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Outcome::Complete)
        }
        result => result,
    }
}

fn answer(cli: &Cli) -> Result<Outcome, Error> {
    let mut stdout = io::stdout().lock();
    let job = cli.job()?;
    if let Job::Command(Command::Schema(args)) = &job {
        return commands::schema::run(args, cli.format, &mut stdout);
    }
    // Before the files: a mistake in the SQL is told at once, however many files there are.
    let statements = match &job {
        Job::Sql(sql) => session::parse(sql)?,
        Job::Command(_) | Job::Timing => Vec::new(),
    };
    let window = cli.window()?;
    if let Job::Command(command) = &job
        && let Some(sql) = commands::shown_sql(command, cli, &window)?
    {
        return stdout.write_all(sql.as_bytes()).map_err(Error::Output).map(|()| Outcome::Complete);
    }
    let recording = Arc::new(Recording::open(&cli.data)?);

    // The main thread plans, because it has the larger stack: plans are walked recursively.
    let runtime = tokio::runtime::Runtime::new().map_err(Error::Runtime)?;
    let answered = runtime.block_on(async {
        let session = session::Session::new(Arc::clone(&recording), !cli.no_rollup)?;
        if let Job::Sql(_) = &job {
            // Reports have the window in their SQL.
            session.restrict(&window)?;
        }
        for statement in statements {
            session.run(statement, cli.format, &mut stdout).await?;
        }
        if matches!(job, Job::Sql(_)) && !window.is_whole() {
            stdout.flush().map_err(Error::Output)?;
            notes::tell_coverage(&session, &window).await?;
        }
        let mut context = commands::Context { cli, session: &session, window, out: &mut stdout };
        let outcome = match &job {
            Job::Command(command) => commands::run(command, &mut context).await?,
            Job::Timing => {
                timing::run(context.session, cli.format, context.out).await?;
                Outcome::Complete
            }
            Job::Sql(_) => Outcome::Complete,
        };
        context.out.flush().map_err(Error::Output)?;
        Ok::<_, Error>(outcome)
    });
    // Also where the query failed: a file may be why.
    let skipped = recording.take_skipped();
    skipped.iter().for_each(|skipped| tell(skipped));
    let outcome = if skipped.is_empty() { Outcome::Complete } else { Outcome::Partial };
    Ok(outcome.and(answered?))
}
