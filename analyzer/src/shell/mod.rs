//! SQL at a terminal.
//!
//! The recording is opened again for each statement, because a recorder may be running. Views and
//! tables (`create view`, with `--allow-files`) and settings of the user are kept.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tcprst_schema::tables::Table;
use tokio::runtime::Runtime;

use crate::commands::schema;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::output;
use crate::output::format::Format;
use crate::output::numbers::counted;
use crate::output::stderr::{say, tell};
use crate::query::engine::Engine;
use crate::query::interrupt;
use crate::query::session::{self, Session};
use crate::recording::Recording;
use crate::reports::notes;
use crate::window::Window;

mod complete;
mod dot;
mod history;
mod input;
mod prompt;

use complete::{Helper, Names};
use dot::Dot;
use prompt::Prompt;

/// The arguments that a shell uses.
pub(crate) struct ShellOptions<'a> {
    /// The folders of the recording.
    pub(crate) dirs: &'a [PathBuf],
    pub(crate) format: Format,
    pub(crate) window: Window,
}

/// Asks for statements and runs them until the user leaves.
pub(crate) fn run(
    options: &ShellOptions<'_>,
    engine: &Arc<Engine>,
    runtime: &Runtime,
    recording: Arc<Recording>,
) -> Result<Outcome, Error> {
    let segments = recording.files(Table::Resets).len() + recording.live().len();
    let session = runtime.block_on(async { Session::new(Arc::clone(&recording), engine) })?;
    session.restrict(&options.window)?;
    let names = runtime.block_on(Names::new(&session));
    let mut prompt = Prompt::new(Helper::new(names, engine.allows_files()))?;
    say(&format_args!(
        "tcprst-analyze {}: {}. Statements end with `;`, .help lists commands, Ctrl-D exits.",
        env!("CARGO_PKG_VERSION"),
        counted(segments, "segment"),
    ));
    let mut shell = Shell {
        dirs: options.dirs,
        engine,
        runtime,
        recording,
        session,
        window: options.window,
        format: if options.format.is_binary() { Format::Table } else { options.format },
        is_timed: true,
        reported: HashSet::new(),
        is_over: false,
    };
    while !shell.is_over {
        let Some(text) = prompt.read()? else { break };
        let taken = shell.take(&text);
        shell.report_skipped();
        match taken {
            Ok(()) => {}
            Err(Error::Interrupted) => say(&"cancelled"),
            Err(Error::Output(error)) => return Err(Error::Output(error)),
            Err(error) => say(&format_args!("Error: {error}")),
        }
        prompt.set_names(runtime.block_on(Names::new(&shell.session)));
    }
    Ok(Outcome::Complete)
}

struct Shell<'a> {
    dirs: &'a [PathBuf],
    engine: &'a Arc<Engine>,
    runtime: &'a Runtime,
    recording: Arc<Recording>,
    session: Session,
    window: Window,
    format: Format,
    is_timed: bool,
    /// Skipped files that were already reported.
    reported: HashSet<String>,
    is_over: bool,
}

impl Shell<'_> {
    /// Runs one input: a dot command or SQL.
    fn take(&mut self, text: &str) -> Result<(), Error> {
        if text.starts_with('.') {
            return match Dot::parse(text) {
                Ok(command) => self.command(command),
                Err(problem) => {
                    say(&format_args!("Error: {problem}"));
                    Ok(())
                }
            };
        }
        // Users try these first.
        if matches!(text.trim_end_matches(';').trim_end(), "quit" | "exit") {
            self.is_over = true;
            return Ok(());
        }
        self.sql(text)
    }

    fn command(&mut self, command: Dot) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        match command {
            Dot::Help => out.write_all(dot::HELP.as_bytes()).map_err(Error::Output)?,
            Dot::Quit => self.is_over = true,
            Dot::Mode(format) => self.format = format,
            Dot::Timing(is_timed) => self.is_timed = is_timed,
            Dot::Refresh => self.refresh()?,
            Dot::Tables => {
                drop(out);
                self.refresh()?;
                self.query(
                    "select table_name as \"table\", table_type as type \
                     from information_schema.tables where table_schema = 'public' order by 1",
                )?;
            }
            Dot::Schema(None) => output::batch(self.format, &schema::columns(None)?, &mut out)?,
            Dot::Schema(Some(table)) => {
                let columns = schema::columns(Some(&table))?;
                if columns.num_rows() > 0 {
                    output::batch(self.format, &columns, &mut out)?;
                } else {
                    drop(out);
                    self.query(&format!("describe \"{}\"", table.replace('"', "\"\"")))?;
                }
            }
            Dot::Read(path) => {
                drop(out);
                let text = fs::read_to_string(&path).map_err(|source| Error::ReadSql {
                    from: path.display().to_string(),
                    source,
                })?;
                self.sql(&text)?;
            }
        }
        Ok(())
    }

    /// Runs the statements of a text, each over the recording as it is then, up to the first
    /// failure.
    fn sql(&mut self, text: &str) -> Result<(), Error> {
        for statement in session::parse(text)? {
            let started = Instant::now();
            self.refresh()?;
            let work = async {
                let mut out = io::stdout().lock();
                let rows = self.session.answer(statement, self.format, &mut out).await?;
                out.flush().map_err(Error::Output)?;
                Ok(rows)
            };
            let rows = self.runtime.block_on(interrupt::cancellable(work))?;
            self.report_size(rows, started.elapsed());
        }
        Ok(())
    }

    /// Runs a query of a dot command, without the number of rows and the time.
    fn query(&self, sql: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let work = self.session.run_sql(sql, self.format, &mut out);
        self.runtime.block_on(interrupt::cancellable(work))
    }

    fn report_size(&self, rows: Option<u64>, took: Duration) {
        let rows = rows.map(|rows| counted(rows, "row"));
        let time = self.is_timed.then(|| format!("{:.3} s", took.as_secs_f64()));
        let parts: Vec<String> = rows.into_iter().chain(time).collect();
        if !parts.is_empty() {
            say(&format_args!("({})", parts.join(", ")));
        }
    }

    /// Opens the recording again.
    fn refresh(&mut self) -> Result<(), Error> {
        let recording = Arc::new(Recording::open(self.dirs)?);
        let now = Arc::clone(&recording);
        let work = Session::again(now, self.engine, &self.window, &self.session);
        self.session = self.runtime.block_on(work)?;
        self.recording = recording;
        Ok(())
    }

    /// Reports what the last answer left out: counted resets, and skipped files, each file once per
    /// session.
    fn report_skipped(&mut self) {
        notes::report_left_out(self.recording.take_left_out());
        for skipped in self.recording.take_skipped() {
            if self.reported.insert(skipped.to_string()) {
                tell(&skipped);
            }
        }
    }
}
