//! Tests which files are part of the answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use tcprst_schema::columns::COLUMNS;
use tcprst_schema::tables::Table;

mod common;
use common::{
    Recording, analyze, batch, footer, name, one_line, put, rows, stderr, stdout, write_parquet,
};

const COUNT: &str = "select count(*), count(distinct seq), sum(seq) from resets";

#[test]
fn sealed_files_and_spools_are_one_table() {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 3));
    recording.seal(2, &rows(3, 3));
    recording.spool(3, &[rows(6, 2), rows(8, 2)], 0);
    assert_eq!(recording.query(COUNT), "10,10,45\n");
    let sql = "select seq, caller, stack from resets where seq in (1, 7) order by seq";
    assert_eq!(
        recording.query(sql),
        "1,__tcp_close,entry;__tcp_close;tcp_send_active_reset\n\
         7,__tcp_close,entry;__tcp_close;tcp_send_active_reset\n"
    );
    assert_eq!(recording.query("select seq from resets order by time desc limit 1"), "9\n");
}

#[test]
fn a_spool_alone_answers() {
    let recording = Recording::new();
    recording.spool(1, &[rows(0, 2)], 0);
    assert_eq!(recording.query(COUNT), "2,2,1\n");
}

#[test]
fn a_spool_of_an_older_recorder_has_the_same_rows() {
    let all = "select * from resets order by time, seq";
    let (new, old) = (Recording::new(), Recording::new());
    new.spool(1, &[rows(0, 3), rows(3, 2)], 0);
    old.old_spool(1, &[rows(0, 3), rows(3, 2)]);
    assert_eq!(new.query(COUNT), "5,5,10\n");
    assert_eq!(new.query(all), old.query(all));
}

#[test]
fn a_message_in_the_making_is_left_for_later() {
    let recording = Recording::new();
    let path = recording.spool(1, &[rows(0, 2), rows(2, 3)], 0);
    let whole = fs::read(&path).unwrap();
    let first = fs::metadata(recording.spool(1, &[rows(0, 2)], 0)).unwrap().len() as usize;
    // At any point of the second batch, the first one is readable.
    for length in (first..whole.len()).step_by(97).chain([first + 1, first + 4, whole.len() - 1]) {
        put(&path, &whole[..length]);
        assert_eq!(recording.query(COUNT), "2,2,1\n", "{length} of {} bytes", whole.len());
    }
}

#[test]
fn a_spool_without_a_whole_schema_is_no_rows_and_no_error() {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 3));
    let path = recording.spool(2, &[rows(3, 1)], 0);
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, 4, 7, 8, 9, 100, 1000] {
        put(&path, &whole[..length]);
        assert_eq!(recording.query(COUNT), "3,3,3\n", "{length} bytes");
    }
}

#[test]
fn a_segment_that_is_being_sealed_is_counted_once() {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 4));
    recording.spool(1, &[rows(0, 4)], 0);
    put(&name(2).partial(recording.path(), Table::Resets), b"PAR1 half a file");
    put(&recording.path().join("resets/x.parquet.tmp"), b"PAR1 half a file");
    assert_eq!(recording.query(COUNT), "4,4,6\n");
    assert_eq!(recording.query("select sealed from files"), "true\n");
}

#[test]
fn a_copy_in_a_second_folder_is_counted_once() {
    let (here, there) = (Recording::new(), Recording::new());
    here.seal(1, &rows(0, 4));
    there.seal(1, &rows(0, 4));
    there.seal(2, &rows(4, 1));
    there.spool(3, &[rows(5, 1)], 0);
    let there = there.path().to_str().unwrap();
    let output = here.analyze(&["--data", there, "--format", "csv", COUNT]);
    assert_eq!(stdout(&output).lines().nth(1), Some("6,6,15"), "{}", stderr(&output));
}

#[test]
fn bad_files_are_told_and_the_others_answer() {
    let recording = Recording::new();
    let folder = recording.seal(1, &rows(0, 3)).parent().unwrap().to_owned();
    write_parquet(
        &folder.join("foreign.parquet"),
        &batch(COLUMNS, &rows(9, 1)),
        Table::Resets,
        None,
    );
    fs::write(folder.join("empty.parquet"), b"").unwrap();
    fs::write(folder.join("text.parquet"), b"not a Parquet file at all").unwrap();
    fs::write(folder.join("README.txt"), b"ignored").unwrap();
    let cut = recording.seal(2, &rows(3, 3));
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let mut newer = footer(1);
    newer.schema_version += 1;
    let new = folder.join("newer.parquet");
    write_parquet(&new, &batch(COLUMNS, &rows(9, 1)), Table::Resets, Some(&newer));
    put(&recording.path().join("spool/foreign.arrows"), b"not an Arrow stream, but long enough");

    let output = recording.analyze(&["--format", "csv", COUNT]);
    let told = stderr(&output);
    assert_eq!(stdout(&output).lines().nth(1), Some("3,3,3"), "{told}");
    assert_eq!(output.status.code(), Some(1), "the answer is not over everything");
    assert_eq!(told.lines().count(), 6, "{told}");
    assert!(told.lines().all(|line| line.starts_with("tcprst-analyze: skipped ")), "{told}");
    let line = |name: &str| told.lines().find(|line| line.contains(name)).unwrap_or_default();
    assert!(line("foreign.parquet").contains("not written by tcprst"), "{told}");
    assert!(line("empty.parquet").contains("damaged or truncated"), "{told}");
    assert!(line("text.parquet").contains("damaged or truncated"), "{told}");
    assert!(line(cut.to_str().unwrap()).contains("damaged or truncated"), "{told}");
    assert!(line("newer.parquet").contains("newer"), "{told}");
    assert!(line("foreign.arrows").contains("not written by tcprst"), "{told}");
}

#[test]
fn a_limit_reads_no_more_files_than_it_needs() {
    let recording = Recording::new();
    for seq in 1..=4 {
        recording.seal(seq, &rows(u64::from(seq) * 3, 3));
    }
    // A broken file shows which footers were read.
    let broken = recording.seal(5, &rows(15, 3));
    fs::write(&broken, b"not a Parquet file at all").unwrap();
    let said = |sql: &str| {
        let output = recording.analyze(&["--format", "csv", sql]);
        (stdout(&output).lines().count() - 1, stderr(&output).lines().count())
    };
    assert_eq!(said("select seq from resets limit 3"), (3, 0));
    assert_eq!(said("select seq from resets limit 4"), (4, 0));
    // There are twelve rows: the query had to read all files.
    assert_eq!(said("select seq from resets limit 13"), (12, 1));
    // With a filter or an order, any file may contribute.
    assert_eq!(said("select seq from resets where seq > 0 limit 2"), (2, 1));
    assert_eq!(said("select seq from resets order by seq limit 2"), (2, 1));
    recording.spool(6, &[rows(18, 2)], 0);
    assert_eq!(said("select seq from resets limit 20"), (14, 1));
}

#[test]
fn columns_that_an_older_recorder_did_not_know_are_null() {
    let recording = Recording::new();
    let all = batch(COLUMNS, &rows(0, 2));
    let keep = |name: &str| !["caller", "cpu", "k8s_pod"].contains(&name);
    let kept: Vec<usize> = (0..COLUMNS.len()).filter(|at| keep(COLUMNS[*at].name)).rev().collect();
    recording.seal_columns(1, &all.project(&kept).unwrap());
    recording.seal(2, &rows(2, 1));
    assert_eq!(
        recording.query("select seq, cpu, caller from resets order by seq"),
        "0,,\n1,,\n2,0,tcp_v4_rcv\n"
    );
    assert_eq!(recording.query("select seq from resets where cpu is null order by 1"), "0\n1\n");
    assert_eq!(recording.query("select count(*) from resets where caller like 'tcp%'"), "1\n");
}

#[test]
fn no_recording_is_one_line_that_says_what_to_check() {
    let line = one_line(&analyze(&["--data", "/nonexistent/rst", "select 1"], ""), 1);
    assert!(line.contains("/nonexistent/rst") && line.contains("No such file"), "{line}");
    assert!(line.contains("--data or TCPRST_DATA"), "{line}");

    let empty = Recording::new();
    let line = one_line(&empty.analyze(&["select 1"]), 1);
    let dir = empty.path().display();
    let expected = format!("no recorded files in {dir}: nothing was recorded there yet, or");
    assert!(line.contains(&expected), "{line}");
}

#[test]
fn the_folder_comes_from_the_environment_too() {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 2));
    let output = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
        .args(["--format", "csv", COUNT])
        .env("TCPRST_DATA", recording.path())
        .output()
        .unwrap();
    assert_eq!(stdout(&output).lines().nth(1), Some("2,2,1"), "{}", stderr(&output));
}

#[test]
fn odd_folder_names_work() {
    let recording = Recording::new();
    let odd = recording.path().join("a b%20c#ü");
    let path = odd.join("resets").join("x y.parquet");
    write_parquet(&path, &batch(COLUMNS, &rows(0, 2)), Table::Resets, Some(&footer(2)));
    let output = analyze(&["--data", odd.to_str().unwrap(), "--format", "csv", COUNT], "");
    assert_eq!(stdout(&output).lines().nth(1), Some("2,2,1"), "{}", stderr(&output));
}
