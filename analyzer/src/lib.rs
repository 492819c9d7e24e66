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
//! 5. [`print`] encodes the result batch by batch, on stdout.
//!
//! [`error`] holds everything that can end this path early, and its exit code.

pub mod cli;
pub mod error;
pub mod files;
pub mod print;
pub mod recording;
mod schema_command;
pub mod sealed;
pub mod session;
pub mod spool;
pub mod table;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use cli::{Cli, Job};
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
    let sql = match cli.job()? {
        Job::Schema => {
            print::batch(cli.format, &schema_command::columns()?, &mut stdout)?;
            return Ok(Outcome::Complete);
        }
        Job::Sql(sql) => sql,
    };
    // Before the files: a mistake in the SQL is told at once, however many files there are.
    let statements = session::parse(&sql)?;
    let recording = Recording::open(&cli.data)?;
    for skipped in recording.skipped() {
        tell(skipped);
    }
    let outcome = if recording.skipped().is_empty() { Outcome::Complete } else { Outcome::Partial };

    // The main thread plans, because it has the larger stack: plans are walked recursively.
    let runtime = tokio::runtime::Runtime::new().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let session = session::Session::new(recording)?;
        for statement in statements {
            session.run(statement, cli.format, &mut stdout).await?;
        }
        stdout.flush().map_err(Error::Output)
    })?;
    Ok(outcome)
}
