//! One run: from arguments to the last line on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use datafusion::sql::parser::Statement;
use tokio::runtime::Runtime;

use super::cli::{Cli, Job, or_a_command};
use super::timing;
use crate::commands::dispatch::Command;
use crate::commands::{Context, Request};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::output::format::Format;
use crate::output::stderr::tell;
use crate::query::engine::Engine;
use crate::query::session::{self, Session};
use crate::query::{interrupt, permit};
use crate::recording::Recording;
use crate::reports::notes;
use crate::shell;

/// Does what the arguments ask for, with the result on stdout and notes on stderr.
pub fn run(cli: &Cli) -> Result<Outcome, Error> {
    match answer(cli) {
        // The reader of the pipe (`| head`) has all that it wanted.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Outcome::Complete)
        }
        // The user who pressed Ctrl-C needs no message.
        Err(Error::Interrupted) => Ok(Outcome::Interrupted),
        result => result,
    }
}

fn answer(cli: &Cli) -> Result<Outcome, Error> {
    let job = cli.job()?;
    if cli.format.is_binary() && io::stdout().is_terminal() {
        return Err(Error::Usage("this format is not for a terminal: add > FILE"));
    }
    if let Job::Command(command) = &job
        && let Some(done) = command.run_without_session(&cli.data, cli.engine.threads, cli.format)
    {
        return done;
    }
    // Before the files are opened: a mistake in the SQL is reported at once, however many there
    // are.
    let statements = match &job {
        Job::Sql(sql) => session::parse(sql).map_err(|error| or_a_command(error, sql))?,
        Job::Command(_) | Job::Timing | Job::Shell => Vec::new(),
    };
    let now = Utc::now();
    let request = Request { window: cli.window(now)?, format: cli.format, now };
    if let Job::Command(command) = &job
        && let Some(sql) = command.shown_sql(&request)?
    {
        io::stdout().lock().write_all(sql.as_bytes()).map_err(Error::Output)?;
        return Ok(Outcome::Complete);
    }
    if cli.format.is_binary() && statements.iter().filter(|s| permit::has_result(s)).count() > 1 {
        return Err(Error::Usage("a file of this format holds one result: give one statement"));
    }
    let engine = Arc::new(Engine::new(&cli.engine, &cli.data, !cli.no_rollup)?);
    let recording = Arc::new(Recording::open(&cli.data)?);
    let runtime = start_runtime(cli.engine.threads)?;
    let work = match job {
        Job::Sql(_) => Work::Sql(statements),
        Job::Command(command) => Work::Command(command),
        Job::Timing => Work::Timing,
        Job::Shell => {
            let options =
                shell::ShellOptions { dirs: &cli.data, format: cli.format, window: request.window };
            return shell::run(&options, &engine, &runtime, recording);
        }
    };
    finish(runtime, &engine, &recording, work.run(&request, &cli.data, &engine, &recording))
}

/// The main thread plans, because it has the larger stack: plans are walked recursively.
fn start_runtime(threads: Option<NonZeroUsize>) -> Result<Runtime, Error> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.get());
    }
    runtime.enable_all().build().map_err(Error::Runtime)
}

/// A job that needs the recording, except the shell.
enum Work {
    Sql(Vec<Statement>),
    Command(Command),
    Timing,
}

impl Work {
    /// Prints the answer.
    async fn run(
        self,
        request: &Request,
        dirs: &[PathBuf],
        engine: &Arc<Engine>,
        recording: &Arc<Recording>,
    ) -> Result<Outcome, Error> {
        let out = &mut io::stdout().lock();
        let session = Session::new(Arc::clone(recording), engine)?;
        let outcome = match self {
            Work::Sql(statements) => {
                run_statements(&session, statements, request, out).await?;
                Outcome::Complete
            }
            Work::Command(command) => {
                let (session, request) = (&session, *request);
                command.run(&mut Context { session, request, dirs, out: &mut *out }).await?
            }
            Work::Timing => {
                timing::run(&session, request.format, out).await?;
                Outcome::Complete
            }
        };
        out.flush().map_err(Error::Output)?;
        Ok(outcome)
    }
}

/// Runs SQL over a window of the recording. Reports have the window in their SQL instead.
async fn run_statements(
    session: &Session,
    statements: Vec<Statement>,
    request: &Request,
    out: &mut dyn io::Write,
) -> Result<(), Error> {
    session.restrict(&request.window)?;
    for (at, statement) in statements.into_iter().enumerate() {
        // Without an empty line between them, two tables of Markdown are one.
        if at > 0 && request.format == Format::Markdown {
            writeln!(out).map_err(Error::Output)?;
        }
        session.run(statement, request.format, out).await?;
    }
    if !request.window.is_whole() {
        out.flush().map_err(Error::Output)?;
        notes::report_coverage(session, &request.window).await?;
    }
    Ok(())
}

/// Waits for the answer or for Ctrl-C, removes temporary files and reports skipped files.
fn finish(
    runtime: Runtime,
    engine: &Arc<Engine>,
    recording: &Recording,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    let watched = Arc::clone(engine);
    interrupt::watch(&runtime, move || watched.spilled_to());
    let tasks = runtime.metrics().num_alive_tasks();
    let answered = runtime.block_on(async {
        let answered = interrupt::cancellable(work).await;
        // The tasks of COPY remove the files that they have half written.
        let is_cancelled = matches!(answered, Err(Error::Interrupted));
        if is_cancelled || (answered.is_err() && engine.allows_files()) {
            interrupt::settle(tasks).await;
        }
        answered
    });
    // Tasks that still run belong to a query that failed or was cancelled: nothing waits for them.
    runtime.shutdown_background();
    interrupt::remove(&engine.spilled_to());
    if answered.is_ok() {
        notes::report_left_out(recording.take_left_out());
    }
    // Also after an error: a skipped file may be the reason.
    let skipped = recording.take_skipped();
    skipped.iter().for_each(|skipped| tell(skipped));
    let outcome = if skipped.is_empty() { Outcome::Complete } else { Outcome::Partial };
    Ok(outcome.and(answered?))
}
