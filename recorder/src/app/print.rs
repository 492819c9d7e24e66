//! `--print`: resets on stdout as they come.

use std::io::{self, BufWriter, Write};
use std::iter;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Map, Value as Json, json};
use tcprst_schema::columns::{COLUMNS, Column, Kind, LEDGER_COLUMNS, Value};
use tcprst_schema::row::{LedgerRow, Row};

use crate::audit;
use crate::error::{Error, Result};

/// How resets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintFormat {
    /// One line per reset, for reading.
    Table,
    /// One JSON object per line, with every column.
    Json,
}

/// Lines that wait for a slow reader: some seconds of a storm.
const MAX_QUEUED_LINES: usize = 16 * 1024;
/// How long the end of a recording waits for the reader to read the rest.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints rows in its own thread: a reader that stops (`| less`) or goes away (`| head`) must not
/// delay the recording. Lines that find the queue full are skipped and counted.
#[derive(Debug)]
pub(crate) struct Printer {
    format: PrintFormat,
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    skipped: u64,
}

impl Printer {
    pub(crate) fn new(format: PrintFormat) -> Result<Self> {
        let (sender, receiver) = sync_channel(MAX_QUEUED_LINES);
        let thread = thread::Builder::new()
            .name("print".to_owned())
            .spawn(move || write_lines(&receiver))
            .map_err(|source| Error::System("start the print thread", source))?;
        let mut printer = Self { format, lines: Some(sender), thread: Some(thread), skipped: 0 };
        if format == PrintFormat::Table {
            printer.send(format!(
                "{:<27} {:<20} {:<24} {:<24} {:>47}    {}\n",
                "TIME", "CAUSE", "CALLER", "REASON", "SOURCE", "DESTINATION"
            ));
        }
        Ok(printer)
    }

    pub(crate) fn print(&mut self, row: &Row) {
        if self.lines.is_some() {
            self.send(match self.format {
                PrintFormat::Table => table_line(row),
                PrintFormat::Json => json_line(row),
            });
        }
    }

    /// Prints an entry of the audit's ledger; as a table only crafted and forwarded resets.
    pub(crate) fn print_ledger(&mut self, row: &LedgerRow) {
        let line = match self.format {
            PrintFormat::Json => format!("{}\n", json!({ "ledger": object(LEDGER_COLUMNS, row) })),
            PrintFormat::Table if row.cause.is_none() => return,
            PrintFormat::Table => {
                format!("{:<27} {}\n", time_text(row.to_us), audit::describe(row))
            }
        };
        // These few lines come when a segment is sealed, perhaps after a storm: wait for room.
        let asked = Instant::now();
        while let Some(lines) = &self.lines
            && let Err(TrySendError::Full(_)) = lines.try_send(line.clone())
        {
            if asked.elapsed() >= READER_TIMEOUT {
                self.skipped += 1;
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn send(&mut self, line: String) {
        match self.lines.as_ref().map(|lines| lines.try_send(line)) {
            Some(Err(TrySendError::Full(_))) => self.skipped += 1,
            Some(Err(TrySendError::Disconnected(_))) => self.lines = None,
            Some(Ok(())) | None => {}
        }
    }

    /// Gives the reader a moment to read the rest. Returns how many resets were not printed.
    pub(crate) fn close(mut self) -> u64 {
        self.lines = None;
        let asked = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
            && asked.elapsed() < READER_TIMEOUT
        {
            thread::sleep(Duration::from_millis(5));
        }
        self.skipped
    }
}

fn write_lines(lines: &Receiver<String>) {
    let mut out = BufWriter::new(io::stdout().lock());
    while let Ok(first) = lines.recv() {
        // All queued lines go out in one write.
        let written = iter::once(first)
            .chain(lines.try_iter())
            .try_for_each(|line| out.write_all(line.as_bytes()))
            .and_then(|()| out.flush());
        if written.is_err() {
            return;
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
        // A process can name itself: escape sequences must not reach the terminal.
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
    format!("{}\n", object(COLUMNS, row))
}

fn object<R>(columns: &[Column<R>], row: &R) -> Json {
    let fields: Map<String, Json> = columns
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
    Json::Object(fields)
}
