//! `--print`: resets on stdout as they come.

use std::io::{self, StdoutLock, Write};

use clap::ValueEnum;
use serde_json::{Map, Value as Json};
use tcprst_schema::columns::{COLUMNS, Kind, Value};
use tcprst_schema::row::Row;

/// How resets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrintFormat {
    /// One line each, for people.
    Table,
    /// One JSON object a line, with every column.
    Json,
}

/// Prints rows. When nobody reads any more (`| head`), the recording goes on without.
#[derive(Debug)]
pub struct Printer {
    format: PrintFormat,
    out: Option<StdoutLock<'static>>,
}

impl Printer {
    pub fn new(format: PrintFormat) -> Self {
        let mut printer = Self { format, out: Some(io::stdout().lock()) };
        if format == PrintFormat::Table {
            printer.write(&format!(
                "{:<27} {:<20} {:<24} {:<24} {:>47}    {}\n",
                "TIME", "CAUSE", "CALLER", "REASON", "SOURCE", "DESTINATION"
            ));
        }
        printer
    }

    pub fn print(&mut self, row: &Row) {
        if self.out.is_none() {
            return;
        }
        let line = match self.format {
            PrintFormat::Table => table_line(row),
            PrintFormat::Json => json_line(row),
        };
        self.write(&line);
    }

    pub fn flush(&mut self) {
        if self.out.as_mut().is_some_and(|out| out.flush().is_err()) {
            self.out = None;
        }
    }

    fn write(&mut self, text: &str) {
        if self.out.as_mut().is_some_and(|out| out.write_all(text.as_bytes()).is_err()) {
            self.out = None;
        }
    }
}

fn time_text(time_us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(time_us)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn table_line(row: &Row) -> String {
    let end = |end: Option<(std::net::IpAddr, u16)>| {
        end.map_or_else(|| "?".to_owned(), |(address, port)| (address, port).to_text())
    };
    let mut line = format!(
        "{:<27} {:<20} {:<24} {:<24} {:>47} -> {}",
        time_text(row.time_us),
        row.cause,
        row.stack.caller.as_deref().unwrap_or("-"),
        row.reason.as_deref().unwrap_or("-"),
        end(row.src),
        end(row.dst),
    );
    if let Some(task) = &row.task {
        // A process names itself: its escapes must not reach the terminal.
        line.push_str(&format!("  {}[{}]", task.comm.escape_debug(), task.pid));
    }
    line.push('\n');
    line
}

trait ToText {
    fn to_text(self) -> String;
}

impl ToText for (std::net::IpAddr, u16) {
    fn to_text(self) -> String {
        std::net::SocketAddr::from(self).to_string()
    }
}

fn json_line(row: &Row) -> String {
    let fields: Map<String, Json> = COLUMNS
        .iter()
        .map(|column| {
            let value = match (column.value)(row) {
                Value::Null => Json::Null,
                Value::Bool(value) => value.into(),
                Value::Int(value) if column.kind == Kind::Timestamp => time_text(value).into(),
                Value::Int(value) => value.into(),
                Value::Text(value) => value.into_owned().into(),
            };
            (column.name.to_owned(), value)
        })
        .collect();
    format!("{}\n", Json::Object(fields))
}
