//! The command line.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{CommandFactory as _, Parser};

use crate::commands::dispatch::Command;
use crate::error::{Error, sql_tables};
use crate::nearest::near;
use crate::output::format::Format;
use crate::query::engine::EngineOptions;
use crate::window::Window;

const EXAMPLES: &str = "\
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
  tcprst-analyze                     starts a shell; type .help there for its commands

Exit codes:
    0  done
    1  failed, or a file was skipped: the answer, if any, does not cover everything
    2  wrong usage
    3  not permitted to read the recording
  130  interrupted by Ctrl-C";

/// What follows the options: the tables, examples and exit codes.
fn after_help() -> String {
    let mut text = "Tables:\n".to_owned();
    let tables = sql_tables().map(|table| (table.name(), table.row().doc));
    for (name, doc) in tables.chain([("files", "One row per recorded segment.")]) {
        text.push_str(&format!("  {name:<17}  {doc}\n"));
    }
    text.push('\n');
    text.push_str(EXAMPLES);
    text
}

/// SQL over recorded TCP resets.
///
/// Reads the files that tcprst-record writes; only `compact` changes them. Several statements,
/// separated by `;`, run in order. A file that cannot be read is skipped and reported on stderr.
/// Without SQL, on a terminal, a shell starts.
#[derive(Debug, Parser)]
#[command(name = "tcprst-analyze", version, after_help = after_help(), max_term_width = 100)]
#[command(
    override_usage = "tcprst-analyze [OPTIONS] [SQL]\n       tcprst-analyze [OPTIONS] <COMMAND>"
)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Folder of a recording; can be repeated
    #[arg(
        long,
        value_name = "DIR",
        env = "TCPRST_DATA",
        default_value = "/var/log/rst",
        global = true
    )]
    pub(crate) data: Vec<PathBuf>,

    /// Format of the result
    #[arg(long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) engine: EngineOptions,

    /// Only resets at or after this time, UTC: `2h`, `90m`, `3d` (ago, to the whole minute),
    /// `now`, `today`, `yesterday 14:00`, `14:00`, `2026-11-25 14:00`, RFC 3339
    #[arg(long, value_name = "TIME", global = true)]
    pub(crate) since: Option<String>,

    /// Only resets before this time, UTC, in the same forms
    #[arg(long, value_name = "TIME", global = true)]
    pub(crate) until: Option<String>,

    /// Count the resets themselves even where a rollup has the same answer
    #[arg(long, global = true, hide = true)]
    pub(crate) no_rollup: bool,

    /// Read the SQL from a file; `-` is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub(crate) file: Option<PathBuf>,

    /// Run each line of stdin as a statement, and print on stderr how long it took
    #[arg(long, hide = true, conflicts_with_all = ["sql", "file"])]
    pub(crate) timing: bool,

    /// SQL to run; without it and without --file, SQL is read from stdin, or a shell starts if
    /// stdin is a terminal
    #[arg(value_name = "SQL")]
    pub(crate) sql: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The work that the arguments ask for.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Sql(String),
    Command(Command),
    /// The lines of stdin, one by one, each with its time.
    Timing,
    /// Statements that a user types at a terminal.
    Shell,
}

impl Cli {
    /// The part of the recording that the query covers.
    pub(crate) fn window(&self, now: DateTime<Utc>) -> Result<Window, Error> {
        Ok(Window::parse(self.since.as_deref(), self.until.as_deref(), now)?)
    }

    /// The work that the arguments ask for. Reads the SQL from the file or from stdin.
    pub(crate) fn job(&self) -> Result<Job, Error> {
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
                    // Without a prompt, waiting for input would look like hanging. `-f -` reads
                    // stdin all the same.
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

/// The error of SQL, with the command that it may have been meant to be if it is a single word.
pub(super) fn or_a_command(error: Error, sql: &str) -> Error {
    let word = sql.trim();
    if word.is_empty() || !word.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return error;
    }
    let program = Cli::command();
    let commands = near(word, program.get_subcommands().map(clap::Command::get_name));
    let Some(command) = commands.first().map(|&name| name.to_owned()) else { return error };
    Error::NotSql { error: Box::new(error), command }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_command_is_recognized() {
        for (sql, command) in [
            ("sumary", Some("summary")),
            ("reprot", Some("report")),
            ("tops", Some("top")),
            ("select", None),
            ("select 1 frm x", None),
            ("xyzzy", None),
        ] {
            let text = or_a_command(Error::NoStatement, sql).to_string();
            let asked = command.map(|name| format!(": did you mean the command '{name}'?"));
            assert!(text.ends_with(&*asked.unwrap_or_else(|| "in the SQL".to_owned())), "{text}");
        }
    }

    #[test]
    fn a_subcommand_is_distinguished_from_sql() {
        let cli = Cli::parse_from(["tcprst-analyze", "schema"]);
        assert!(matches!(cli.job().unwrap(), Job::Command(Command::Schema)));
        let cli = Cli::parse_from(["tcprst-analyze", "select 1"]);
        assert!(matches!(cli.job().unwrap(), Job::Sql(sql) if sql == "select 1"));
        let cli = Cli::parse_from(["tcprst-analyze", "--data", "x", "files", "--format", "csv"]);
        assert!(matches!(cli.command, Some(Command::Files(_))));
        assert_eq!((cli.format, cli.data), (Format::Csv, vec![PathBuf::from("x")]));
    }
}
