//! `tcprst-analyze schema`: the columns of every table, from the tables that define them.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use tcprst_schema::columns::{Column, ColumnSpec, Encoding, Kind};
use tcprst_schema::tables::Table;

use crate::error::{Error, sql_tables};
use crate::outcome::Outcome;
use crate::output;
use crate::output::format::Format;
use crate::recording::files::FILE_COLUMNS;

const HEADER: [&str; 7] = ["table", "column", "type", "null", "encoding", "reason", "doc"];

pub(crate) fn run(format: Format, out: &mut dyn Write) -> Result<Outcome, Error> {
    output::batch(format, &columns(None)?, out)?;
    Ok(Outcome::Complete)
}

/// One row for each column of all tables, or of one.
pub(crate) fn columns(of: Option<&str>) -> Result<RecordBatch, ArrowError> {
    let tables = sql_tables().map(|table: Table| (table.name(), table.columns()));
    let files = ("files", FILE_COLUMNS.iter().map(Column::spec).collect());
    let mut rows: Vec<[&'static str; HEADER.len()]> = tables
        .chain([files])
        .flat_map(|(table, columns)| columns.into_iter().map(move |column| describe(table, column)))
        .collect();
    rows.retain(|row| of.is_none_or(|table| table == row[0]));

    let fields =
        HEADER.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect::<Vec<_>>();
    let columns = (0..HEADER.len())
        .map(|at| Arc::new(rows.iter().map(|row| Some(row[at])).collect::<StringArray>()) as _)
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn describe(table: &'static str, column: ColumnSpec) -> [&'static str; HEADER.len()] {
    let kind = match column.kind {
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Boolean => "boolean",
        Kind::Text => "text",
        Kind::Timestamp => "timestamp(us, UTC)",
    };
    let encoding = match column.encoding {
        Encoding::Delta => "delta",
        Encoding::Dictionary => "dictionary",
        Encoding::Plain => "plain",
    };
    let null = if column.nullable { "null" } else { "required" };
    [table, column.name, kind, null, encoding, column.encoding_reason, column.doc]
}
