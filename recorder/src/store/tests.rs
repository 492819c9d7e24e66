//! Resets that were counted in place of a row each, from the store to the files.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tcprst_schema::columns::{DIMENSIONS, Value};
use tcprst_schema::footer::{ClockAnchor, CpuAccount};
use tempfile::TempDir;

use super::full_row::full_row;
use super::*;

const MINUTE_US: i64 = 60_000_000;
/// A minute of a day: 2026-11-21T20:18:00Z.
const START_US: i64 = 1_795_292_280_000_000;

fn store(dir: &TempDir) -> Store {
    let host = Host { name: "web".to_owned(), boot_id: "b".to_owned(), kernel: "6.18".to_owned() };
    let context = Context {
        dir: dir.path().to_owned(),
        host,
        sites: Vec::new(),
        reasons: BTreeMap::new(),
        filtered: Filtered::default(),
        is_spooled: true,
    };
    std::fs::create_dir_all(tcprst_schema::paths::spool_dir(dir.path())).expect("a folder");
    Store::new(context, &clock(0))
}

fn clock(at_us: i64) -> Clock {
    let realtime_ns = (START_US + at_us).cast_unsigned() * 1000;
    Clock::from_anchor(ClockAnchor { boot_ns: realtime_ns - 1_000_000_000, realtime_ns })
}

fn counts(at_us: i64, port: i64, count: i64) -> RollupRow {
    let dimension = |name: &str| match name {
        "cause" => Value::Text("closed_port".into()),
        "port" => Value::Int(port),
        _ => Value::Null,
    };
    let dimensions = std::array::from_fn(|at| dimension(DIMENSIONS[at]));
    RollupRow { minute_us: START_US + at_us, dimensions, count, counted: count }
}

fn row(at_us: i64, seq: u64) -> Row {
    Row { time_us: START_US + at_us, cpu: 0, seq, ..full_row() }
}

/// The files of a table: footer and rows.
fn files(dir: &TempDir, table: Table) -> Vec<(Footer, Vec<RecordBatch>)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir.path().join(table.name()))
        .expect("a folder")
        .flat_map(|date| std::fs::read_dir(date.expect("a date").path()).expect("a folder"))
        .map(|file| file.expect("a file").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let file = std::fs::File::open(path).expect("opened");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        let pairs = builder.metadata().file_metadata().key_value_metadata().cloned();
        let footer = Footer::from_key_values(&pairs.expect("metadata")).expect("a footer");
        let rows = builder.build().expect("a reader").collect::<Result<_, _>>().expect("rows");
        (footer, rows)
    };
    paths.iter().map(read).collect()
}

/// Minute since the start, cause, port, count, and how many of them have no row.
fn groups(batches: &[RecordBatch]) -> Vec<(i64, String, i32, i64, i64)> {
    let of_batch = |batch: &RecordBatch| -> Vec<_> {
        let time = batch["time"].as_primitive::<TimestampMicrosecondType>();
        let cause = batch["cause"].as_string::<i32>();
        let port = batch["port"].as_primitive::<Int32Type>();
        let count = batch["count"].as_primitive::<Int64Type>();
        let counted = batch["counted"].as_primitive::<Int64Type>();
        (0..batch.num_rows())
            .map(|at| {
                let minute = (time.value(at) - START_US) / MINUTE_US;
                let port = if port.is_valid(at) { port.value(at) } else { 0 };
                (minute, cause.value(at).to_owned(), port, count.value(at), counted.value(at))
            })
            .collect()
    };
    let mut groups: Vec<_> = batches.iter().flat_map(of_batch).collect();
    groups.sort();
    groups
}

fn closed(minute: i64, port: i32, count: i64) -> (i64, String, i32, i64, i64) {
    (minute, "closed_port".to_owned(), port, count, count)
}

#[test]
fn counts_are_in_the_rollup_and_in_the_account() {
    let dir = TempDir::new().expect("a folder");
    let mut store = store(&dir);
    store.append(&row(1, 1), Before::default(), &clock(1)).expect("appended");
    // Numbers 2 to 51 were counted, 52 is lost, 53 is a row.
    store.counts_read(&[50]);
    store
        .add_counts(&[counts(2, 80, 30), counts(2, 81, 20)], START_US + 2, &clock(2))
        .expect("added");
    let before = Before { lost: 1, counted: 50 };
    store.append(&row(MINUTE_US, 53), before, &clock(MINUTE_US)).expect("appended");
    store.counts_read(&[57]);
    let later = MINUTE_US + 5;
    store.add_counts(&[counts(later, 80, 7)], START_US + later, &clock(later)).expect("added");
    store.take_totals(&[CpuTotals { seen: 60, lost: 1, counted: 57 }]);
    store.close(&clock(2 * MINUTE_US)).expect("closed");

    let totals = Totals { seen: 60, written: 2, counted: 57, lost: 1, segments: 1 };
    assert_eq!(store.totals(), totals);
    let [(footer, rows)] = &files(&dir, Table::Resets)[..] else { panic!("one segment") };
    assert_eq!((footer.seen, footer.written, footer.counted, footer.lost), (60, 2, 57, 1));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let [(footer, rollup)] = &files(&dir, Table::ResetsPerMinute)[..] else { panic!("one rollup") };
    assert_eq!((footer.written, footer.counted, footer.seen), (59, 0, 0));
    let groups: Vec<_> = groups(rollup).into_iter().filter(|group| group.4 > 0).collect();
    assert_eq!(groups, [closed(0, 80, 30), closed(0, 81, 20), closed(1, 80, 7)]);
}

#[test]
fn a_minute_without_a_row_has_a_segment() {
    let dir = TempDir::new().expect("a folder");
    let mut store = store(&dir);
    store.counts_read(&[0, 9]);
    store.add_counts(&[counts(0, 80, 9)], START_US, &clock(0)).expect("added");
    store.seal(&clock(MINUTE_US)).expect("sealed");
    // And one of another day.
    let next = 4 * 3600 * 1_000_000;
    store.counts_read(&[1, 9]);
    store.add_counts(&[counts(next, 80, 1)], START_US + next, &clock(next)).expect("added");
    store.close(&clock(next)).expect("closed");

    let resets = files(&dir, Table::Resets);
    let counted: Vec<_> =
        resets.iter().map(|(f, _)| (f.seen, f.written, f.counted, f.lost)).collect();
    assert_eq!(counted, [(9, 0, 9, 0), (1, 0, 1, 0)]);
    let base = CpuAccount { seen: 9, lost: 0, counted: 9 };
    assert_eq!(resets[1].0.account, [CpuAccount::default(), base]);
    let rollups = files(&dir, Table::ResetsPerMinute);
    assert_eq!(groups(&rollups[0].1), [closed(0, 80, 9)]);
    assert_eq!(groups(&rollups[1].1), [closed(240, 80, 1)]);
}

#[test]
fn counts_of_a_killed_recorder_are_recovered() {
    let dir = TempDir::new().expect("a folder");
    let mut store = store(&dir);
    // A sealed segment: number 1 is a row, 2 to 10 were counted.
    store.append(&row(1, 1), Before::default(), &clock(1)).expect("appended");
    store.counts_read(&[9]);
    store.add_counts(&[counts(2, 80, 9)], START_US + 2, &clock(2)).expect("added");
    store.seal(&clock(3)).expect("sealed");
    // An open one: 11 is a row, 12 to 15 are counted, 16 is a row.
    store.append(&row(4, 11), Before { lost: 0, counted: 9 }, &clock(4)).expect("appended");
    store.counts_read(&[13]);
    store.add_counts(&[counts(5, 80, 4)], START_US + 5, &clock(5)).expect("added");
    store.append(&row(6, 16), Before { lost: 0, counted: 13 }, &clock(6)).expect("appended");
    store.encode().expect("flushed");
    drop(store);

    assert_eq!(recover(dir.path()).expect("recovered"), Recovered { segments: 1, rows: 2 });
    let resets = files(&dir, Table::Resets);
    let sums: Vec<_> = resets.iter().map(|(f, _)| (f.seen, f.written, f.counted, f.lost)).collect();
    assert_eq!(sums, [(10, 1, 9, 0), (6, 2, 4, 0)]);
    let (footer, rollup) = &files(&dir, Table::ResetsPerMinute)[1];
    assert_eq!(footer.written, 6);
    assert!(groups(rollup).contains(&closed(0, 80, 4)));
    let losses = files(&dir, Table::Losses);
    let batch = &losses[0].1[0];
    assert_eq!(batch["stage"].as_string::<i32>().value(0), "counted");
    assert_eq!(batch["count"].as_primitive::<Int64Type>().value(0), 4);
    assert!(spool_files(&dir).is_empty());
}

#[test]
fn counts_that_a_killed_recorder_did_not_write_are_told_as_lost() {
    let dir = TempDir::new().expect("a folder");
    let mut store = store(&dir);
    store.append(&row(1, 1), Before::default(), &clock(1)).expect("appended");
    // 2 to 15 were counted, but nobody has read the counts.
    store.append(&row(6, 16), Before { lost: 0, counted: 14 }, &clock(6)).expect("appended");
    store.encode().expect("flushed");
    drop(store);
    recover(dir.path()).expect("recovered");
    let [(footer, _)] = &files(&dir, Table::Resets)[..] else { panic!("one segment") };
    assert_eq!((footer.seen, footer.written, footer.counted, footer.lost), (16, 2, 0, 14));
}

#[test]
fn counts_without_a_row_are_recovered_too() {
    let dir = TempDir::new().expect("a folder");
    let mut store = store(&dir);
    store.counts_read(&[9]);
    store.add_counts(&[counts(0, 80, 9)], START_US, &clock(0)).expect("added");
    store.counts_read(&[12]);
    store.add_counts(&[counts(1, 80, 3)], START_US + 1, &clock(1)).expect("added");
    drop(store);
    assert_eq!(recover(dir.path()).expect("recovered"), Recovered { segments: 1, rows: 0 });
    let [(footer, _)] = &files(&dir, Table::Resets)[..] else { panic!("one segment") };
    assert_eq!((footer.seen, footer.written, footer.counted, footer.lost), (12, 0, 12, 0));
    assert_eq!(groups(&files(&dir, Table::ResetsPerMinute)[0].1), [closed(0, 80, 12)]);
    assert!(spool_files(&dir).is_empty());
}

fn spool_files(dir: &TempDir) -> Vec<PathBuf> {
    let folder = tcprst_schema::paths::spool_dir(dir.path());
    std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect()
}
