//! `--allow-files`: SQL reads and writes files outside the recording, and never writes into it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::{Recording, one_line, rows, stderr, stdout};

fn recording() -> Recording {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 6));
    recording
}

fn allowed(recording: &Recording, sql: &str) -> String {
    let output = recording.analyze(&["--allow-files", "--format", "csv", sql]);
    assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)), "{sql}");
    stdout(&output)
}

#[test]
fn without_it_other_files_are_refused_and_it_is_named() {
    let (recording, other) = (recording(), TempDir::new().unwrap());
    let file = other.path().join("x.csv");
    fs::write(&file, "a\n1\n").unwrap();
    let file = file.display();
    for sql in [
        format!("select * from '{file}'"),
        format!("select * from resets where seq in (select a from '{file}')"),
        format!("create external table x stored as csv location '{file}'"),
        format!("copy resets to '{}/y.csv'", other.path().display()),
        "create view x as select 1".to_owned(),
        "set datafusion.runtime.temp_directory = '/tmp'".to_owned(),
    ] {
        let line = one_line(&recording.analyze(&[&sql]), 1);
        assert!(line.contains("only reads") && line.contains("--allow-files"), "{sql}: {line}");
    }
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
}

#[test]
fn copy_writes_what_is_read_back() {
    let (recording, other) = (recording(), TempDir::new().unwrap());
    for name in ["x.parquet", "x.csv", "x.json"] {
        let file = other.path().join(name);
        let file = file.display();
        let answer = allowed(
            &recording,
            &format!(
                "copy (select seq, caller from resets) to '{file}'; select sum(seq) as s from '{file}'"
            ),
        );
        assert_eq!(answer, "count\n6\ns\n21\n", "{name}");
    }
    let file = other.path().join("x.csv");
    let sql = format!(
        "create external table x stored as csv location '{}' options ('format.has_header' 'true'); \
         create view y as select max(seq) as m from x; select m from y",
        file.display()
    );
    assert_eq!(allowed(&recording, &sql), "m\n6\n");
}

/// All files below a folder, with their content.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn the_recording_is_never_written_to() {
    let (recording, other) = (recording(), TempDir::new().unwrap());
    let before = content(recording.path());
    let sealed = before[0].0.display();
    let data = recording.path().display();
    let name = recording.path().file_name().unwrap().display();
    let link = other.path().join("link");
    symlink(recording.path(), &link).unwrap();
    let link = link.display();
    for sql in [
        format!("copy resets to '{data}/x.csv'"),
        format!("copy resets to '{data}/resets/date=2026-11-21/x.parquet'"),
        format!("copy resets to '{data}/new/' stored as parquet"),
        format!("copy resets to '{sealed}'"),
        format!("copy resets to 'file://{data}/x.csv'"),
        format!("copy resets to '{}/../{name}/x.csv'", other.path().display()),
        format!("copy resets to '{link}/x.csv'"),
        format!("explain analyze copy resets to '{data}/x.csv'"),
        format!("create external table x stored as parquet location '{data}/resets/'"),
        format!("create unbounded external table x (a int) stored as csv location '{link}/x'"),
        format!("insert into '{data}/resets/date=2026-11-21/' select * from resets"),
        "insert into resets select * from resets".to_owned(),
        "delete from resets".to_owned(),
        "update resets set seq = 1".to_owned(),
    ] {
        let output = recording.analyze(&["--allow-files", "--format", "csv", &sql]);
        let line = one_line(&output, 1);
        assert!(line.len() < 300, "{sql}: {line}");
        assert!(content(recording.path()) == before, "{sql}: {line}");
    }
    // Reading a file of the recording by its path is allowed.
    let sum = format!("select sum(seq) as s from '{sealed}'");
    assert_eq!(allowed(&recording, &sum), "s\n21\n");
}
