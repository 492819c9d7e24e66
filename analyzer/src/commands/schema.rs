//! `tcprst-analyze schema`: the columns of every table, from the tables that define them.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use tcprst_schema::columns::{
    COLUMNS, CONTAINER_COLUMNS, Column, Encoding, Kind, LEDGER_COLUMNS, LOSS_COLUMNS,
    ROLLUP_COLUMNS,
};

use crate::error::Error;
use crate::outcome::Outcome;
use crate::output;
use crate::output::format::Format;
use crate::recording::files::FILE_COLUMNS;

const HEADER: [&str; 7] = ["table", "column", "type", "null", "encoding", "reason", "doc"];

pub fn run(format: Format, out: &mut dyn Write) -> Result<Outcome, Error> {
    output::batch(format, &columns(None)?, out)?;
    Ok(Outcome::Complete)
}

/// One row for each column of all tables, or of one.
pub(crate) fn columns(of: Option<&str>) -> Result<RecordBatch, ArrowError> {
    let mut rows: Vec<[&'static str; HEADER.len()]> = Vec::new();
    rows.extend(COLUMNS.iter().map(|column| describe("resets", column)));
    rows.extend(ROLLUP_COLUMNS.iter().map(|column| describe("resets_per_minute", column)));
    rows.extend(LOSS_COLUMNS.iter().map(|column| describe("losses", column)));
    rows.extend(LEDGER_COLUMNS.iter().map(|column| describe("ledger", column)));
    rows.extend(CONTAINER_COLUMNS.iter().map(|column| describe("containers", column)));
    rows.extend(FILE_COLUMNS.iter().map(|column| describe("files", column)));
    rows.retain(|row| of.is_none_or(|table| table == row[0]));

    let fields =
        HEADER.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect::<Vec<_>>();
    let columns = (0..HEADER.len())
        .map(|at| Arc::new(rows.iter().map(|row| Some(row[at])).collect::<StringArray>()) as _)
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn describe<R>(table: &'static str, column: &Column<R>) -> [&'static str; HEADER.len()] {
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
