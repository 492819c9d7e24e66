//! The tables of a recording, one row each.
//!
//! To add a table: a variant of [`Table`], its row in [`TABLES`] and its columns in
//! [`crate::columns`]. Folders, schemas, Parquet properties, `tcprst-analyze schema`, `verify` and
//! `compact` follow by themselves.

use arrow_schema::SchemaRef;
use parquet::file::properties::WriterPropertiesBuilder;

use crate::arrow;
use crate::columns::{
    COLUMNS, CONTAINER_COLUMNS, Column, ColumnSpec, LEDGER_COLUMNS, LOSS_COLUMNS, ROLLUP_COLUMNS,
};

/// A table that has a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    Resets,
    Losses,
    Ledger,
    Containers,
    /// The rollup of `resets`.
    ResetsPerMinute,
    /// The rollup's own rollups, of segments that `tcprst-analyze compact` has merged.
    ResetsPerHour,
    ResetsPerDay,
}

/// The program that writes the files of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The recorder, for each segment that has rows.
    Recorder,
    /// The recorder, where `--audit` is given.
    Audit,
    /// `tcprst-analyze compact`, from shorter steps.
    Compact,
}

/// What the rows of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Something that was recorded; `compact` merges such files row by row.
    Rows,
    /// Counts of `resets`, which can be made again from other files.
    Rollup,
}

/// One table.
#[derive(Debug)]
pub struct TableRow {
    pub table: Table,
    /// Name of the folder, and of the table in SQL.
    pub name: &'static str,
    /// One sentence for `tcprst-analyze schema` and the documents.
    pub doc: &'static str,
    pub maker: Maker,
    pub content: Content,
    /// Whether the name of a file bounds the times of its rows: none before the step of the rollup
    /// that its first time (less [`crate::paths::LATE_US`]) lies in, and none after its day. Readers
    /// skip files by name only here.
    pub name_bounds_times: bool,
    columns: fn() -> Vec<ColumnSpec>,
}

/// Every table, in the order of [`Table`].
pub const TABLES: [TableRow; 7] = [
    TableRow {
        table: Table::Resets,
        name: "resets",
        doc: "One row a reset.",
        maker: Maker::Recorder,
        content: Content::Rows,
        name_bounds_times: true,
        columns: || specs(COLUMNS),
    },
    TableRow {
        table: Table::Losses,
        name: "losses",
        doc: "Resets that have no row, counted by what they had in common: lost ones, and those of storms.",
        maker: Maker::Recorder,
        content: Content::Rows,
        name_bounds_times: false,
        columns: || specs(LOSS_COLUMNS),
    },
    TableRow {
        table: Table::Ledger,
        name: "ledger",
        doc: "What the audit found: packets without a row, and rows without a packet.",
        maker: Maker::Audit,
        content: Content::Rows,
        name_bounds_times: false,
        columns: || specs(LEDGER_COLUMNS),
    },
    TableRow {
        table: Table::Containers,
        name: "containers",
        doc: "Life spans of the containers that the recorder knew.",
        maker: Maker::Recorder,
        content: Content::Rows,
        name_bounds_times: false,
        columns: || specs(CONTAINER_COLUMNS),
    },
    TableRow {
        table: Table::ResetsPerMinute,
        name: "resets_per_minute",
        doc: "Resets counted by minute and by everything that has few values.",
        maker: Maker::Recorder,
        content: Content::Rollup,
        name_bounds_times: true,
        columns: || specs(ROLLUP_COLUMNS),
    },
    TableRow {
        table: Table::ResetsPerHour,
        name: "resets_per_hour",
        doc: "The same by hour.",
        maker: Maker::Compact,
        content: Content::Rollup,
        name_bounds_times: true,
        columns: || specs(ROLLUP_COLUMNS),
    },
    TableRow {
        table: Table::ResetsPerDay,
        name: "resets_per_day",
        doc: "The same by day.",
        maker: Maker::Compact,
        content: Content::Rollup,
        name_bounds_times: true,
        columns: || specs(ROLLUP_COLUMNS),
    },
];

fn specs<R>(columns: &[Column<R>]) -> Vec<ColumnSpec> {
    columns.iter().map(Column::spec).collect()
}

impl Table {
    /// Every table, in the order of [`TABLES`].
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        TABLES.iter().map(|row| row.table)
    }

    /// What [`TABLES`] says of it.
    pub const fn row(self) -> &'static TableRow {
        const ROWS: &[TableRow; 7] = &TABLES;
        &ROWS[self as usize]
    }

    /// Name of the folder, and of the table in SQL.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The table of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|table| table.name() == name)
    }

    /// The columns, whatever the type of the rows is.
    pub fn columns(self) -> Vec<ColumnSpec> {
        (self.row().columns)()
    }

    /// Schema as readers of a sealed file see it.
    pub fn schema(self) -> SchemaRef {
        arrow::schema_of(&self.columns(), |kind| kind.data_type())
    }

    /// Schema of the batches that are written: text is dictionary encoded.
    pub fn spool_schema(self) -> SchemaRef {
        arrow::schema_of(&self.columns(), |kind| kind.spool_type())
    }

    /// Parquet properties of the table's files.
    pub fn writer_properties(self) -> WriterPropertiesBuilder {
        arrow::writer_properties(&self.columns())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_table_finds_its_own_row() {
        for row in &TABLES {
            assert_eq!(row.table.row().table, row.table);
            assert_eq!(Table::from_name(row.name), Some(row.table));
        }
        assert_eq!(Table::from_name("spool"), None);
    }

    #[test]
    fn names_are_unique_lower_case_and_documented() {
        let is_name = |name: &str| {
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        for row in &TABLES {
            assert!(is_name(row.name) && row.doc.ends_with('.'), "{}", row.name);
            let columns = row.table.columns();
            let names: HashSet<_> = columns.iter().map(|column| column.name).collect();
            assert_eq!(names.len(), columns.len(), "{}", row.name);
            for column in columns {
                assert!(is_name(column.name), "{}", column.name);
                assert!(column.doc.ends_with('.'), "{}: the doc is a sentence", column.name);
            }
        }
    }

    #[test]
    fn a_table_whose_name_bounds_its_times_has_them() {
        for row in TABLES.iter().filter(|row| row.name_bounds_times) {
            assert_eq!(row.table.columns()[0].name, "time", "{}", row.name);
        }
    }
}
