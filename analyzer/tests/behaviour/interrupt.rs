//! Ctrl-C without a shell: the process ends as SIGINT would end it, and leaves nothing behind.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Recording, rows};

/// The exit code that a shell reports for a process ended by SIGINT.
const INTERRUPTED: Option<i32> = Some(130);

fn start(arguments: &[&str]) -> (Recording, Child) {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    let child = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
        .arg("--data")
        .arg(recording.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (recording, child)
}

fn press_ctrl_c(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

fn files_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Waits for a non-empty file below the folder.
fn wait_for_file(child: &mut Child, folder: &Path) {
    let has_bytes = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| entry.metadata().is_ok_and(|file| file.len() > 0 && file.is_file()))
    };
    let below = || fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    while !(has_bytes(folder) || below().any(|path| has_bytes(&path))) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended before");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_query_ends() {
    let (_recording, mut child) = start(&["--format", "csv", crate::ENDLESS]);
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    press_ctrl_c(&child);
    // A reader of the output is not left hanging either.
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (INTERRUPTED, &b""[..]));
}

#[test]
fn a_query_ends_that_prints_nothing_yet() {
    let sql = format!("select count(*) from ({}) where value % 7 = 8", crate::ENDLESS);
    let (_recording, child) = start(&["--format", "csv", &sql]);
    // The program installs its handler for Ctrl-C when it starts to run.
    let status = format!("/proc/{}/status", child.id());
    let catches = |status: String| {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim();
        Some(u64::from_str_radix(caught, 16).ok()? & 2 != 0)
    };
    while fs::read_to_string(&status).ok().and_then(catches) != Some(true) {
        sleep(Duration::from_millis(5));
    }
    press_ctrl_c(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (INTERRUPTED, &b""[..]));
}

#[test]
fn a_query_ends_that_nobody_reads() {
    let (_recording, mut child) = start(&["--format", "csv", crate::ENDLESS]);
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    press_ctrl_c(&child);
    assert_eq!(child.wait().unwrap().code(), INTERRUPTED);
    drop(out);
}

#[test]
fn copy_leaves_no_half_file() {
    let target = TempDir::new().unwrap();
    for name in ["out.csv", "out.parquet", "out.json"] {
        let sql = format!("copy ({}) to '{}'", crate::ENDLESS, target.path().join(name).display());
        let (_recording, mut child) = start(&["--allow-files", &sql]);
        wait_for_file(&mut child, target.path());
        press_ctrl_c(&child);
        assert_eq!(child.wait_with_output().unwrap().status.code(), INTERRUPTED);
        assert_eq!(files_in(target.path()), [""; 0], "{name}");
    }
}

#[test]
fn what_did_not_fit_into_memory_is_gone() {
    let spilled = TempDir::new().unwrap();
    let sql = "select value from generate_series(1, 1000000000) order by value % 1000003, value";
    let folder = spilled.path().to_str().unwrap();
    let (_recording, mut child) = start(&["--memory-limit", "64MiB", "--spill-dir", folder, sql]);
    wait_for_file(&mut child, spilled.path());
    press_ctrl_c(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), INTERRUPTED);
    assert_eq!(files_in(spilled.path()), [""; 0]);
}
