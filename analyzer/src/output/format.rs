//! The formats of a result.

use clap::ValueEnum;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people; control characters are escaped
    Table,
    /// RFC 4180 with a header
    Csv,
    /// A header and a line a row; tab, line end and backslash are written \t, \n, \r and \\
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
    /// A table of GitHub's Markdown; nothing in a value becomes markup
    Markdown,
    /// A Parquet file, with types
    Parquet,
    /// An Arrow IPC stream, with types
    Arrow,
}

impl Format {
    /// Whether it is for programs alone: one result, and no terminal.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}
