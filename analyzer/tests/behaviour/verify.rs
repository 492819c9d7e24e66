//! `tcprst-analyze verify`: intact recordings are ok, and each kind of damage is reported.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType;
use serde_json::Value;
use tcprst_schema::arrow::table_schema;
use tcprst_schema::columns::{COLUMNS, LOSS_COLUMNS, ROLLUP_COLUMNS};
use tcprst_schema::footer::{CpuAccount, Footer};
use tcprst_schema::tables::Table;

use crate::common::{
    Recording, START_US, batch, footer, loss, name, one_line, put, rows, stderr, write_parquet,
};

/// The footer that a recorder would write.
fn whole(rows: usize, lost: u64, before: u64) -> Footer {
    let account = vec![CpuAccount { seen: before, ..CpuAccount::default() }];
    Footer { seen: rows as u64 + lost, lost, account, ..footer(rows) }
}

fn seal(recording: &Recording, seq: u32, from: u64, count: u64, footer: &Footer) {
    let path = name(seq).sealed(recording.path(), Table::Resets);
    write_parquet(&path, &batch(COLUMNS, &rows(from, count)), Table::Resets, Some(footer));
}

/// Three files of one recorder: two segments, and the losses of the second.
fn recording() -> Recording {
    let recording = Recording::new();
    seal(&recording, 1, 1, 5, &whole(5, 0, 0));
    seal(&recording, 2, 8, 3, &whole(3, 2, 5));
    lose(&recording, 3, 2);
    recording
}

fn lose(recording: &Recording, seq: u32, count: u64) {
    let path = name(seq).sealed(recording.path(), Table::Losses);
    let rows = [loss(count)];
    write_parquet(&path, &batch(LOSS_COLUMNS, &rows), Table::Losses, Some(&whole(1, 0, 0)));
}

/// The problem of each file with one, by file name, and the exit code.
fn problems(recording: &Recording) -> (HashMap<String, String>, i32) {
    let output = recording.analyze(&["verify", "--format", "json"]);
    let files: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let told = stderr(&output);
    let summary = match files.len() {
        1 => " 1 file with ".to_owned(),
        count => format!(" {count} files with "),
    };
    assert!(told.lines().last().unwrap().contains(&summary), "{told}");
    let with_problem = files.iter().filter(|file| !file["problem"].is_null());
    let found = with_problem.map(|file| {
        assert!(["wrong", "broken"].contains(&file["status"].as_str().unwrap()), "{file}");
        let path = file["path"].as_str().unwrap();
        let name = path.rsplit('/').next().unwrap();
        (name.to_owned(), file["problem"].as_str().unwrap().to_owned())
    });
    (found.collect(), output.status.code().unwrap())
}

/// The only problem of a recording.
fn problem(recording: &Recording) -> String {
    let (found, code) = problems(recording);
    assert_eq!((found.len(), code), (1, 1), "{found:?}");
    found.into_values().next().unwrap()
}

#[test]
fn a_whole_recording_is_ok() {
    let recording = recording();
    recording.spool(4, &[rows(11, 2)], 0);
    assert_eq!(problems(&recording), (HashMap::new(), 0));
    let output = recording.analyze(&["verify", "--format", "csv"]);
    let statuses: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split(',').skip(1).collect::<Vec<_>>().join(","))
        .collect();
    let expected = [
        "table,rows,status,problem",
        "resets,2,live,",
        "resets,5,ok,",
        "resets,3,ok,",
        "losses,1,ok,",
    ];
    assert_eq!(statuses, expected);
}

#[test]
fn damage_is_found() {
    let recording = recording();
    let path = name(1).sealed(recording.path(), Table::Resets);
    let bytes = fs::read(&path).unwrap();
    // Damage in the pages: the footer is intact, and a query of other columns would not see it.
    let mut flipped = bytes.clone();
    flipped[4..400].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(&path, flipped).unwrap();
    let (found, code) = problems(&recording);
    assert_eq!((found.len(), code), (1, 1), "{found:?}");

    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(problem(&recording).contains("damaged or truncated"));
    fs::write(&path, b"").unwrap();
    assert!(problem(&recording).contains("damaged or truncated"));
}

/// A row of a table: what must have a value has some, the rest is null.
fn a_row(table: Table) -> RecordBatch {
    let columns: Vec<ArrayRef> = table
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, 1),
            DataType::Timestamp(..) => {
                Arc::new(TimestampMicrosecondArray::from(vec![START_US]).with_timezone("UTC"))
            }
            DataType::Int64 => Arc::new(Int64Array::from(vec![1])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["x"])),
            other => panic!("{}: a required {other}", field.name()),
        })
        .collect();
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

#[test]
fn damage_is_found_in_every_table() {
    let recording = Recording::new();
    // One row per minute over more than two hours: long enough for a rollup by the day.
    seal(&recording, 1, 1, 200, &whole(200, 1, 0));
    let others = [(2, Table::Losses), (3, Table::Ledger), (4, Table::Containers)];
    for (seq, table) in others {
        let path = name(seq).sealed(recording.path(), table);
        write_parquet(&path, &a_row(table), table, Some(&whole(1, 0, 0)));
    }
    let compacted = recording.analyze(&["compact"]);
    assert_eq!(compacted.status.code(), Some(0), "{}", stderr(&compacted));
    assert_eq!(problems(&recording), (HashMap::new(), 0));

    for table in Table::all() {
        let seq = others.iter().find(|(_, other)| *other == table).map_or(1, |(seq, _)| *seq);
        let file = name(seq).sealed(recording.path(), table);
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut flipped = bytes.clone();
        // The first byte of the first page: the footer stays intact.
        flipped[4] ^= 0xff;
        fs::write(&file, flipped).unwrap();
        let output = recording.analyze(&["verify", "--format", "json"]);
        assert_eq!(output.status.code(), Some(1), "{}", table.name());
        let files: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let broken: Vec<&str> = files
            .iter()
            .filter(|file| file["status"] == "broken")
            .map(|file| file["path"].as_str().unwrap())
            .collect();
        assert_eq!(broken, [file.to_str().unwrap()], "{}", table.name());
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn numbers_that_do_not_add_up_are_told() {
    for (from, count, footer, told) in [
        (8, 3, whole(4, 2, 5), "3 rows, but its footer says 4"),
        (8, 3, Footer { seen: 9, ..whole(3, 2, 5) }, "seen 9 is not written 3 + lost 2"),
        (9, 3, whole(3, 2, 5), "3 numbers are missing, but only 2"),
        (8, 3, whole(3, 2, 8), "number 8 of CPU 0, but the segment starts after 8"),
    ] {
        let recording = recording();
        seal(&recording, 2, from, count, &footer);
        let problem = problem(&recording);
        assert!(problem.contains(told), "{told}: {problem}");
    }

    let recording = recording();
    let path = name(2).sealed(recording.path(), Table::Resets);
    let twice = [rows(8, 2), rows(9, 1)].concat();
    write_parquet(&path, &batch(COLUMNS, &twice), Table::Resets, Some(&whole(3, 2, 5)));
    assert!(problem(&recording).contains("duplicate number 9 of CPU 0"));
}

#[test]
fn a_filter_by_container_leaves_gaps() {
    let recording = recording();
    let mut filtered = whole(3, 0, 5);
    filtered.filtered.by_container = true;
    seal(&recording, 2, 80, 3, &filtered);
    fs::remove_file(name(3).sealed(recording.path(), Table::Losses)).unwrap();
    assert_eq!(problems(&recording), (HashMap::new(), 0));
}

#[test]
fn a_file_in_the_wrong_place_is_told() {
    let recording = recording();
    let path = name(2).sealed(recording.path(), Table::Resets);
    let other = recording.path().join("resets/date=2026-11-22").join(path.file_name().unwrap());
    put(&other, &fs::read(&path).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(problem(&recording).contains("belongs in the folder date=2026-11-21"));

    let recording = Recording::new();
    // One row per minute from 20:18: the last rows are of the next day.
    seal(&recording, 1, 1, 600, &whole(600, 0, 0));
    assert!(problem(&recording).contains("rows of a day other than 2026-11-21"));

    let foreign = Recording::new();
    let path = name(1).sealed(foreign.path(), Table::Resets);
    write_parquet(&path, &batch(COLUMNS, &rows(1, 2)), Table::Resets, None);
    assert!(problem(&foreign).contains("not written by tcprst"));
}

#[test]
fn losses_agree_with_the_footers() {
    let recording = recording();
    lose(&recording, 3, 1);
    assert!(
        problem(&recording).contains("reports 1 lost reset of web-1, but the footers report 2")
    );
    // After retention has removed files, the sums cannot be compared.
    fs::remove_file(name(1).sealed(recording.path(), Table::Resets)).unwrap();
    assert_eq!(problems(&recording), (HashMap::new(), 0));
}

fn roll_up(recording: &Recording, table: Table, seq: u32, count: i64) {
    let time = TimestampMicrosecondArray::from(vec![START_US]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = table_schema(ROLLUP_COLUMNS)
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "time" => Arc::new(time.clone()) as _,
            "count" => Arc::new(Int64Array::from(vec![count])) as _,
            _ => new_null_array(field.data_type(), 1),
        })
        .collect();
    let batch = RecordBatch::try_new(table_schema(ROLLUP_COLUMNS), columns).unwrap();
    let path = name(seq).sealed(recording.path(), table);
    let footer = Footer { seen: 0, lost: 0, ..footer(count as usize) };
    write_parquet(&path, &batch, table, Some(&footer));
}

#[test]
fn a_rollup_counts_its_segment() {
    for table in [Table::ResetsPerMinute, Table::ResetsPerHour, Table::ResetsPerDay] {
        let recording = recording();
        roll_up(&recording, table, 1, 5);
        assert_eq!(problems(&recording), (HashMap::new(), 0));
        roll_up(&recording, table, 1, 4);
        assert!(problem(&recording).contains("counts 4 resets, but its segment has 5"));
        roll_up(&recording, table, 1, 5);
        roll_up(&recording, table, 7, 5);
        assert!(problem(&recording).contains("resets has no segment of this name"));
    }
}

#[test]
fn spools_are_read_too() {
    let recording = recording();
    let path = recording.spool(4, &[rows(11, 2), rows(13, 2)], 0);
    let bytes = fs::read(&path).unwrap();
    // An unfinished message is not a problem.
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    assert_eq!(problems(&recording), (HashMap::new(), 0));
    fs::write(&path, b"not an Arrow stream, but long enough").unwrap();
    assert!(problem(&recording).contains("not written by tcprst"));
    fs::rename(&path, path.with_extension("arrows.damaged")).unwrap();
    assert!(problem(&recording).contains("set aside"));
}

#[test]
fn nothing_to_verify_is_one_line() {
    let empty = Recording::new();
    assert!(one_line(&empty.analyze(&["verify"]), 1).contains("no recorded files in"));
}
