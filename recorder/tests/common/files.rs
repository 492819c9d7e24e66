//! Reads recordings back as any Parquet reader would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;
use tcprst_schema::arrow::{by_name, table_schema};
use tcprst_schema::columns::ROLLUP_COLUMNS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{SEALED, SPOOL, SegmentName, spool_dir};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::tables::Table;

/// A row by column name; times are microseconds.
pub(crate) type Row = BTreeMap<String, Json>;

/// A sealed file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) name: SegmentName,
    pub(crate) footer: Footer,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Segment {
    fn read(path: PathBuf) -> Self {
        let shown = path.display();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let name = stem.parse().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let file = File::open(&path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let metadata = builder.metadata().file_metadata();
        let pairs = metadata.key_value_metadata().expect("metadata");
        let footer =
            Footer::from_key_values(pairs).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let batches = builder
            .build()
            .and_then(|rows| Ok(rows.collect::<Result<_, _>>()?))
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self { name, footer, batches, path }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// Checks the invariants of a segment of `resets`.
    pub(crate) fn check(&self) {
        let (footer, path) = (&self.footer, self.path.display());
        assert_eq!(footer.seen, footer.written + footer.counted + footer.lost, "{path}");
        assert_eq!(footer.written, self.rows(), "{path}");
        self.check_rollup();
    }

    /// Checks that its file of `resets_per_minute` agrees with its rows, and with the resets that were
    /// counted in place of a row each.
    fn check_rollup(&self) {
        let dir = self.path.ancestors().nth(3).expect("the recording's folder");
        let path = self.name.sealed(dir, Table::ResetsPerMinute);
        let resets = self.footer.in_rollup();
        assert_eq!(path.exists(), resets > 0, "{}", path.display());
        if resets == 0 {
            return;
        }
        let stored = Segment::read(path);
        assert_eq!(stored.footer.written, resets, "{}", stored.path.display());
        let mut counted = Rollup::default();
        self.batches.iter().for_each(|batch| counted.add(batch).expect("counted"));
        let counted = counted.finish().expect("a rollup");
        let counted = by_name(&counted, &table_schema(ROLLUP_COLUMNS)).expect("plain text");
        let sorted = |batches: &[RecordBatch]| {
            let rows = batches
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(move |row| to_row(batch, row)));
            let mut rows: Vec<String> =
                rows.filter_map(of_rows).map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        };
        assert_eq!(sorted(&stored.batches), sorted(&[counted]), "{}", stored.path.display());
    }
}

/// A group of a rollup as its rows alone would have made it; `None` where it has none.
fn of_rows(mut group: Row) -> Option<Row> {
    let counted = group.remove("counted")?.as_i64()?;
    let rows = group["count"].as_i64()? - counted;
    group.insert("count".to_owned(), rows.into());
    (rows > 0).then_some(group)
}

/// Every sealed file of a table, sorted by name. Each must be readable and have the name of a
/// segment. A table without a folder has no files.
pub(crate) fn segments(dir: &Path, table: Table) -> Vec<Segment> {
    let mut found: Vec<Segment> = files(&dir.join(table.name()))
        .iter()
        .flat_map(|date| files(date))
        .inspect(|path| assert!(path.extension().is_some_and(|e| e == SEALED), "{path:?}"))
        .map(Segment::read)
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// All files in the spool's folder.
pub(crate) fn spool_files(dir: &Path) -> Vec<PathBuf> {
    files(&spool_dir(dir))
}

/// The spools among them, without half-written Parquet files.
pub(crate) fn spools(dir: &Path) -> Vec<PathBuf> {
    let mut found = spool_files(dir);
    found.retain(|path| path.extension().is_some_and(|extension| extension == SPOOL));
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![];
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

fn is_in(batch: &RecordBatch, row: usize, cookie: u64) -> bool {
    let cookies =
        batch.column_by_name("netns_cookie").expect("a column").as_primitive::<Int64Type>();
    cookies.is_valid(row) && cookies.value(row).cast_unsigned() == cookie
}

/// Number of rows of a network namespace.
pub(crate) fn count_in(batches: &[RecordBatch], cookie: u64) -> u64 {
    let count = |batch: &RecordBatch| {
        (0..batch.num_rows()).filter(|&row| is_in(batch, row, cookie)).count() as u64
    };
    batches.iter().map(count).sum()
}

/// Number of rows of a network namespace with this text in a column.
pub(crate) fn count_where(batches: &[RecordBatch], cookie: u64, column: &str, text: &str) -> u64 {
    let count = |batch: &RecordBatch| {
        let texts = batch.column_by_name(column).expect("a column").as_string::<i32>();
        let has_text = |&row: &usize| texts.is_valid(row) && texts.value(row) == text;
        let rows = (0..batch.num_rows()).filter(|&row| is_in(batch, row, cookie));
        rows.filter(has_text).count() as u64
    };
    batches.iter().map(count).sum()
}

/// The rows of a network namespace; all rows for `None`.
pub(crate) fn rows_in(segments: &[Segment], cookie: Option<u64>) -> Vec<Row> {
    let batches = segments.iter().flat_map(|segment| &segment.batches);
    batches
        .flat_map(|batch| {
            (0..batch.num_rows())
                .filter(move |&row| cookie.is_none_or(|cookie| is_in(batch, row, cookie)))
                .map(move |row| to_row(batch, row))
        })
        .collect()
}

fn to_row(batch: &RecordBatch, row: usize) -> Row {
    let schema = batch.schema();
    let named = schema.fields().iter().zip(batch.columns());
    named.map(|(field, column)| (field.name().clone(), to_json(column, row))).collect()
}

fn to_json(column: &dyn Array, row: usize) -> Json {
    if column.is_null(row) {
        return Json::Null;
    }
    match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        other => panic!("a column of the type {other}"),
    }
}
