use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::SegmentName;

use super::*;

const DAY_US: i64 = 86_400_000_000;
const FROM_US: i64 = 20_000 * DAY_US;

fn options(out: &Path, jobs: usize) -> SampleOptions {
    SampleOptions {
        out: out.to_owned(),
        events: 20_000,
        seed: 5,
        from_us: FROM_US,
        to_us: FROM_US + 2 * DAY_US,
        hosts: 2,
        segment_us: DAY_US / 8,
        segment_rows: 1_000,
        jobs,
    }
}

struct Sealed {
    name: SegmentName,
    footer: Footer,
    rows: Vec<RecordBatch>,
}

/// The files of a table, by host and time.
fn sealed(dir: &Path, table: Table) -> Vec<Sealed> {
    let mut files = Vec::new();
    for day in fs::read_dir(dir.join(table.name())).expect("a table") {
        for file in fs::read_dir(day.expect("a day").path()).expect("a day") {
            let path = file.expect("a file").path();
            let name = SegmentName::of_file(&path).expect("a name");
            assert_eq!(name.sealed(dir, table), path);
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("opens"))
                .expect("is Parquet");
            let pairs = reader.metadata().file_metadata().key_value_metadata().expect("metadata");
            let footer = Footer::from_key_values(pairs).expect("a footer");
            let rows = reader.build().expect("rows").map(|rows| rows.expect("rows")).collect();
            files.push(Sealed { name, footer, rows });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// CPU, number and time of each row.
fn numbers(file: &Sealed) -> Vec<(i32, i64, i64)> {
    let of = |rows: &RecordBatch| {
        let cpu = rows["cpu"].as_primitive::<Int32Type>().values().to_vec();
        let seq = rows["seq"].as_primitive::<Int64Type>().values().to_vec();
        let time = rows["time"].as_primitive::<TimestampMicrosecondType>().values().to_vec();
        (0..cpu.len()).map(move |at| (cpu[at], seq[at], time[at]))
    };
    file.rows.iter().flat_map(of).collect()
}

fn sum(files: &[Sealed], column: &str) -> i64 {
    let of =
        |rows: &RecordBatch| rows[column].as_primitive::<Int64Type>().values().iter().sum::<i64>();
    files.iter().flat_map(|file| &file.rows).map(of).sum()
}

#[test]
fn the_account_adds_up_as_in_a_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = run(&options(dir.path(), 2)).expect("a sample");
    assert_eq!(made.resets, 20_000);
    assert!(made.lost > 0);
    let files = sealed(dir.path(), Table::Resets);
    assert_eq!(files.len() as u64, made.segments);
    // The last number of each CPU, run by run.
    let mut last: BTreeMap<(String, i32), i64> = BTreeMap::new();
    let (mut gaps, mut lost, mut covered) = (0, 0, None);
    for file in &files {
        let (footer, rows) = (&file.footer, numbers(file));
        assert_eq!(footer.seen, footer.written + footer.lost, "{}", file.name);
        assert_eq!(footer.written, rows.len() as u64);
        assert!(rows.is_sorted_by_key(|row| row.2), "{}", file.name);
        if footer.account.iter().all(|cpu| cpu.seen == 0) {
            last.retain(|(host, _), _| *host != footer.host);
        }
        if let Some((host, until)) = covered.replace((&footer.host, footer.recorded_to_us))
            && *host == footer.host
            && until < footer.recorded_from_us
        {
            gaps += 1;
        }
        for (cpu, seq, time) in rows {
            assert!(time >= footer.recorded_from_us && time < footer.recorded_to_us);
            assert!(file.name.can_hold(time));
            let before = last.insert((footer.host.clone(), cpu), seq).unwrap_or(0);
            assert!(seq > before);
            lost += seq - before - 1;
        }
    }
    assert_eq!(gaps, 1, "one pause of a recorder");
    let in_footers: u64 = files.iter().map(|file| file.footer.lost).sum();
    assert_eq!(in_footers, made.lost);
    // What is lost after the last row of a CPU leaves no gap.
    assert!(lost as u64 <= in_footers);
    assert_eq!(sum(&sealed(dir.path(), Table::Losses), "count"), made.lost as i64);
    assert_eq!(sum(&sealed(dir.path(), Table::ResetsPerMinute), "count"), 20_000);
    assert!(!sealed(dir.path(), Table::Containers).is_empty());
    assert!(matches!(run(&options(dir.path(), 1)), Err(Error::Usage(_))), "it is there already");
}

#[test]
fn the_same_seed_gives_the_same_rows_however_many_threads_make_them() {
    let dirs = [1, 3].map(|jobs| {
        let dir = tempfile::tempdir().expect("a folder");
        run(&options(dir.path(), jobs)).expect("a sample");
        dir
    });
    let [one, three] = dirs.each_ref().map(|dir| sealed(dir.path(), Table::Resets));
    assert_eq!(one.len(), three.len());
    for (one, three) in one.iter().zip(&three) {
        assert_eq!((&one.name, &one.footer), (&three.name, &three.footer));
        assert_eq!(one.rows, three.rows);
    }
    let other = tempfile::tempdir().expect("a folder");
    run(&SampleOptions { seed: 6, ..options(other.path(), 1) }).expect("a sample");
    assert_ne!(sealed(other.path(), Table::Resets)[0].rows, one[0].rows);
    let text = |name: &str| -> HashSet<String> {
        let of = |rows: &RecordBatch| {
            let column = rows[name].as_string::<i32>();
            column.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        one.iter().flat_map(|file| &file.rows).flat_map(of).collect()
    };
    assert!(text("cause").len() > 15 && text("k8s_pod").len() > 30);
    assert!(text("dst_addr").len() > 4_000 && text("family").len() == 2);
}
