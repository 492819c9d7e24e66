//! The formats of a result.

use clap::ValueEnum;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people; control characters are escaped
    Table,
    /// RFC 4180 with a header
    Csv,
    /// A header, then one line per row; tab, line end and backslash are written \t, \n, \r, \\
    Tsv,
    /// One array of objects
    Json,
    /// One object per line
    Ndjson,
    /// A GitHub Markdown table; nothing in a value becomes markup
    Markdown,
    /// A Parquet file, with types
    Parquet,
    /// An Arrow IPC stream, with types
    Arrow,
}

impl Format {
    /// Whether only programs read it: it holds one result and is not for a terminal.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}
