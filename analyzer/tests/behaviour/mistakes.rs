//! Invalid queries and damaged recordings.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::common::{Recording, analyze, one_line, rows, stderr, stdout};
use crate::terminal::Terminal;

#[test]
fn a_wrong_query_is_one_line_on_stderr() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    for (sql, expected) in [
        ("select * frm resets", "SQL: "),
        ("sumary", ": did you mean the command 'summary'?"),
        ("select nosuch from resets", "No field named nosuch"),
        ("select * from nosuch", "table 'nosuch' not found"),
    ] {
        for format in ["table", "csv", "json", "markdown", "parquet", "arrow"] {
            let line = one_line(&recording.analyze(&["--format", format, sql]), 1);
            assert!(line.contains(expected), "{sql}: {line}");
        }
    }
}

#[test]
fn what_comes_before_a_mistake_is_answered() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    let output = recording.analyze(&["--format", "csv", "select 1 as a; select nosuch; select 2"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("a\n1\n", Some(1)));
    // A syntax error is found before anything runs.
    let output = recording.analyze(&["--format", "csv", "select 1 as a; selec 2"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(1)));
}

#[test]
fn a_broken_file_is_told_and_is_exit_code_1() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    let cut = recording.seal(2, &rows(4, 3));
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let output = recording.analyze(&["--format", "csv", "select count(*) as n from resets"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("n\n3\n", Some(1)));
    let told = stderr(&output);
    assert!(told.starts_with("tcprst-analyze: skipped ") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_folder_without_files_says_what_to_check() {
    let empty = Recording::new();
    let line = one_line(&empty.analyze(&["select 1"]), 1);
    assert!(line.contains("or tcprst-record --out names another folder"), "{line}");
    let (code, shown, _) = Terminal::start(&empty, &[]).end();
    assert_eq!(code, 1);
    assert!(shown.contains("or tcprst-record --out names another folder"), "{shown}");
}

#[test]
fn a_huge_result_into_head_ends_at_once() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    for format in ["table", "csv", "tsv", "json", "ndjson", "markdown", "arrow", "parquet"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
            .arg("--data")
            .arg(recording.path())
            .args(["--format", format, crate::ENDLESS])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)), "{format}");
    }
}

#[test]
fn a_file_for_programs_is_one_result_and_not_for_a_terminal() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    for format in ["parquet", "arrow"] {
        let line = one_line(&recording.analyze(&["--format", format, "select 1; select 2"]), 2);
        assert!(line.contains("one result"), "{line}");
        for arguments in [&["--format", format, "select 1"][..], &["--format", format]] {
            let (code, shown, _) = Terminal::start(&recording, arguments).end();
            assert_eq!(code, 2, "{shown}");
            assert!(shown.contains("not for a terminal") && shown.lines().count() == 1, "{shown}");
        }
    }
}

#[test]
fn sql_on_a_pipe_is_no_shell() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    let data = recording.path().to_str().unwrap();
    let output = analyze(&["--data", data, "--format", "csv"], "select 1 as a;\nselect 2 as b;\n");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("a\n1\nb\n2\n", ""));
}

#[test]
fn sql_that_begins_with_a_comment_is_no_option() {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 3));
    for sql in ["-- by hand\nselect 1 as a", "--\tby hand\nselect 1 as a", "--\nselect 1 as a"] {
        let output = recording.analyze(&["--format", "csv", sql]);
        assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("a\n1\n", ""), "{sql}");
    }
    let output = recording.analyze(&["--formt", "csv", "select 1"]);
    assert_eq!(output.status.code(), Some(2), "an option that is none");
}
