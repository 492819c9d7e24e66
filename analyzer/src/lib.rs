//! SQL over recorded TCP resets.
//!
//! The path of a query:
//!
//! 1. [`app::cli`] turns the arguments into SQL text (an argument, a file, stdin or a report of
//!    `reports/`), the folders to read and a format.
//! 2. [`recording`] finds the segments of those folders, sealed ([`sealed`]) and live
//!    ([`spool`]), reads their footers and says of each file that it skips why.
//! 3. [`table`] makes one DataFusion table of sealed files and spools; [`files`] is the table
//!    of the segments themselves.
//! 4. [`session`] plans the SQL, refuses whatever would write (`permit`), and runs it in an
//!    [`engine`] with a limit of memory.
//! 5. [`commands`] holds the subcommands; most are SQL of [`reports`] with the arguments put in,
//!    [`window`] among them, and use [`functions`] that SQL has from us. [`notes`] says what an
//!    answer does not hold.
//!    [`html`] makes the page of `report --html`.
//! 6. [`print`] encodes the result batch by batch, on stdout; [`progress`] shows on a terminal
//!    how far it is, and `interrupt` ends it.
//!
//! Without SQL, on a terminal, `shell` asks for it and goes this path for each statement.
//!
//! [`error`] holds everything that can end this path early, and its exit code.

pub mod app;
pub mod commands;
pub mod compact;
pub mod error;
pub mod functions;
pub mod html;
mod nearest;
pub mod output;
pub mod query;
pub mod recording;
pub mod reports;
mod shell;
pub mod window;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use app::cli::{Cli, Command, Job};
use app::{interrupt, timing};
use error::{Error, INTERRUPTED};
use output::format::Format;
use query::engine::Engine;
use query::{permit, session};
use recording::Recording;
use reports::notes;

/// How far the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Over everything that was recorded.
    Complete,
    /// Files were skipped: scripts must be able to tell, so it is exit code 1.
    Partial,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Outcome {
    /// Complete only where both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Outcome::Complete || other == Outcome::Interrupted { other } else { self }
    }

    pub fn exit_code(self) -> ExitCode {
        match self {
            Outcome::Complete => ExitCode::SUCCESS,
            Outcome::Partial => ExitCode::from(1),
            Outcome::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}

/// One line on stderr.
pub fn tell(message: &dyn Display) {
    // A message may quote a value.
    let message = message.to_string();
    let message = output::escape::escape(&message, |_| false);
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
        // Who pressed Ctrl-C knows.
        Err(Error::Interrupted) => Ok(Outcome::Interrupted),
        result => result,
    }
}

fn answer(cli: &Cli) -> Result<Outcome, Error> {
    let stdout = io::stdout();
    let job = cli.job()?;
    if cli.format.is_binary() && stdout.is_terminal() {
        return Err(Error::Usage("this format is not for a terminal: add > FILE"));
    }
    match &job {
        Job::Command(Command::Schema(args)) => {
            return commands::schema::run(args, cli.format, &mut stdout.lock());
        }
        Job::Command(Command::Verify(args)) => {
            return commands::verify::run(args, cli, &mut stdout.lock());
        }
        _ => {}
    }
    // Before the files: a mistake in the SQL is told at once, however many files there are.
    let statements = match &job {
        Job::Sql(sql) => session::parse(sql)?,
        Job::Command(_) | Job::Timing | Job::Shell => Vec::new(),
    };
    let window = cli.window()?;
    if let Job::Command(command) = &job
        && let Some(sql) = commands::shown_sql(command, cli, &window)?
    {
        return stdout
            .lock()
            .write_all(sql.as_bytes())
            .map_err(Error::Output)
            .map(|()| Outcome::Complete);
    }
    if cli.format.is_binary() && statements.iter().filter(|s| permit::has_result(s)).count() > 1 {
        return Err(Error::Usage("a file of this format holds one result: give one statement"));
    }
    let engine = Arc::new(Engine::new(&cli.engine, &cli.data, !cli.no_rollup)?);
    let recording = Arc::new(Recording::open(&cli.data)?);

    // The main thread plans, because it has the larger stack: plans are walked recursively.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.engine.threads {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime.enable_all().build().map_err(Error::Runtime)?;
    if matches!(job, Job::Shell) {
        return shell::run(cli, &engine, &runtime, recording, window);
    }
    let watched = Arc::clone(&engine);
    interrupt::watch(&runtime, move || watched.spilled_to());
    let tasks = runtime.metrics().num_alive_tasks();
    let answered = runtime.block_on(async {
        let work = async {
            let out = &mut stdout.lock();
            let session = session::Session::new(Arc::clone(&recording), &engine)?;
            if let Job::Sql(_) = &job {
                // Reports have the window in their SQL.
                session.restrict(&window)?;
            }
            for (at, statement) in statements.into_iter().enumerate() {
                // Two tables of Markdown are one without a line between them.
                if at > 0 && cli.format == Format::Markdown {
                    writeln!(out).map_err(Error::Output)?;
                }
                session.run(statement, cli.format, out).await?;
            }
            if matches!(job, Job::Sql(_)) && !window.is_whole() {
                out.flush().map_err(Error::Output)?;
                notes::tell_coverage(&session, &window).await?;
            }
            let mut context = commands::Context { cli, session: &session, window, out };
            let outcome = match &job {
                Job::Command(command) => commands::run(command, &mut context).await?,
                Job::Timing => {
                    timing::run(context.session, cli.format, context.out).await?;
                    Outcome::Complete
                }
                Job::Sql(_) | Job::Shell => Outcome::Complete,
            };
            context.out.flush().map_err(Error::Output)?;
            Ok::<_, Error>(outcome)
        };
        let answered = interrupt::cancellable(work).await;
        // The tasks of COPY take away what they have half written.
        let is_cancelled = matches!(answered, Err(Error::Interrupted));
        if is_cancelled || (answered.is_err() && engine.allows_files()) {
            interrupt::settle(tasks).await;
        }
        answered
    });
    // What still runs is of a query that failed or was cancelled; nobody waits for it.
    runtime.shutdown_background();
    interrupt::remove(&engine.spilled_to());
    // Also where the query failed: a file may be why.
    let skipped = recording.take_skipped();
    skipped.iter().for_each(|skipped| tell(skipped));
    let outcome = if skipped.is_empty() { Outcome::Complete } else { Outcome::Partial };
    Ok(outcome.and(answered?))
}
