//! Causes every kind of reset that we know, on the real kernel: each is recorded once, with its
//! proven cause, and blamed on no one else. `cargo xtask vm` judges other kernels by the same
//! rules.

use std::collections::BTreeMap;
use std::path::Path;

use scenarios::{Busy, record, scenarios};
use serde_json::json;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{RECORDER, Row, require_root, rows_in, segments};

#[test]
fn each_scenario_is_recorded_once_and_nobody_innocent_is_blamed() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let busy = Busy::start().expect("busy processes");
    let played = record(Path::new(RECORDER), dir.path(), &[]).expect("it records");
    let busy_pids = busy.pids();
    drop(busy);

    assert_eq!(played.outcomes.len(), scenarios().count());

    // The stored files contain what was printed, and their accounts add up.
    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(common::Segment::check);
    let rows = rows_in(&resets, Some(played.ns.cookie()));
    let printed = played.recorded.rows.iter();
    let here = printed.filter(|row| row["netns_cookie"] == json!(played.ns.cookie())).count();
    assert_eq!(rows.len(), here, "rows in the files against those printed");
    let faults = played.judge().expect("a verdict").faults();
    // The kernel does not count netfilter's resets.
    let sent = rows.iter().filter(|row| row["direction"] == "sent");
    let is_by_tcp =
        |row: &&Row| row["callee"].as_str().is_some_and(|callee| callee.starts_with("tcp_"));
    let (by_tcp, others): (Vec<&Row>, Vec<&Row>) = sent.partition(is_by_tcp);
    let lost: u64 = resets.iter().map(|segment| segment.footer.lost).sum();
    assert_eq!(
        by_tcp.len() as u64,
        played.out_rsts,
        "rows against the namespace's OutRsts; {lost} lost; of other callees: {others:?}; {}",
        faults.join("\n")
    );

    let reasons = &resets.first().expect("a segment").footer.reasons;
    for row in &rows {
        check_reason(row, reasons);
        for (pid, comm) in [("pid", "comm"), ("tid", "comm"), ("socket_pid", "socket_comm")] {
            assert_ne!(row[comm], json!(Busy::COMM), "an innocent process is blamed: {row:?}");
            let innocent = busy_pids.iter().any(|busy| row[pid] == json!(busy));
            assert!(!innocent, "an innocent process is blamed: {row:?}");
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The reason's name and number agree according to the same file's metadata.
fn check_reason(row: &Row, reasons: &BTreeMap<i32, String>) {
    let code = row["reason_code"].as_i64().and_then(|code| i32::try_from(code).ok());
    let named = code.and_then(|code| reasons.get(&code));
    assert_eq!(row["reason"].as_str(), named.map(String::as_str), "{row:?}");
}
