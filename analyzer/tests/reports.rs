//! Every report on a recording of real resets (see `fixture/README.md`), as a snapshot: the files
//! in `snapshots/` show what people see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use tcprst_schema::columns::COLUMNS;
use tcprst_schema::row::{Row, Stack};
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{
    Recording, analyze, batch, footer, name, one_line, row, stderr, stdout, write_parquet,
};

/// Times of the fixture, explicit because a snapshot must not move.
const SINCE: &str = "2026-11-26T03:25:00Z";
const MIDDLE: &str = "2026-11-26T03:26:00Z";
const UNTIL: &str = "2026-11-26T03:27:00Z";
const BEFORE: &str = "2026-11-26T03:25:00Z..2026-11-26T03:26:00Z";
const AFTER: &str = "2026-11-26T03:26:00Z..2026-11-26T03:27:00Z";
/// A window over the whole fixture.
const ALL: [&str; 4] = ["--since", "2026-11-26 00:00", "--until", "2026-11-27 00:00"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/recording")
}

fn report(arguments: &[&str]) -> Output {
    let data = fixture();
    analyze(&[&["--data", data.to_str().unwrap()], arguments].concat(), "")
}

/// Both outputs of a report, which must succeed.
fn said(arguments: &[&str]) -> String {
    let output = report(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    // Snapshots must not contain the path of the sources.
    let folder = format!("{}/", fixture().display());
    let out = stdout(&output).replace(&folder, "");
    match &*stderr(&output) {
        "" => out,
        notes => format!("{out}\nstderr:\n{notes}"),
    }
}

/// A report over the whole fixture.
fn over_all(arguments: &[&str]) -> String {
    said(&[arguments, &ALL].concat())
}

#[test]
fn summary() {
    insta::assert_snapshot!("summary", over_all(&["summary"]));
    insta::assert_snapshot!(
        "summary_mix",
        over_all(&["summary", "--by", "container,service,blame", "--limit", "12"])
    );
    insta::assert_snapshot!(
        "summary_networks",
        over_all(&["summary", "--by", "peer_network,direction"])
    );
    insta::assert_snapshot!(
        "summary_steps",
        over_all(&["summary", "--by", "blame", "--window", "1m"])
    );
    insta::assert_snapshot!(
        "summary_narrow",
        over_all(&["summary", "--by", "caller,state", "--cause", "app_recv_shutdown"])
    );
}

#[test]
fn top() {
    insta::assert_snapshot!("top", over_all(&["top"]));
    insta::assert_snapshot!("top_by", over_all(&["top", "--by", "process,cause", "-n", "6"]));
}

#[test]
fn timeline() {
    insta::assert_snapshot!(
        "timeline",
        said(&["timeline", "--window", "10s", "--since", SINCE, "--until", UNTIL])
    );
    insta::assert_snapshot!(
        "timeline_by",
        said(&[
            "timeline", "--by", "blame", "--window", "10s", "--format", "csv", "--since", SINCE,
            "--until", UNTIL
        ])
    );
    insta::assert_snapshot!("timeline_without_window", said(&["timeline", "--window", "1h"]));
}

#[test]
fn diff() {
    insta::assert_snapshot!("diff", said(&["diff", BEFORE, AFTER]));
    insta::assert_snapshot!(
        "diff_at",
        said(&["diff", "--at", MIDDLE, "--span", "5m", "--by", "container,blame", "--limit", "8"])
    );
}

#[test]
fn explain() {
    insta::assert_snapshot!("explain", report_out(&["explain"]));
    for cause in ["app_close_unread", "timewait", "fw_nft", "crafted", "unknown"] {
        insta::assert_snapshot!(format!("explain_{cause}"), over_all(&["explain", cause]));
    }
    insta::assert_snapshot!(
        "explain_json",
        over_all(&["explain", "closed_port", "--format", "ndjson"])
    );
}

#[test]
fn explain_event() {
    let data = fixture();
    let keys = |of: &str| {
        let sql = format!(
            "select host, cpu, seq, boot_ns, time from resets where {of} order by time limit 1"
        );
        let output = analyze(&["--data", data.to_str().unwrap(), "--format", "csv", &sql], "");
        let text = stdout(&output);
        let row = text.lines().nth(1).unwrap_or_default().to_owned();
        row.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    // One caused by a process, one of a container, one that answered a packet.
    for (name, of) in [
        ("process", "cause = 'app_close_unread' and direction = 'sent'"),
        ("container", "container_name is not null and cause = 'app_linger0'"),
        ("packet", "cause = 'closed_port' and family = 'ipv6'"),
        ("received", "direction = 'received'"),
    ] {
        let [host, cpu, seq, boot_ns, time] = &keys(of)[..] else { panic!("no event: {of}") };
        let by_boot = over_all(&["explain", boot_ns]);
        insta::assert_snapshot!(format!("explain_event_{name}"), by_boot);
        let by_boot = report_out(&["explain", boot_ns]);
        assert_eq!(report_out(&["explain", time]), by_boot);
        // The recorder was started several times, and numbers restart each time.
        let second = &time[..19];
        let until = format!("{second}.999999Z");
        let since = format!("{second}Z");
        let key = format!("{host}:{cpu}:{seq}");
        let by_key = report_out(&["explain", &key, "--since", &since, "--until", &until]);
        assert_eq!(by_key, by_boot, "{key}");
    }
    insta::assert_snapshot!("explain_several", over_all(&["explain", "0:1"]));
    let output = report(&["explain", "nowhere:0:1"]);
    assert!(one_line(&output, 1).contains("no event nowhere:0:1 in this recording"));
}

#[test]
fn flame() {
    insta::assert_snapshot!("flame", over_all(&["flame", "--cause", "timewait"]));
    let all = report_out(&["flame"]);
    let resets: u64 =
        all.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
    assert_eq!(resets, count("select count(*) from resets"));

    let dir = TempDir::new().unwrap();
    let svg = dir.path().join("flame.svg");
    let output = report(&["flame", "--svg", svg.to_str().unwrap()]);
    assert_eq!((stdout(&output), output.status.code()), (String::new(), Some(0)));
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.contains("<svg") && picture.contains("tcp_send_active_reset"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    let output = report(&["flame", "--svg", "/nowhere/flame.svg"]);
    assert!(stderr(&output).contains("cannot write /nowhere/flame.svg"));
    assert!(!stderr(&output).contains(".tcprst-"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_picture_and_a_page_keep_links_and_devices() {
    let dir = TempDir::new().unwrap();
    for (command, start) in
        [(&["flame", "--svg"][..], "<?xml"), (&["report", "--html"][..], "<!doctype html>")]
    {
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        let written = report(&[command, &[link.to_str().unwrap()]].concat());
        assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{command:?}");
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        assert!(text.starts_with(start), "{command:?}: {}", &text[..40]);
        fs::remove_file(&link).unwrap();

        // A link to a pipe, as /dev/stdout is one.
        symlink("/dev/stdout", &link).unwrap();
        let written = report(&[command, &[link.to_str().unwrap()]].concat());
        assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
        assert!(stdout(&written).to_lowercase().starts_with(start), "{command:?}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{command:?}");
        fs::remove_file(&link).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn losses_and_files() {
    insta::assert_snapshot!("losses", over_all(&["losses"]));
    insta::assert_snapshot!("files", over_all(&["files", "--format", "csv"]));
    let none = ["--since", "2020-01-01", "--until", "2020-01-02", "--format", "csv"];
    for report in ["losses", "files"] {
        assert_eq!(said(&[&[report], &none[..]].concat()).lines().count(), 1, "{report}");
    }
}

#[test]
fn the_sql_of_a_report_is_what_it_runs() {
    let data = fixture();
    for (name, arguments) in [
        ("summary", &["summary", "--by", "container,port,peer_network", "--window", "5m"][..]),
        ("top", &["top", "--by", "service"]),
        ("top_lists", &["top", "-n", "3", "--cause", "timewait"]),
        ("timeline", &["timeline", "--by", "cause"]),
        ("flame", &["flame", "--container", "it's"]),
        ("losses", &["losses"]),
        ("files", &["files"]),
        ("explain_cause", &["explain", "timewait"]),
        ("explain_event", &["explain", "web-1:0:17"]),
    ] {
        let shown = over_all(&[arguments, &["--sql"]].concat());
        insta::assert_snapshot!(format!("sql_{name}"), shown);
        // Printing the SQL needs no recording, and the SQL can be run.
        let output = analyze(&[&["--data", "/nowhere"], arguments, &["--sql"], &ALL].concat(), "");
        assert_eq!(stdout(&output), shown);
        let output = analyze(&["--data", data.to_str().unwrap(), "-f", "-"], &shown);
        assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)), "{name}");
        if arguments.iter().all(|argument| !argument.starts_with("explain")) {
            let by_hand = stdout(&output);
            let by_report = stdout(&report(&[arguments, &ALL].concat()));
            if !["flame", "timeline"].contains(&name) {
                assert_eq!(by_hand, by_report, "{name}");
            }
        }
    }
    let diff = ["diff", BEFORE, AFTER, "--by", "cause,container"];
    let shown = said(&[&diff[..], &["--sql"]].concat());
    insta::assert_snapshot!("sql_diff", shown);
    let output = analyze(&["--data", data.to_str().unwrap(), "-f", "-"], &shown);
    assert_eq!(stdout(&output), stdout(&report(&diff)));
}

#[test]
fn a_window_narrows_sql_too() {
    let all = count("select count(*) from resets");
    let sql = format!(
        "select count(*) from resets where time >= timestamptz '{SINCE}' and time < timestamptz '{MIDDLE}'"
    );
    let within = count(&sql);
    assert!(0 < within && within < all, "{within} of {all}");
    let output = report(&[
        "--format",
        "csv",
        "--since",
        SINCE,
        "--until",
        MIDDLE,
        "select count(*) from resets",
    ]);
    assert_eq!(stdout(&output).lines().nth(1).unwrap(), within.to_string());

    // The condition reaches the scan, which skips excluded files.
    let output = report(&[
        "--since",
        SINCE,
        "--until",
        MIDDLE,
        "explain select caller from resets where cpu >= 0",
    ]);
    let plan = stdout(&output);
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).unwrap();
    assert!(scan.contains("predicate=") && scan.contains("time"), "{plan}");
    let output =
        report(&["--since", "2020-01-01", "--until", "2020-01-02", "select * from resets"]);
    assert!(stderr(&output).contains("nothing was recorded in this window"), "{}", stderr(&output));
}

#[test]
fn mistakes_are_one_line_with_the_way_out() {
    for (arguments, expected) in [
        (&["summary", "--since", "tomorrow"][..], "invalid time 'tomorrow': use 2h, 90m"),
        (&["summary", "--since", "1h", "--until", "2h"], "the window is empty"),
        (&["--since", "x", "select 1"], "invalid time 'x'"),
        (&["summary", "--by", "cotainer"], "cannot count by 'cotainer': is it container?"),
        (&["summary", "--window", "0s"], "a window must be at least a second"),
        (&["timeline", "--window", "x"], "invalid length of time 'x'"),
        (&["explain", "linger0"], "no cause is called 'linger0': is it app_linger0?"),
        (&["top", "--cause", "x;y"], "no cause is called 'x;y': tcprst-analyze explain lists"),
        (
            &["explain", "2026-11-26T03:25"],
            "no event 2026-11-26T03:25: an event's time is RFC 3339",
        ),
        (&["summary", "--window", "10"], "the length of time '10' needs a unit"),
        (&["diff"], "diff compares two windows"),
        (&["diff", "yesterday..today"], "diff compares two windows"),
        (&["diff", "today..yesterday", "yesterday..today"], "the window is empty"),
        (&["diff", "today", "yesterday..today"], "invalid window 'today'"),
        (&["diff", "--since", "2h", "yesterday..today", "today..now"], "diff takes its windows"),
    ] {
        let line = one_line(&report(arguments), 2);
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
}

#[test]
fn functions_are_listed() {
    let text = report_out(&["show functions"]);
    for name in [
        "blame",
        "in_cidr",
        "network",
        "stack_has",
        "cause_text",
        "port_name",
        "cause",
        "rate_change_p",
    ] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {text}");
    }
    let wrong = one_line(&report(&["select in_cidr(src_addr, '10.0.0.0/40') from resets"]), 1);
    assert!(wrong.contains("invalid network '10.0.0.0/40'"), "{wrong}");
    // Current rules and the recorder's rules are the same, and so are their verdicts.
    let other = "select count(*) from resets where \
                 cause <> cause(stack, reason, sk_state, sk_flags, answered_flags) \
                 or blame is distinct from blame(cause)";
    assert_eq!(count(other), 0);
}

#[test]
fn the_bound_of_one_minimum_skips_no_row_of_another() {
    let plan = report_out(&["explain select max(seq), min(seq + 1), min(cause) from resets"]);
    assert!(plan.contains("DataSourceExec") && !plan.contains("DynamicFilter"), "{plan}");
}

#[test]
fn causes_of_older_rules_are_derived_anew() {
    let recording = Recording::new();
    let close = "entry;__x64_sys_close;tcp_close;__tcp_close;tcp_disconnect;tcp_send_active_reset";
    let row = |seq: u64| {
        let folded = Some(close.into());
        Row { stack: Arc::new(Stack { folded, ..Stack::default() }), ..row(seq) }
    };
    // Older rules did not know the stack (`unknown`); a segment by current rules has it too.
    let older = batch(COLUMNS, &[row(1), row(2)]);
    let path = name(1).sealed(recording.path(), Table::Resets);
    let mut by_older = footer(2);
    by_older.taxonomy_version = tcprst_schema::TAXONOMY_VERSION - 1;
    write_parquet(&path, &older, Table::Resets, Some(&by_older));
    recording.seal(2, &[row(3)]);

    for (sql, expected) in [
        (
            "select cause, blame, count(*) from resets group by cause, blame order by cause",
            "app_linger0,app,2\nunknown,,1\n",
        ),
        ("select count(*) from resets where cause = 'app_linger0'", "2\n"),
        ("select count(*) from resets where cause = 'unknown' and blame is null", "1\n"),
        ("select seq from resets where blame = 'app' order by seq", "1\n2\n"),
        ("select count(*) from resets", "3\n"),
        ("select max(seq), min(cause) from resets", "3,app_linger0\n"),
    ] {
        assert_eq!(recording.query(sql), expected, "{sql}");
    }
    // A file without all of the evidence keeps the verdict of its recorder.
    let position = older.schema().index_of("answered_flags").unwrap();
    let mut narrow = older.clone();
    narrow.remove_column(position);
    write_parquet(&path, &narrow, Table::Resets, Some(&by_older));
    assert_eq!(recording.query("select count(*) from resets where cause = 'unknown'"), "3\n");
}

fn report_out(arguments: &[&str]) -> String {
    let output = report(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn count(sql: &str) -> u64 {
    let text = report_out(&["--format", "csv", sql]);
    text.lines().nth(1).unwrap().parse().unwrap()
}
