//! The command line.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::{Parser, Subcommand};

use crate::commands;
use crate::error::Error;
use crate::output::format::Format;
use crate::query::engine::EngineOptions;
use crate::window::Window;

const EXAMPLES: &str = "\
Tables:
  resets             one row per TCP reset, those of the last seconds included
  resets_per_minute  how many had what in common; counts over resets use it by themselves
  losses             resets that were seen but not recorded
  ledger             RST packets that left, against what was recorded (tcprst-record --audit)
  containers         containers and their life spans
  files              one row per recorded segment

Examples:
  tcprst-analyze \"select caller, count(*) from resets group by caller order by 2 desc\"
  tcprst-analyze \"select date_trunc('hour', time) as hour, cause, count(*)
                  from resets group by hour, cause order by hour\"
  tcprst-analyze --format ndjson \"select * from resets where dst_port = 5432\" | jq .
  tcprst-analyze --data /srv/a/rst --data /srv/b/rst -f report.sql --format csv > report.csv
  tcprst-analyze summary --by container,port --since 2h
  tcprst-analyze explain app_close_unread
  tcprst-analyze report --html resets.html
  tcprst-analyze schema
  tcprst-analyze                     a shell; .help in it lists its commands

Exit codes:
  0  done
  1  failed, or a file was skipped: the answer, if any, is not over everything
  2  wrong usage
  3  not permitted to read the recording";

/// SQL over recorded TCP resets.
///
/// Reads what tcprst-record wrote; only `compact` changes its files. Several statements,
/// separated by `;`, run in order. A file that cannot be read is told on stderr and skipped.
/// Without SQL, on a terminal, a shell starts.
#[derive(Debug, Parser)]
#[command(name = "tcprst-analyze", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(
    override_usage = "tcprst-analyze [OPTIONS] [SQL]\n       tcprst-analyze [OPTIONS] <COMMAND>"
)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Folder of a recording; can be given several times
    #[arg(
        long,
        value_name = "DIR",
        env = "TCPRST_DATA",
        default_value = "/var/log/rst",
        global = true
    )]
    pub data: Vec<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Table, global = true)]
    pub format: Format,

    #[command(flatten)]
    pub engine: EngineOptions,

    /// Only what happened since then, UTC: `2h`, `90m`, `3d` (ago, to the whole minute), `now`,
    /// `today`, `yesterday 14:00`, `14:00`, `2026-11-25 14:00`, RFC 3339
    #[arg(long, value_name = "TIME", global = true)]
    pub since: Option<String>,

    /// Only what happened before then, UTC, in the same forms
    #[arg(long, value_name = "TIME", global = true)]
    pub until: Option<String>,

    /// Count the resets themselves where the rollup could answer; the answer is the same
    #[arg(long, global = true, hide = true)]
    pub no_rollup: bool,

    /// Read the SQL from a file; `-` is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,

    /// Run the lines of stdin as statements, and say on stderr how long each took
    #[arg(long, hide = true, conflicts_with_all = ["sql", "file"])]
    pub timing: bool,

    /// The SQL; without it and without --file, it is read from stdin, or a shell starts where
    /// that is a terminal
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One module each, in `commands/`.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Columns of every table: type, encoding and meaning
    Schema(commands::schema::Args),
    /// Merge small segments into large ones
    Compact(commands::compact::Args),
    /// Recorded segments, oldest first, and whether each is whole
    Files(commands::files::Args),
    /// Resets that were seen but not recorded, and what is known of them
    Losses(commands::losses::Args),
    /// Counts by cause, container, port, peer network, ... in any mix, and by time
    Summary(commands::summary::Args),
    /// Who has the most resets: containers, services, peers, processes, callers
    Top(commands::top::Args),
    /// Resets over time, quiet times included
    Timeline(commands::timeline::Args),
    /// What changed between two windows, and how sure that is
    Diff(commands::diff::Args),
    /// What a cause means, or what happened in one event, and what to check next
    Explain(commands::explain::Args),
    /// Kernel stacks as folded lines, or as a flame graph
    Flame(commands::flame::Args),
    /// One HTML page with charts, tables and filters; it loads nothing and prints well
    Report(commands::report::Args),
    /// Read every file wholly and say which are damaged or do not add up
    Verify(commands::verify::Args),
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Job {
    Sql(String),
    Command(Command),
    /// The lines of stdin, one by one, with the time of each.
    Timing,
    /// Somebody sits at a terminal.
    Shell,
}

impl Cli {
    /// The part of the recording that is asked about.
    pub fn window(&self) -> Result<Window, Error> {
        Ok(Window::parse(self.since.as_deref(), self.until.as_deref(), Utc::now())?)
    }

    /// What the arguments ask for; reads the SQL from where they say.
    pub fn job(&self) -> Result<Job, Error> {
        if self.command.is_some() && (self.sql.is_some() || self.file.is_some()) {
            return Err(Error::Usage("give either SQL or a subcommand"));
        }
        match (&self.command, &self.sql, &self.file) {
            (None, None, None) if self.timing => Ok(Job::Timing),
            (Some(command), ..) => Ok(Job::Command(command.clone())),
            (None, Some(sql), _) => Ok(Job::Sql(sql.clone())),
            (None, None, Some(path)) if path != Path::new("-") => fs::read_to_string(path)
                .map(Job::Sql)
                .map_err(|source| Error::ReadSql { from: path.display().to_string(), source }),
            (None, None, given) => {
                if given.is_none() && io::stdin().is_terminal() {
                    // Without a prompt, waiting for somebody to type would look like hanging;
                    // `-f -` asks for it.
                    if !io::stdout().is_terminal() {
                        return Err(Error::Usage("no SQL given"));
                    }
                    return Ok(Job::Shell);
                }
                let mut sql = String::new();
                io::stdin()
                    .read_to_string(&mut sql)
                    .map_err(|source| Error::ReadSql { from: "stdin".into(), source })?;
                Ok(Job::Sql(sql))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_subcommand_is_told_from_sql() {
        let cli = Cli::parse_from(["tcprst-analyze", "schema"]);
        assert!(matches!(cli.job().unwrap(), Job::Command(Command::Schema(_))));
        let cli = Cli::parse_from(["tcprst-analyze", "select 1"]);
        assert!(matches!(cli.job().unwrap(), Job::Sql(sql) if sql == "select 1"));
        let cli = Cli::parse_from(["tcprst-analyze", "--data", "x", "files", "--format", "csv"]);
        assert!(matches!(cli.command, Some(Command::Files(_))));
        assert_eq!((cli.format, cli.data), (Format::Csv, vec![PathBuf::from("x")]));
    }
}
