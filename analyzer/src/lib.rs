//! SQL over recorded TCP resets.
//!
//! The folders of this crate are layers: each uses its own modules and those of lower layers only.
//! From the top:
//!
//! 1. [`app`] turns the arguments into a job and runs it: SQL text (an argument, a file or stdin),
//!    a subcommand, or a [`shell`] that asks for one statement after the other.
//! 2. [`commands`] holds the subcommands. Most are a report: SQL with the arguments put in.
//! 3. [`reports`] has that SQL, what reports share, and the notes about what an answer leaves out.
//!    [`html`] makes the page of `report --html`. [`compact`] merges small segments.
//! 4. [`query`] plans SQL, refuses whatever would write, and runs it in DataFusion with a limit of
//!    memory; two optimizer rules answer from rollups and group by dictionary numbers.
//! 5. [`recording`] finds the segments, sealed and live, reads their footers, reports why it skips
//!    a file, and makes one DataFusion table of the files of each table.
//! 6. [`output`] encodes results batch by batch, escapes recorded text, and shows the progress of
//!    a query and messages on stderr.
//! 7. [`functions`] are the SQL functions that DataFusion does not have.
//! 8. [`error`] holds everything that can end a run early, with its exit code; [`outcome`] says how
//!    far an answer goes; [`window`] reads `--since` and `--until`; [`nearest`] finds the name that
//!    a wrong one was meant to be.

mod app;
mod commands;
mod compact;
mod error;
mod functions;
mod html;
mod nearest;
mod outcome;
mod output;
mod query;
mod recording;
mod reports;
mod shell;
mod window;

pub use app::cli::Cli;
pub use app::run::run;
pub use error::Error;
pub use outcome::Outcome;
pub use output::stderr::tell;
