//! Resets of a storm have no rows: they are counted in the rollup. Every answer that a rollup can give
//! has them, and every other one says how many it leaves out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::StreamWriter;

use serde_json::Value as Json;
use tcprst_schema::columns::{COLUMNS, DIMENSIONS, LOSS_COLUMNS, Value};
use tcprst_schema::footer::{CpuAccount, Footer};
use tcprst_schema::rollup::Rollup;
use tcprst_schema::row::{LossRow, RollupRow, Row, STAGE_COUNTED};
use tcprst_schema::tables::Table;

mod common;
use common::{
    Recording, START_US, batch, footer, loss, name, row, rows, stderr, stdout, write_parquet,
};

const MINUTE_US: i64 = 60_000_000;
/// 2026-11-21T20:18:00Z.
const MINUTE: i64 = START_US.div_euclid(MINUTE_US) * MINUTE_US;

/// Counts of closed ports, as the recorder makes them.
fn counted(minute: i64, port: Option<i64>, count: i64) -> RollupRow {
    let dimension = |name: &str| match name {
        "host" => Value::Text("web-1".into()),
        "direction" => Value::Text("sent".into()),
        "callee" => Value::Text("tcp_v4_send_reset".into()),
        "caller" => Value::Text("tcp_v4_rcv".into()),
        "cause" => Value::Text("closed_port".into()),
        "blame" => Value::Text("app".into()),
        "family" => Value::Text("ipv4".into()),
        "port" => port.map_or(Value::Null, Value::Int),
        _ => Value::Null,
    };
    let dimensions = std::array::from_fn(|at| dimension(DIMENSIONS[at]));
    RollupRow { minute_us: MINUTE + minute * MINUTE_US, dimensions, count, counted: count }
}

/// A segment with these rows and counts; `before` is what CPU 0 had seen and counted.
fn seal(recording: &Recording, seq: u32, rows: &[Row], counts: &[RollupRow], before: (u64, u64)) {
    let batch = batch(COLUMNS, rows);
    let mut rollup = Rollup::default();
    rollup.add(&batch).unwrap();
    rollup.add_counts(counts);
    let counted: i64 = counts.iter().map(|row| row.count).sum();
    let account = vec![CpuAccount { seen: before.0, lost: 0, counted: before.1 }];
    let footer = Footer {
        recorded_from_us: START_US + i64::from(seq) * 1_000_000_000 - 1_000_000_000,
        recorded_to_us: START_US + i64::from(seq) * 1_000_000_000,
        seen: rows.len() as u64 + counted.cast_unsigned(),
        counted: counted.cast_unsigned(),
        lost: 0,
        account,
        ..footer(rows.len())
    };
    let path = name(seq).sealed(recording.path(), Table::ResetsPerMinute);
    let companion = footer.for_companion(rollup.rows());
    write_parquet(&path, &rollup.finish().unwrap(), Table::ResetsPerMinute, Some(&companion));
    let path = name(seq).sealed(recording.path(), Table::Resets);
    write_parquet(&path, &batch, Table::Resets, Some(&footer));
}

/// Two segments: five rows and 1,100 counts, then 2,000 counts and no row.
fn recording() -> Recording {
    let recording = Recording::new();
    let first = [counted(0, Some(80), 1_000), counted(1, Some(443), 90), counted(1, None, 10)];
    seal(&recording, 1, &rows(1, 5), &first, (0, 0));
    seal(&recording, 2, &[], &[counted(20, Some(80), 2_000)], (1_105, 1_100));
    let path = name(3).sealed(recording.path(), Table::Losses);
    let of_storm = |src_port, count| LossRow {
        stage: STAGE_COUNTED,
        src_port,
        reason: Some("NO_SOCKET".into()),
        ..loss(count)
    };
    let losses = [of_storm(Some(80), 3_000), of_storm(Some(443), 90), of_storm(None, 10)];
    let own = Footer { seen: 0, lost: 0, ..footer(3) };
    write_parquet(&path, &batch(LOSS_COLUMNS, &losses), Table::Losses, Some(&own));
    recording
}

/// The result as CSV without its header, and what was said on stderr.
fn answer(recording: &Recording, arguments: &[&str]) -> (String, String) {
    let output = recording.analyze(&[&["--format", "csv"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    (text.split_once('\n').unwrap().1.to_owned(), stderr(&output))
}

/// The answer, about which nothing is to be said.
fn exact(recording: &Recording, arguments: &[&str]) -> String {
    let (text, told) = answer(recording, arguments);
    assert_eq!(told, "", "{arguments:?}");
    text
}

fn note(resets: &str) -> String {
    format!(
        "tcprst-analyze: note: {resets} more resets were counted in the files of this answer, \
         without a row each (tcprst-analyze losses)\n"
    )
}

#[test]
fn counts_by_dimensions_and_time_have_them() {
    let recording = recording();
    for (sql, expected) in [
        ("select count(*) from resets", "3105\n"),
        ("select count(*) as n from (select * from resets) as r", "3105\n"),
        (
            "select cause, count(*) from resets group by cause order by 1",
            "closed_port,3100\nunknown,5\n",
        ),
        (
            "select port, count(*) from resets where cause = 'closed_port' group by port order by 1",
            "80,3000\n443,90\n,10\n",
        ),
        (
            "select date_trunc('minute', time) as t, count(*) from resets \
             where port = 80 and cause = 'closed_port' group by 1 order by 1",
            "2026-11-21T20:18:00Z,1000\n2026-11-21T20:38:00Z,2000\n",
        ),
        ("select count(port) from resets", "3095\n"),
        ("select count(distinct port), max(port) from resets", "2,443\n"),
    ] {
        assert_eq!(exact(&recording, &[sql]), expected, "{sql}");
    }
}

#[test]
fn a_window_between_two_minutes_has_them_by_their_minute() {
    let recording = recording();
    // The rows are at 20:19:19, 20:20:19 and so on.
    for (since, until, expected) in [
        ("20:18:00.5", "20:19:30", "101\n"),
        ("20:18:00", "20:18:30", "1000\n"),
        ("20:19:30", "20:21:00", "1\n"),
        ("20:37:59", "20:38:01", "2000\n"),
        ("21:00:00.5", "22:00:00.5", "0\n"),
    ] {
        let sql = format!(
            "select count(*) from resets where time >= timestamp '2026-11-21 {since}Z' \
             and time < timestamp '2026-11-21 {until}Z'"
        );
        assert_eq!(exact(&recording, &[&sql]), expected, "{since}..{until}");
    }
    let sql = "select date_bin(interval '7 seconds', time) as t, count(*) from resets \
               where cause = 'closed_port' group by 1 order by 1";
    let counts: i64 = exact(&recording, &[sql])
        .lines()
        .map(|line| line.split_once(',').unwrap().1.parse::<i64>().unwrap())
        .sum();
    assert_eq!(counts, 3_100);
    let times = exact(&recording, &["select min(time), max(time) from resets"]);
    assert_eq!(times, "2026-11-21T20:18:00Z,2026-11-21T20:38:00Z\n");
}

#[test]
fn reports_have_them() {
    let recording = recording();
    let report = |arguments: &[&str]| answer(&recording, arguments).0;
    assert!(report(&["summary", "--by", "cause,port"]).starts_with("closed_port,80,3000,96.6\n"));
    assert!(report(&["top", "--by", "port"]).starts_with("80,3005,96.8,closed_port\n"));
    let timeline = report(&["timeline", "--window", "10m"]);
    assert!(timeline.contains("2026-11-21T20:10:00Z,1101\n"), "{timeline}");
    assert!(timeline.contains("2026-11-21T20:30:00Z,2000\n"), "{timeline}");
    let windows = [
        "2026-11-21T20:18:00Z..2026-11-21T20:28:30Z",
        "2026-11-21T20:28:30Z..2026-11-21T20:38:30Z",
    ];
    let diff = report(&["diff", windows[0], windows[1]]);
    assert!(diff.contains("closed_port,1100,2000,"), "{diff}");
    let since = report(&["--since", "2026-11-21T20:20:11Z", "summary"]);
    assert!(since.starts_with("closed_port,2000,"), "{since}");
    // The notes are about what is missing, and of these nothing is.
    let (_, told) = answer(&recording, &["summary"]);
    assert!(!told.contains("3,100") && !told.contains("more reset"), "{told}");
}

#[test]
fn an_answer_from_rows_says_how_many_it_leaves_out() {
    let recording = recording();
    for sql in [
        "select count(*) from resets where dst_addr = '10.0.0.2'",
        "select count(*) from resets where cpu = 0",
        "select count(*) from (select seq, cause from resets)",
    ] {
        let (text, told) = answer(&recording, &[sql]);
        if text != "3105\n" {
            assert_eq!((text.as_str(), told), ("5\n", note("3,100")), "{sql}");
        }
    }
    let (text, told) = answer(&recording, &["select seq from resets order by seq"]);
    assert_eq!((text.lines().count(), told), (5, note("3,100")));
    let (text, told) = answer(&recording, &["--no-rollup", "select count(*) from resets"]);
    assert_eq!((text.as_str(), told), ("5\n", note("3,100")));
    let (text, told) = answer(&recording, &["summary", "--by", "peer"]);
    assert!(text.starts_with("10.0.0.2,5,") && told.contains(&note("3,100")), "{text}{told}");
    // Only the files that were read.
    let (_, told) =
        answer(&recording, &["select seq from resets where time < '2026-11-21T20:18:01Z'"]);
    assert_eq!(told, note("1,100"));
    // Without its rollup, nobody knows what the resets of a segment were.
    fs::remove_file(name(1).sealed(recording.path(), Table::ResetsPerMinute)).unwrap();
    let (text, told) =
        answer(&recording, &["select cause, count(*) from resets group by 1 order by 1"]);
    assert_eq!((text.as_str(), told), ("closed_port,2000\nunknown,5\n", note("1,100")));
}

#[test]
fn files_and_losses_tell_them_apart() {
    let recording = recording();
    let sql = "select sum(seen), sum(written), sum(counted), sum(lost), sum(rows) from files";
    assert_eq!(exact(&recording, &[sql]), "3105,5,3100,0,5\n");
    let losses = exact(&recording, &["losses"]);
    assert!(losses.starts_with("web-1,counted,0,3000,"), "{losses}");
    assert_eq!(losses.lines().count(), 3);
    let verified = recording.analyze(&["verify", "--format", "json"]);
    let files: Vec<Json> = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(files.iter().all(|file| file["status"] == "ok"), "{files:#?}");
}

#[test]
fn verify_finds_counts_that_do_not_add_up() {
    let problems =
        |recording: &Recording| stdout(&recording.analyze(&["verify", "--format", "csv"]));
    let recording = recording();
    let path = name(3).sealed(recording.path(), Table::Losses);
    let losses = [LossRow { stage: STAGE_COUNTED, ..loss(3_099) }];
    let own = Footer { seen: 0, lost: 0, ..footer(1) };
    write_parquet(&path, &batch(LOSS_COLUMNS, &losses), Table::Losses, Some(&own));
    let told = problems(&recording);
    assert!(
        told.contains("reports 3,099 counted resets of web-1, but the footers report 3100"),
        "{told}"
    );
    // A rollup that has the rows alone.
    seal(&recording, 2, &[], &[counted(20, Some(80), 2_000)], (1_105, 1_100));
    let path = name(1).sealed(recording.path(), Table::Resets);
    let wrong = Footer { seen: 1_105, counted: 1_099, lost: 0, ..footer(5) };
    write_parquet(&path, &batch(COLUMNS, &rows(1, 5)), Table::Resets, Some(&wrong));
    let told = problems(&recording);
    assert!(told.contains("seen 1105 is not written 5 + counted 1099 + lost 0"), "{told}");
    assert!(told.contains("counts 1,105 resets, but its segment has 1104"), "{told}");
}

#[test]
fn events_between_counts_have_numbers_that_verify_accepts() {
    let recording = Recording::new();
    // 990 were counted before the event 1001, and 1,989 were read before it came out of the ring.
    seal(&recording, 1, &rows(1, 10), &[counted(0, Some(80), 1_989)], (0, 0));
    seal(&recording, 2, &[row(1001)], &[counted(20, Some(80), 1)], (1_999, 1_989));
    let told = stdout(&recording.analyze(&["verify", "--format", "csv"]));
    assert!(!told.contains("number"), "{told}");
}

#[test]
fn compaction_keeps_them() {
    let recording = recording();
    let asked = [
        "select cause, port, count(*) from resets group by 1, 2 order by 1, 2",
        "select date_trunc('hour', time) as t, count(*) from resets group by 1 order by 1",
        "select date_trunc('second', time) as t, count(*) from resets group by 1 order by 1",
        "select sum(seen), sum(written), sum(counted), sum(lost) from files",
        "select count(*) from resets",
    ];
    let before = asked.map(|sql| exact(&recording, &[sql]));
    assert_eq!(recording.analyze(&["compact"]).status.code(), Some(0));
    assert_eq!(exact(&recording, &["select count(*) from files"]), "1\n");
    assert_eq!(asked.map(|sql| exact(&recording, &[sql])), before);
    assert_eq!(recording.analyze(&["verify"]).status.code(), Some(0));
    assert_eq!(recording.analyze(&["compact"]).status.code(), Some(0));
    assert_eq!(asked.map(|sql| exact(&recording, &[sql])), before);
}

#[test]
fn the_page_has_them_and_says_where_not() {
    let recording = recording();
    let page = recording.path().join("page.html");
    let output = recording.analyze(&["report", "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = fs::read_to_string(page).unwrap();
    for expected in ["\"total\":3105", "\"counted\":3100", "3,100 resets of storms have no row"] {
        assert!(page.contains(expected), "{expected}");
    }
}

/// The spool of counts of a running recorder.
fn spool_counts(recording: &Recording, seq: u32, counts: &[RollupRow]) {
    let mut rollup = Rollup::default();
    rollup.add_counts(counts);
    let batch = rollup.finish().unwrap();
    let pairs = footer(0).to_pairs().unwrap().into_iter().collect();
    let schema = Schema::new_with_metadata(batch.schema().fields().clone(), pairs);
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema).unwrap();
    writer
        .write(&RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap())
        .unwrap();
    writer.flush().unwrap();
    drop(writer);
    common::put(&name(seq).counts(recording.path()), &bytes);
}

#[test]
fn counts_of_the_open_segment_are_in_the_answer() {
    let recording = recording();
    recording.spool(4, &[rows(1001, 3)], 0);
    spool_counts(&recording, 4, &[counted(1_003, Some(80), 400)]);
    // One without a row: its spool of rows is not whole yet.
    common::put(&name(5).spool(recording.path()), &[]);
    spool_counts(&recording, 5, &[counted(1_004, Some(80), 50)]);
    assert_eq!(exact(&recording, &["select count(*) from resets"]), "3558\n");
    let by_port = "select count(*) from resets where port = 80 and cause = 'closed_port'";
    assert_eq!(exact(&recording, &[by_port]), "3450\n");
    let since = "select count(*) from resets where time > timestamp '2026-11-22 00:00:00.5Z'";
    assert_eq!(exact(&recording, &[since]), "453\n");
    let (text, told) = answer(&recording, &["select count(*) from resets where cpu = 0"]);
    assert_eq!((text.as_str(), told), ("8\n", note("3,550")));
    let damaged = name(5).counts(recording.path());
    fs::write(&damaged, b"not an Arrow stream").unwrap();
    assert_eq!(exact(&recording, &["select count(*) from resets"]), "3508\n");
}
