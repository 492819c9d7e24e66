//! The errors that can end a run early. Each is one line and has an exit code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use datafusion::sql::sqlparser::parser::ParserError;
use tcprst_schema::tables::{Maker, Table};
use tcprst_schema::writer::WriteError;

use crate::window::WindowError;

/// The tables of files that SQL finds by name. The table `files` is made of footers and not listed
/// here. The rollups by hour and by day have no name in SQL: queries of `resets` use them. `resets`
/// and its rollup come first.
pub(crate) fn sql_tables() -> impl Iterator<Item = Table> {
    let mut tables: Vec<Table> =
        Table::all().filter(|table| table.row().maker != Maker::Compact).collect();
    tables.sort_by_key(|table| !table.row().name_bounds_times);
    tables.into_iter()
}

/// Name of the catalog that holds our tables. Error messages leave it out.
pub(crate) const CATALOG: &str = "tcprst";

/// The reason why there is no answer, or no complete one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} (see tcprst-analyze --help)")]
    Usage(&'static str),
    #[error("cannot read the SQL from {from}: {source}")]
    ReadSql { from: String, source: io::Error },
    #[error("no statement in the SQL")]
    NoStatement,
    #[error("cannot read {}: {source}{}", .path.display(), no_folder(.source))]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "no recorded files in {dirs}: nothing was recorded there yet, or tcprst-record --out names \
         another folder"
    )]
    NothingRecorded { dirs: String },
    #[error("{what} refused: tcprst-analyze only reads the recording (--allow-files permits it)")]
    ReadOnly { what: String },
    #[error(
        "file '{path}' not found in the recording: tcprst-analyze only reads the recording \
         (--allow-files permits other files)"
    )]
    OtherFile { path: String },
    #[error("{what} refused: {path} is in the recording, which is never changed")]
    Recorded { what: &'static str, path: String },
    #[error("cannot spill to {}: {source}", .path.display())]
    SpillDir { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
    #[error("cannot use the terminal: {0}")]
    Terminal(String),
    #[error("{}", essence(.0))]
    Query(#[from] DataFusionError),
    #[error("{error}: did you mean the command '{command}'?")]
    NotSql { error: Box<Error>, command: String },
    #[error("cannot print the result: {0}")]
    Encode(#[from] ArrowError),
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("cannot write {}: {source}", .path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("cannot make the page: {0}")]
    Page(serde_json::Error),
    #[error(transparent)]
    Compact(#[from] CompactError),
    #[error("cannot start worker threads: {0}")]
    Runtime(io::Error),
}

/// The form of a time that names an event.
pub(crate) const EVENT_TIME: &str =
    ": an event's time is RFC 3339 with seconds, such as 2026-11-30T19:59:46Z";

/// A question that a report cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("cannot count by '{name}': {hint}")]
    Dimension { name: String, hint: String },
    #[error("no cause is called '{name}': {hint}")]
    Cause { name: String, hint: String },
    #[error("no event {key} in {place}{hint}")]
    NoEvent { key: String, place: &'static str, hint: &'static str },
    #[error("no event {0}{EVENT_TIME}")]
    EventTime(String),
    #[error("a window must be at least a second and at most a year long")]
    Step,
    #[error("diff compares two windows: give SINCE..UNTIL twice, or --at TIME")]
    TwoWindows,
    #[error("diff takes its windows as arguments, not from --since and --until")]
    OwnWindows,
}

/// The reason why a folder was not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the file system of {path} cannot exchange two folders in one step (renameat2 with \
         RENAME_EXCHANGE): compact a copy on ext4, xfs, btrfs or tmpfs",
        path = path.display()
    )]
    NoExchange { path: PathBuf },
    #[error("{dir} is being compacted by another tcprst-analyze: wait for it", dir = dir.display())]
    Locked { dir: PathBuf },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot read {path}: {reason}", path = path.display())]
    Read { path: PathBuf, reason: String },
}

impl CompactError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn read(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Read { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Exit code after Ctrl-C, as shells report a process that SIGINT ended.
pub(crate) const INTERRUPTED: u8 = 130;

impl Error {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Report(ReportError::NoEvent { .. }) => ExitCode::from(1),
            Error::Usage(_) | Error::Window(_) | Error::Report(_) | Error::SpillDir { .. } => {
                ExitCode::from(2)
            }
            Error::Interrupted => ExitCode::from(INTERRUPTED),
            Error::Folder { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitCode::from(3)
            }
            Error::Compact(CompactError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ExitCode::from(3)
            }
            _ => ExitCode::from(1),
        }
    }
}

/// What to do if the folder of a recording is none.
fn no_folder(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ": give the folder of a recording with --data or TCPRST_DATA"
        }
        _ => "",
    }
}

/// The part of DataFusion's error that the author of a query needs, in one line.
///
/// The wrapping layers say where in DataFusion it happened, and after an unknown column come the
/// names of all others: neither helps.
fn essence(error: &DataFusionError) -> String {
    if let Some(text) = disk_full(error) {
        return text;
    }
    let root = error.find_root();
    let text = match root {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
                format!("SQL: {text}")
            }
            ParserError::RecursionLimitExceeded => "SQL: nested too deeply".to_owned(),
        },
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            // The first line has the suggestion; the second lists every column.
            not_found @ SchemaError::FieldNotFound { .. } => {
                let text = not_found.to_string();
                let first = text.lines().next().unwrap_or_default().to_owned();
                format!("{first} (tcprst-analyze schema lists the columns)")
            }
            other => other.to_string(),
        },
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text) => text.clone(),
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ParquetError(error) => error.to_string(),
        DataFusionError::ObjectStore(error) => match error.as_ref() {
            // The recorder or `compact` removed it: neither waits for readers.
            object_store::Error::NotFound { path, .. } => {
                format!("/{path} was removed while the query ran: run it again")
            }
            object_store::Error::NotSupported { source } => source.to_string(),
            other => other.to_string(),
        },
        DataFusionError::IoError(error) => error.to_string(),
        other => other.to_string(),
    };
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    // DataFusion reports wrong arguments of a function as an internal error that asks for a bug
    // report.
    let text = text.split("This issue was likely caused by a bug").next().unwrap_or_default();
    let text = text.trim_start_matches("Internal error: ");
    // The user wrote the table's name without our catalog.
    let text = text.replace(&format!("{CATALOG}.public."), "");
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.starts_with("table '") && text.ends_with("' not found") {
        let names: Vec<&str> = sql_tables().map(Table::name).collect();
        text.push_str(&format!(" (there are {} and files)", names.join(", ")));
    }
    text
}

/// The limit that a query has reached, and the option that raises it.
fn exhausted(text: &str) -> String {
    // The first sentence has the numbers; others name DataFusion's own settings.
    let what = text.lines().next().unwrap_or_default().trim_end_matches('.');
    if what.contains("disk") {
        return format!("the query spills too much to disk ({what}): raise --memory-limit");
    }
    format!(
        "the query needs more memory than --memory-limit allows ({what}): raise it, or narrow the \
         query with --since or where"
    )
}

/// The message for a full disk. While a query runs, only spilling and COPY write files, and COPY
/// goes through an object store.
fn disk_full(error: &DataFusionError) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<object_store::Error>() {
            return None;
        }
        let full = error
            .downcast_ref::<io::Error>()
            .filter(|error| error.kind() == io::ErrorKind::StorageFull);
        if let Some(full) = full {
            return Some(format!(
                "no room on disk to spill ({full}): raise --memory-limit, or name a folder with \
                 free space with --spill-dir"
            ));
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use datafusion::common::{Column, plan_datafusion_err};

    use super::*;

    #[test]
    fn an_unknown_column_is_one_line_with_the_suggestion() {
        let error = DataFusionError::SchemaError(
            Box::new(SchemaError::FieldNotFound {
                field: Box::new(Column::new_unqualified("callr")),
                valid_fields: vec![
                    Column::new(Some("resets"), "caller"),
                    Column::new(Some("resets"), "time"),
                ],
            }),
            Box::new(None),
        )
        .context("somewhere");
        let text = Error::from(error).to_string();
        assert!(text.starts_with("No field named callr. Did you mean 'resets.caller'?"), "{text}");
        assert!(!text.contains("resets.time") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn layers_line_ends_and_the_catalog_go() {
        let error =
            plan_datafusion_err!("table '{CATALOG}.public.x' not found.\nSorry").context("c");
        assert_eq!(Error::from(error).to_string(), "table 'x' not found. Sorry");
    }
}
