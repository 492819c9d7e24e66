//! The shell, in a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::common::{Recording, row_by, rows};
use crate::terminal::Terminal;

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";

fn recording() -> Recording {
    let recording = Recording::new();
    recording.seal(1, &rows(1, 6));
    recording
}

#[test]
fn statements_are_answered_until_ctrl_d() {
    let recording = recording();
    let mut shell = Terminal::start(&recording, &[]);
    let banner = shell.prompt();
    assert!(banner.contains(": 1 segment.") && banner.contains(".help"), "{banner}");
    let answer = shell.line("select count(*) as n, 40 + 2 as answer from resets;");
    assert!(answer.contains("n  answer") && answer.contains("6      42"), "{answer}");
    assert!(answer.contains("(1 row, ") && answer.contains(" s)"), "{answer}");
    let answer = shell.line("select 1 as a; select 2 as b;");
    assert!(answer.contains("(1 row, ") && answer.contains("b"), "{answer}");
    shell.type_in(CTRL_D);
    assert_eq!(shell.end().0, 0);
}

#[test]
fn every_way_out_is_exit_code_0() {
    for way in [".quit", ".exit", "quit", "exit", "quit;", "exit;"] {
        let recording = recording();
        let mut shell = Terminal::shell(&recording, &[]);
        shell.type_in(way);
        shell.type_in("\r");
        let (code, last, _) = shell.end();
        assert_eq!(code, 0, "{way}: {last}");
    }
}

#[test]
fn a_statement_may_have_several_lines() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    shell.type_in("select 'a;b' as x, -- not yet;\r");
    shell.type_in("count(*) as n\r");
    shell.type_in("from resets\r");
    shell.type_in(";\r");
    let answer = shell.wait_for("(1 row, ");
    assert!(answer.contains("x,n") && answer.contains("a;b,6"), "{answer}");
}

#[test]
fn tab_completes_names() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    let answer = shell.line("select count(*) from contai\t;");
    assert!(answer.contains("count(*)") && answer.contains("(1 row, "), "{answer}");
    let answer = shell.line("select max(netns_coo\t) as m from resets;");
    assert!(answer.contains("m\r\n1\r\n"), "{answer:?}");
    let answer = shell.line("select date_trun\t'hour', time) as hour from resets limit 1;");
    assert!(answer.contains("2026-11-21T20:00:00Z"), "{answer}");
    let answer = shell.line(".mod\t json");
    assert!(!answer.contains("Error"), "{answer}");
    let answer = shell.line("select 1 as one;");
    assert!(answer.contains(r#"[{"one":1}]"#), "{answer}");
}

#[test]
fn history_is_kept_for_its_user_alone() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    shell.line("select 41 + 1 as answer;");
    shell.type_in(CTRL_D);
    let (code, _, state) = shell.end();
    assert_eq!(code, 0);
    let file = state.path().join("tcprst/history");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains("select 41 + 1 as answer;"));

    let mut shell = Terminal::start_with(&recording, &["--format", "csv"], state);
    shell.prompt();
    let answer = shell.line(UP);
    assert!(answer.contains("\n42\r\n"), "{answer:?}");
}

#[test]
fn dot_commands_do_what_help_says() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &[]);
    let help = shell.line(".help");
    assert!(help.contains(".mode FORMAT") && help.contains("Ctrl-C"), "{help}");
    for (mode, expected) in [
        ("csv", "a,b\r\n1,x\r\n"),
        ("tsv", "a\tb\r\n1\tx\r\n"),
        ("json", "[{\"a\":1,\"b\":\"x\"}]"),
        ("ndjson", "{\"a\":1,\"b\":\"x\"}\r\n"),
        ("markdown", "| 1 | x |"),
        ("table", "a  b\r\n-  -\r\n1  x\r\n"),
    ] {
        shell.line(&format!(".mode {mode}"));
        let answer = shell.line("select 1 as a, 'x' as b;");
        // A terminal may show a tab as a tab or as spaces.
        assert!(answer.contains(expected), "{mode}: {answer:?}");
    }
    for mode in ["parquet", "nosuch"] {
        assert!(shell.line(&format!(".mode {mode}")).contains("Error: .mode is one of"));
    }
    let tables = shell.line(".tables");
    assert!(["resets", "losses", "files"].iter().all(|name| tables.contains(name)), "{tables}");
    let columns = shell.line(".schema losses");
    assert!(columns.contains("from_time") && columns.contains("Where they were lost"), "{columns}");
    assert!(shell.line(".schema nosuch").contains("Error: "));
    shell.line(".timing off");
    let answer = shell.line("select 1;");
    assert!(answer.contains("(1 row)"), "{answer}");
    let script = recording.path().join("two words.sql");
    fs::write(&script, "select 20 + 1 as a;\nselect 20 + 2 as b").unwrap();
    let answer = shell.line(&format!(".read {}", script.display()));
    assert!(answer.contains("21") && answer.contains("22"), "{answer}");
    assert!(shell.line(".read /nonexistent.sql").contains("Error: cannot read the SQL"));
    assert!(shell.line(".nosuch").contains("Error: unknown command .nosuch"));
}

#[test]
fn mistakes_leave_the_shell_as_it_is() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    assert!(shell.line("selec 1;").contains("Error: SQL: "));
    assert!(shell.line("select callr from resets;").contains("Did you mean 'resets.caller'?"));
    assert!(shell.line("drop table resets;").contains("only reads"));
    assert!(shell.line("select count(*) as n from resets;").contains("\n6\r\n"));
}

#[test]
fn ctrl_c_clears_the_line() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    for unfinished in ["select nonsense", "select nonsense\rfrom 'nowhere\r"] {
        shell.type_in(unfinished);
        shell.type_in(CTRL_C);
        // The editor's escape sequence at the end of a line.
        shell.wait_for("\u{1b}[?2004l");
        shell.prompt();
        let answer = shell.line("select 7 as n;");
        assert!(answer.starts_with("n\r\n7\r\n"), "{answer}");
    }
}

#[test]
fn ctrl_c_cancels_the_query_and_not_the_shell() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv"]);
    for _ in 0..2 {
        shell.type_in(&format!("select count(*) from ({}) where value % 7 = 8;\r", crate::ENDLESS));
        // The progress line shows that the query runs.
        shell.wait_for("rows read, ");
        shell.type_in(CTRL_C);
        shell.wait_for("cancelled");
        let rest = shell.prompt();
        assert!(!rest.contains("Error"), "{rest}");
    }
    // A query that prints continuously.
    shell.type_in(&format!("{};\r", crate::ENDLESS));
    shell.wait_for("\n8000\r\n");
    shell.type_in(CTRL_C);
    shell.wait_for("cancelled");
    shell.prompt();
    assert!(shell.line("select 7 as n;").contains("\n7\r\n"));
}

#[test]
fn each_statement_sees_what_is_recorded_by_then() {
    let recording = recording();
    let mut shell = Terminal::shell(&recording, &["--format", "csv", "--allow-files"]);
    shell.line("create view mine as select count(*) as n from resets;");
    shell.line("create table kept as select 5 as n;");
    shell.line("set datafusion.execution.batch_size = 77;");
    assert!(shell.line("select n from mine;").contains("\n6\r\n"));
    recording.seal(2, &rows(7, 4));
    assert!(shell.line("select count(*) as n from resets;").contains("\n10\r\n"));
    assert!(shell.line("select n from mine;").contains("\n10\r\n"));
    assert!(shell.line("select n from kept;").contains("\n5\r\n"));
    assert!(shell.line("show datafusion.execution.batch_size;").contains(",77\r\n"));
}

#[test]
fn a_damaged_file_is_told_once() {
    let recording = recording();
    let path = recording.seal(2, &rows(7, 1));
    fs::write(&path, b"not a file").unwrap();
    let mut shell = Terminal::start(&recording, &[]);
    shell.prompt();
    let count = "select count(*) as n from resets;";
    assert!(shell.line(count).contains("skipped "));
    assert!(!shell.line(count).contains("skipped "));
}

#[test]
fn no_value_reaches_the_terminal_as_it_is() {
    let recording = Recording::new();
    recording.seal(1, &[row_by(1, "\u{1b}]0;title\u{7}\u{9b}2J\u{202e}")]);
    let mut shell = Terminal::shell(&recording, &[]);
    for mode in ["table", "csv", "tsv", "json", "ndjson", "markdown"] {
        shell.line(&format!(".mode {mode}"));
        let answer = shell.line("select comm as shown from resets;");
        let shown = answer.split("shown").last().unwrap();
        assert!(!shown.contains("\u{1b}]") && !shown.contains('\u{9b}'), "{mode}: {shown:?}");
        assert!(!shown.contains(['\u{7}', '\u{202e}']), "{mode}: {shown:?}");
        assert!(shown.contains("title"), "{mode}: {shown:?}");
    }
    let answer = shell.line("select cast(comm as int) from resets;");
    assert!(answer.contains("Error: ") && !answer.contains("\u{1b}]0;"), "{answer:?}");
}
