//! Limits on memory, spill space and threads.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Recording, one_line, rows, stderr, stdout};

fn recording() -> Recording {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    recording
}

/// Sorts 250 MB.
const SORT: &str = "select value, repeat('x', 100) as text from generate_series(1, 2000000) \
                    order by value % 1000003 desc, value";

#[test]
fn what_does_not_fit_into_memory_goes_to_the_disk() {
    let (recording, spilled) = (recording(), TempDir::new().unwrap());
    let folder = spilled.path().to_str().unwrap();
    let sorted = |arguments: &[&str]| {
        let output = recording.analyze(&[arguments, &["--format", "csv", SORT]].concat());
        assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)));
        stdout(&output)
    };
    let little = sorted(&["--memory-limit", "64MiB", "--spill-dir", folder]);
    assert_eq!(little.lines().count(), 2_000_001);
    assert!(little == sorted(&[]), "memory must not change the answer");
    assert_eq!(fs::read_dir(spilled.path()).unwrap().count(), 0);
}

#[test]
fn explain_analyze_says_what_went_to_the_disk() {
    let spilled = TempDir::new().unwrap();
    let arguments = ["--memory-limit", "64MiB", "--spill-dir", spilled.path().to_str().unwrap()];
    let sql = format!("explain analyze {SORT}");
    let plan = stdout(&recording().analyze(&[&arguments[..], &[&sql]].concat()));
    assert!(plan.contains("spilled_bytes=") && !plan.contains("spill_count=0,"), "{plan}");
}

#[test]
fn what_needs_memory_says_what_to_do() {
    let sql = "select array_agg(value) from generate_series(1, 10000000)";
    let line = one_line(&recording().analyze(&["--memory-limit", "1MiB", sql]), 1);
    assert!(line.contains("needs more memory") && line.contains("--memory-limit"), "{line}");
    assert!(line.contains("limit 1.0 MiB, ") && !line.contains('['), "{line}");
}

/// Needs root.
#[test]
fn a_full_disk_says_what_to_do() {
    let (recording, small) = (recording(), TempDir::new().unwrap());
    let script = "mount -t tmpfs -o size=4m none \"$1\" && exec \"$2\" --data \"$3\" \
                  --memory-limit 64MiB --spill-dir \"$1\" --format csv \"$4\"";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(small.path())
        .arg(env!("CARGO_BIN_EXE_tcprst-analyze"))
        .arg(recording.path())
        .arg(SORT)
        .output()
        .unwrap();
    let line = one_line(&output, 1);
    assert!(line.contains("no room") && line.contains("--spill-dir"), "{line}");
}

#[test]
fn wrong_limits_are_exit_code_2() {
    let recording = recording();
    for arguments in [
        ["--memory-limit", "lots"],
        ["--memory-limit", "-1"],
        ["--threads", "0"],
        ["--spill-dir", "/nonexistent"],
        ["--spill-dir", "/dev/null"],
    ] {
        let output = recording.analyze(&[&arguments[..], &["select 1"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(arguments[1]), "{arguments:?}: {}", stderr(&output));
    }
    for (arguments, expected) in [
        (&["--threads", "0", "select 1"], "'0' for '--threads <N>': must be at least 1"),
        (&["summary", "--limit", "x"], "'x' for '--limit <N>': must be a whole number"),
        (&["--memory-limit", "lots", "select 1"], "use a size such as 64MiB"),
    ] {
        let output = recording.analyze(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn threads_are_those_of_the_query() {
    let sql = "show datafusion.execution.target_partitions";
    let output = recording().analyze(&["--format", "csv", "--threads", "3", sql]);
    assert!(stdout(&output).contains(",3\n"), "{}", stdout(&output));
}
