//! Checks one file by reading it completely.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tcprst_schema::SCHEMA_VERSION;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;
use tcprst_schema::row::STAGE_COUNTED;
use tcprst_schema::tables::{Content, Table};

use super::numbers::Numbers;
use crate::output::numbers::counted;
use crate::recording::spool;
use crate::recording::types::reader_schema;

/// Maximum number of problems reported for one file; a damaged one has thousands.
const MAX_REPORTED: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Sealed(Table),
    Spool,
    /// A spool that a recorder could not read.
    SetAside,
}

impl FileKind {
    pub(super) fn table(self) -> Table {
        match self {
            FileKind::Sealed(table) => table,
            FileKind::Spool | FileKind::SetAside => Table::Resets,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// A recorder writes to the file, or left it when it was killed.
    Live,
    /// The file is readable, but its content is inconsistent.
    Wrong,
    /// The file cannot be read, or not completely.
    Broken,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Live => "live",
            Status::Wrong => "wrong",
            Status::Broken => "broken",
        }
    }
}

/// The result for one file.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) kind: FileKind,
    pub(super) path: PathBuf,
    pub(super) footer: Option<Footer>,
    pub(super) rows: Option<i64>,
    /// Sum of the column `count`, in tables that have it.
    pub(super) sum: i64,
    /// That of the rows of `losses` that were counted and not lost.
    pub(super) counted: i64,
    pub(super) status: Status,
    problems: Vec<String>,
}

impl Checked {
    pub(super) fn new(kind: FileKind, path: &Path) -> Self {
        let (path, problems) = (path.to_owned(), Vec::new());
        Self {
            kind,
            path,
            footer: None,
            rows: None,
            sum: 0,
            counted: 0,
            status: Status::Ok,
            problems,
        }
    }

    pub(super) fn wrong(&mut self, problem: impl Display) {
        if self.status != Status::Broken {
            self.status = Status::Wrong;
        }
        self.report(&problem);
    }

    fn broken(mut self, problem: impl Display) -> Self {
        self.status = Status::Broken;
        self.report(&problem);
        self
    }

    fn report(&mut self, problem: &dyn Display) {
        // Library errors can have several lines.
        let text = problem.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if self.problems.len() < MAX_REPORTED && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    pub(super) fn problem(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| self.problems.join("; "))
    }

    pub(super) fn name(&self) -> Option<SegmentName> {
        SegmentName::of_file(&self.path)
    }
}

/// Reads a file to its end; `None` if it was removed.
pub(super) fn check(kind: FileKind, path: &Path) -> Option<Checked> {
    let checked = Checked::new(kind, path);
    match kind {
        FileKind::SetAside => {
            Some(checked.broken("set aside by the recorder, which could not recover it"))
        }
        FileKind::Spool => check_spool(checked),
        FileKind::Sealed(_) => match File::open(path) {
            Ok(file) => Some(check_sealed(checked, file)),
            // The recorder's retention removed the file after the listing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(checked.broken(error)),
        },
    }
}

fn check_spool(mut checked: Checked) -> Option<Checked> {
    match spool::read(&checked.path, &reader_schema(Table::Resets)) {
        Ok(Some(live)) => {
            checked.rows = Some(i64::try_from(live.rows()).unwrap_or(i64::MAX));
            checked.status = Status::Live;
            let mut rows = Rows::new(Table::Resets, checked.name());
            live.batches.iter().for_each(|batch| rows.take(batch, &mut checked));
            checked.footer = Some(live.footer);
            match live.damage {
                Some(damage) => {
                    Some(checked.broken(format_args!("damaged after these rows: {damage}")))
                }
                None => Some(checked),
            }
        }
        // The file is still empty.
        Ok(None) => {
            checked.status = Status::Live;
            checked.rows = Some(0);
            Some(checked)
        }
        Err(spool::SpoolError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(problem) => Some(checked.broken(problem)),
    }
}

fn check_sealed(mut checked: Checked, file: File) -> Checked {
    let builder = match ParquetRecordBatchReaderBuilder::try_new(file) {
        Ok(builder) => builder,
        Err(error) => return checked.broken(format_args!("damaged or truncated: {error}")),
    };
    let metadata = builder.metadata().file_metadata().clone();
    let pairs = metadata.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let footer = match Footer::from_key_values(pairs) {
        Ok(footer) => footer,
        Err(error) => return checked.broken(error),
    };
    let reader = match builder.build() {
        Ok(reader) => reader,
        Err(error) => return checked.broken(error),
    };
    check_place(&mut checked);
    let mut rows = Rows::new(checked.kind.table(), checked.name());
    for batch in reader {
        match batch {
            Ok(batch) => rows.take(&batch, &mut checked),
            Err(error) => {
                checked.rows = Some(rows.count);
                return checked
                    .broken(format_args!("after {}: {error}", counted(rows.count, "row")));
            }
        }
    }
    checked.rows = Some(rows.count);
    if rows.count != metadata.num_rows() {
        checked.wrong(format_args!(
            "{}, but its metadata says {}",
            counted(rows.count, "row"),
            metadata.num_rows()
        ));
    }
    check_counts(&mut rows, &footer, &mut checked);
    check_nulls(&rows, &footer, &mut checked);
    checked.footer = Some(footer);
    checked
}

/// The name of a file and its folder must fit.
fn check_place(checked: &mut Checked) {
    let name = checked.name();
    if name.is_none() {
        checked.wrong("its name is not a segment name");
    }
    if let Some(date) = name.as_ref().map(SegmentName::date) {
        let folder = checked.path.parent().and_then(Path::file_name);
        if folder.is_none_or(|folder| folder != format!("date={date}").as_str()) {
            checked.wrong(format_args!("it belongs in the folder date={date}"));
        }
    }
}

/// The footer must agree with the rows.
fn check_counts(rows: &mut Rows, footer: &Footer, checked: &mut Checked) {
    let table = checked.kind.table();
    // The footer of a rollup has the number of counted resets.
    let (count, what) = if table.row().content == Content::Rollup {
        (checked.sum, "counted reset")
    } else {
        (rows.count, "row")
    };
    if count.cast_unsigned() != footer.written {
        checked.wrong(format_args!(
            "{}, but its footer says {}",
            counted(count, what),
            footer.written
        ));
    }
    if table == Table::Resets {
        if footer.seen != footer.written + footer.counted + footer.lost {
            let Footer { seen, written, counted, lost, .. } = footer;
            // Most segments have no counted resets, and those of older recorders never.
            let storms = match counted {
                0 => String::new(),
                counted => format!("counted {counted} + "),
            };
            checked
                .wrong(format_args!("seen {seen} is not written {written} + {storms}lost {lost}"));
        }
        // A merged segment may have the numbers of several recorders.
        if footer.merged.is_empty() {
            std::mem::take(&mut rows.numbers).compare(footer, checked);
        }
    }
}

/// Columns that must have a value in each row.
fn check_nulls(rows: &Rows, footer: &Footer, checked: &mut Checked) {
    let is_current = footer.schema_version == SCHEMA_VERSION;
    for (column, nulls) in rows.required.iter().zip(&rows.nulls) {
        match nulls {
            Some(0) => {}
            Some(nulls) => {
                checked.wrong(format_args!("{} in column {column}", counted(*nulls, "null")))
            }
            None if is_current && rows.count > 0 => {
                checked.wrong(format_args!("column {column} is missing"));
            }
            None => {}
        }
    }
}

/// The values collected while the rows are read.
struct Rows {
    name: Option<SegmentName>,
    is_resets: bool,
    count: i64,
    numbers: Numbers,
    required: Vec<&'static str>,
    /// Nulls in each required column; `None` if the column is missing.
    nulls: Vec<Option<usize>>,
}

impl Rows {
    fn new(table: Table, name: Option<SegmentName>) -> Self {
        let required = required(table);
        let nulls = vec![None; required.len()];
        let (is_resets, numbers) = (table == Table::Resets, Numbers::default());
        Self { name, is_resets, count: 0, numbers, required, nulls }
    }

    fn take(&mut self, batch: &RecordBatch, checked: &mut Checked) {
        self.count += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        for (name, nulls) in self.required.iter().zip(&mut self.nulls) {
            if let Some(column) = batch.column_by_name(name) {
                *nulls = Some(nulls.unwrap_or(0) + column.null_count());
            }
        }
        let counts = batch.column_by_name("count").and_then(|c| c.as_primitive_opt::<Int64Type>());
        if let Some(counts) = counts {
            checked.sum += counts.iter().flatten().sum::<i64>();
            checked.counted += counted_in(batch, counts);
        }
        if !self.is_resets {
            return;
        }
        if let (Some(name), Some(times)) = (&self.name, batch.column_by_name("time"))
            && let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>()
        {
            let others = times.iter().flatten().filter(|time| !name.can_hold(*time)).count();
            if others > 0 {
                checked.wrong(format_args!(
                    "rows of a day other than {}, or from before its first time",
                    name.date()
                ));
            }
        }
        let cpus = batch.column_by_name("cpu").and_then(|c| c.as_primitive_opt::<Int32Type>());
        let seqs = batch.column_by_name("seq").and_then(|c| c.as_primitive_opt::<Int64Type>());
        if let (Some(cpus), Some(seqs)) = (cpus, seqs) {
            let both = cpus.iter().zip(seqs);
            both.for_each(|(cpu, seq)| self.numbers.add(cpu.zip(seq)));
        }
    }
}

/// The sum of the counts in rows of the stage `counted`.
fn counted_in(batch: &RecordBatch, counts: &Int64Array) -> i64 {
    let Some(stages) = batch.column_by_name("stage") else { return 0 };
    let Ok(stages) = cast(stages, &DataType::Utf8) else { return 0 };
    let both = stages.as_string::<i32>().iter().zip(counts);
    both.filter(|(stage, _)| *stage == Some(STAGE_COUNTED)).filter_map(|(_, count)| count).sum()
}

/// The columns without nulls.
fn required(table: Table) -> Vec<&'static str> {
    let columns = table.columns().into_iter().filter(|column| !column.nullable);
    columns.map(|column| column.name).collect()
}
