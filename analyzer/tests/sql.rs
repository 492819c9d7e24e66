//! Queries: sources of the SQL, formats of results, and refused statements.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tcprst_schema::columns::{COLUMNS, LOSS_COLUMNS};

mod common;
use common::{Recording, analyze, loss, one_line, row_by, rows, stderr, stdout};

fn recording() -> Recording {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 6));
    recording
}

#[test]
fn sql_comes_from_an_argument_a_file_or_stdin() {
    let recording = recording();
    let sql = "select caller, count(*) as n from resets group by caller order by caller";
    let expected = "caller,n\n__tcp_close,2\ntcp_disconnect,2\ntcp_v4_rcv,2\n";
    let file = recording.path().join("query.sql");
    fs::write(&file, sql).unwrap();
    let (data, file) = (recording.path().to_str().unwrap(), file.to_str().unwrap());
    for (arguments, stdin) in
        [(vec![sql], ""), (vec!["-f", file], ""), (vec!["-f", "-"], sql), (vec![], sql)]
    {
        let output = analyze(&[&["--data", data, "--format", "csv"], &*arguments].concat(), stdin);
        assert_eq!(stdout(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn statements_run_in_order() {
    let output = recording().analyze(&["--format", "csv", "select 1 as a; select 2 as b;"]);
    assert_eq!(stdout(&output), "a\n1\nb\n2\n");
}

#[test]
fn each_format_is_what_it_says() {
    let recording = recording();
    let sql = "select time, pid, caller from resets order by time limit 2";
    let out = |format| stdout(&recording.analyze(&["--format", format, sql]));

    let json: Value = serde_json::from_str(&out("json")).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[1]["time"], "2026-11-21T20:19:19Z");
    assert_eq!(json[0].get("pid"), Some(&Value::Null));

    let lines: Vec<Value> =
        out("ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, *json.as_array().unwrap());

    assert_eq!(
        out("csv"),
        "time,pid,caller\n2026-11-21T20:18:19Z,,tcp_disconnect\n2026-11-21T20:19:19Z,,__tcp_close\n"
    );
    assert_eq!(
        out("table"),
        "time                  pid  caller\n\
         --------------------  ---  --------------\n\
         2026-11-21T20:18:19Z       tcp_disconnect\n\
         2026-11-21T20:19:19Z       __tcp_close\n"
    );
}

#[test]
fn the_functions_that_questions_need_are_there() {
    let recording = recording();
    for (sql, expected) in [
        (
            "select date_trunc('hour', time), count(*) from resets group by 1",
            "2026-11-21T20:00:00Z,6\n",
        ),
        ("select count(*) from resets where caller like 'tcp%'", "4\n"),
        ("select count(*) from resets where caller ~ '^__tcp'", "2\n"),
        ("select count(*) from resets where regexp_like(stack, 'tcp_close;')", "2\n"),
        ("select approx_distinct(caller) from resets", "3\n"),
        (
            "select string_agg(caller, ',') from resets where seq < 2",
            "\"tcp_disconnect,__tcp_close\"\n",
        ),
        ("select min(caller), max(caller) from resets", "__tcp_close,tcp_v4_rcv\n"),
        (
            "select caller, min(stack), max(seq), avg(seq) from resets where seq < 1 group by caller",
            "tcp_disconnect,entry;tcp_disconnect;tcp_send_active_reset,0,0.0\n",
        ),
        (
            "select upper(caller) from resets where caller || 'x' = '__tcp_closex' limit 1",
            "__TCP_CLOSE\n",
        ),
        ("select count(*) from resets a join resets b on a.stack = b.stack", "12\n"),
        ("select count(*) from resets where time >= '2026-11-21T20:20:00Z'", "4\n"),
        ("select count(*) from resets where time < now() - interval '100 years'", "0\n"),
        ("select min(time), max(seq) from resets", "2026-11-21T20:18:19Z,5\n"),
        ("select src_addr || ':' || src_port from resets limit 1", "10.0.0.1:80\n"),
        ("select row_number() over (order by time) from resets order by 1 desc limit 1", "6\n"),
        ("select split_part(stack, ';', 1), count(*) from resets group by 1", "entry,6\n"),
        (
            "select date_bin(interval '5 minutes', time), count(*) from resets group by 1 order by 1 limit 1",
            "2026-11-21T20:15:00Z,2\n",
        ),
        (
            "select table_name from information_schema.tables where table_schema = 'public' order by 1",
            "containers\nfiles\nledger\nlosses\nresets\nresets_per_minute\n",
        ),
    ] {
        assert_eq!(recording.query(sql), expected, "{sql}");
    }
}

#[test]
fn plans_and_descriptions_are_shown() {
    let recording = recording();
    let plan = stdout(&recording.analyze(&["explain select count(*) from resets where cpu = 1"]));
    assert!(plan.lines().count() > 4, "{plan}");
    for sql in ["show tables", "describe resets", "explain analyze select * from resets"] {
        let output = recording.analyze(&[sql]);
        assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)), "{sql}");
        assert!(stdout(&output).lines().count() > 2, "{sql}");
    }
}

#[test]
fn mistakes_are_one_line() {
    let recording = recording();
    for (sql, expected) in [
        ("selec 1", "SQL: "),
        ("select", "SQL: "),
        ("select count( from resets", "SQL: "),
        ("", "no statement"),
        (" -- nothing", "no statement"),
        ("select 1; selec 2", "SQL: "),
        ("select callr from resets", "No field named callr. Did you mean 'resets.caller'?"),
        (
            "select * from reset",
            "table 'reset' not found (there are resets, resets_per_minute, losses, ledger, containers and files)",
        ),
        ("select nosuch(caller) from resets", "Invalid function 'nosuch'. Did you mean"),
        ("select 1 / 0", "Divide by zero"),
        ("select date_trunc(caller) from resets", "expects 2 arguments but received 1"),
        ("select * from 'x.parquet'", "not found"),
    ] {
        let line = one_line(&recording.analyze(&["--format", "csv", sql]), 1);
        assert!(line.contains(expected), "{sql}: {line}");
        assert!(line.len() < 300, "{sql}: {line}");
    }
}

#[test]
fn long_and_deep_sql_does_not_crash() {
    let recording = recording();
    let long = vec!["seq = 1"; 500].join(" or ");
    assert_eq!(recording.query(&format!("select seq from resets where {long}")), "1\n");
    let deep = format!("select {}1{}", "(".repeat(1000), ")".repeat(1000));
    assert!(one_line(&recording.analyze(&[&deep]), 1).contains("nested too deeply"));
}

#[test]
fn whatever_writes_is_refused() {
    let recording = recording();
    let target = recording.path().join("out.csv");
    let target = target.to_str().unwrap();
    for sql in [
        "create table x as select 1",
        "create view x as select 1",
        &format!("create external table x stored as parquet location '{target}'"),
        "drop table resets",
        "insert into files select * from files",
        "insert into resets select * from resets",
        "delete from resets",
        &format!("copy (select 1) to '{}'", target.trim_end_matches(".csv")),
        &format!("copy (select 1) to '{target}'"),
        &format!("explain analyze copy (select 1) to '{target}'"),
        "set datafusion.execution.batch_size = 1",
    ] {
        let line = one_line(&recording.analyze(&[sql]), 1);
        assert!(line.contains("only reads"), "{sql}: {line}");
    }
    assert!(!fs::exists(target).unwrap());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let recording = Recording::new();
    recording.seal(1, &rows(0, 50_000));
    for format in ["table", "csv", "json", "ndjson"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
            .arg("--data")
            .arg(recording.path())
            .args(["--format", format, "select * from resets"])
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
fn a_full_disk_is_one_line() {
    let recording = recording();
    let output = Command::new(env!("CARGO_BIN_EXE_tcprst-analyze"))
        .arg("--data")
        .arg(recording.path())
        .arg("select * from resets")
        .stdout(fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert!(one_line(&output, 1).contains("cannot write the result"), "{}", stderr(&output));
}

#[test]
fn a_process_name_cannot_reach_the_terminal() {
    let recording = Recording::new();
    recording.seal(1, &[row_by(1, "a\u{1b}[2J\nb")]);
    let table = stdout(&recording.analyze(&["select comm from resets"]));
    assert_eq!(table, "comm\n-------------\na\\u{1b}[2J\\nb\n");
    let json = stdout(&recording.analyze(&["--format", "json", "select comm from resets"]));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[0]["comm"], "a\u{1b}[2J\nb");
}

#[test]
fn files_and_losses_are_tables_and_reports() {
    let recording = recording();
    recording.lose(1, &[loss(3), loss(4)]);
    recording.spool(2, &[rows(6, 2)], 0);

    assert_eq!(recording.query("select sum(count) from losses"), "7\n");
    let sql = "select host, kernel, recorded_from, recorded_to, seen, written, lost, rows, \
               row_groups, recovered, sealed, sites from files order by sealed desc";
    assert_eq!(
        recording.query(sql),
        "web-1,6.18,2026-11-21T20:18:19Z,2026-11-21T20:23:19Z,8,6,2,6,1,false,true,nf_send_reset=kprobe\n\
         web-1,6.18,2026-11-21T20:18:19Z,,,,,2,,false,false,nf_send_reset=kprobe\n"
    );
    let report = stdout(&recording.analyze(&["losses", "--format", "csv"]));
    assert!(report.starts_with("host,stage,lost,counted,"), "{report}");
    assert!(report.contains("\nweb-1,ring,7,0,2026-11-21T20:18:19Z,"), "{report}");
    assert_eq!(stdout(&recording.analyze(&["files", "--format", "csv"])).lines().count(), 3);
}

#[test]
fn losses_is_empty_where_nothing_was_lost() {
    assert_eq!(recording().query("select count(*) from losses"), "0\n");
    assert_eq!(recording().query("select * from losses"), "");
}

#[test]
fn schema_names_every_column_and_needs_no_data() {
    let output = analyze(&["--data", "/nonexistent", "schema", "--format", "json"], "");
    let rows: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let named = |table: &str, column: &str, doc: &str| {
        rows.iter().any(|row| row["table"] == table && row["column"] == column && row["doc"] == doc)
    };
    assert!(COLUMNS.iter().all(|column| named("resets", column.name, column.doc)));
    assert!(LOSS_COLUMNS.iter().all(|column| named("losses", column.name, column.doc)));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["--format", "xml", "select 1"][..],
        &["--nosuch"],
        &["select 1", "files"],
        &["-f", "a.sql", "select 1"],
        &["-f", "a.sql", "files"],
    ] {
        let output = analyze(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    assert!(one_line(&analyze(&["-f", "/nonexistent.sql"], ""), 1).contains("/nonexistent.sql"));
}

#[test]
fn help_and_version_are_on_stdout() {
    let help = analyze(&["--help"], "");
    assert_eq!(help.status.code(), Some(0));
    for word in ["Examples:", "Exit codes:", "$TCPRST_DATA", "--format", "losses"] {
        assert!(stdout(&help).contains(word.trim_start_matches('$')), "{word}");
    }
    let version = stdout(&analyze(&["--version"], ""));
    assert_eq!(version, format!("tcprst-analyze {}\n", env!("CARGO_PKG_VERSION")));
}
