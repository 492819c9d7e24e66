//! `--print`: writes resets to stdout while they are recorded.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use scenarios::{FLOOD_PORT, Namespace, flood};
use serde_json::{Value as Json, json};
use tcprst_schema::columns::COLUMNS;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{LOSSLESS, Recording, count_in, require_root, segments};

const RESETS: u64 = 50;

fn start(format: &str, dir: &TempDir) -> (Recording, ChildStdout) {
    let [option, size] = LOSSLESS;
    Recording::start_with_stdout(dir.path(), &[format, option, size])
}

fn recorded(dir: &TempDir, ns: &Namespace) -> u64 {
    let resets = segments(dir.path(), Table::Resets);
    resets.iter().map(|segment| count_in(&segment.batches, ns.cookie())).sum()
}

#[test]
fn json_lines_have_every_column() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let (recording, mut stdout) = start("--print=json", &dir);
    flood(&ns, RESETS, 1).expect("resets");
    // The pipe holds 64 KiB, so a thread must read while the recorder writes.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    recording.stop(Signal::SIGTERM).totals();
    let text = reader.join().expect("read").expect("UTF-8");

    let columns: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let mut ours = 0;
    for line in text.lines() {
        let row: Json = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let keys: BTreeSet<&str> =
            row.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, columns);
        if row["netns_cookie"] == json!(ns.cookie()) {
            ours += 1;
            assert_eq!(row["cause"], "closed_port", "{line}");
            assert!(row["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        }
    }
    assert_eq!(ours, RESETS);
    assert_eq!(recorded(&dir, &ns), RESETS, "what is printed is recorded too");
}

#[test]
fn a_table_has_a_line_for_each_reset() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let (recording, stdout) = start("--print", &dir);
    let mut lines = BufReader::new(stdout).lines().map(|line| line.expect("UTF-8"));
    assert!(lines.next().is_some_and(|line| line.starts_with("TIME")), "a header, at once");
    flood(&ns, RESETS, 1).expect("resets");
    let source = format!(" 127.0.0.1:{FLOOD_PORT} -> ");
    // The line appears while the recorder runs, not only at its end.
    let seen = lines.by_ref().find(|line| line.contains(&source)).expect("our reset");
    assert!(seen.contains(" closed_port ") && seen.contains(" tcp_v4_rcv "), "{seen}");
    // Keep reading: a full pipe would block the recorder's printing.
    let rest = thread::spawn(move || lines.filter(|line| line.contains(&source)).count() as u64);
    recording.stop(Signal::SIGTERM).totals();
    // Other processes on this machine may connect to the same port.
    assert!(rest.join().expect("read") >= RESETS - 1);
}

#[test]
fn a_closed_stdout_does_not_end_the_recording() {
    require_root();
    for format in ["--print", "--print=json"] {
        let dir = TempDir::new().expect("a folder");
        let ns = Namespace::new().expect("a network namespace");
        let (recording, stdout) = start(format, &dir);
        drop(stdout);
        for _ in 0..2 {
            flood(&ns, RESETS, 1).expect("resets");
            thread::sleep(Duration::from_millis(300));
        }
        let totals = recording.stop(Signal::SIGTERM).totals();
        assert_eq!(totals.seen, totals.written + totals.lost);
        assert_eq!(recorded(&dir, &ns), 2 * RESETS, "{format}");
    }
}

#[test]
fn a_closed_stdout_is_no_error_for_doctor() {
    require_root();
    let mut doctor = Command::new(common::RECORDER)
        .arg("doctor")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(doctor.stdout.take());
    assert_eq!(doctor.wait().expect("its status").code(), Some(0));
}
