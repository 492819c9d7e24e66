//! Answers from the rollup equal the answers of the rows, to the last digit, for any query; merged
//! segments have the same rows as their parts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use tcprst_schema::columns::COLUMNS;
use tcprst_schema::row::{Row, Task};
use tcprst_schema::tables::Table;

mod common;
use common::{Recording, START_US, analyze, batch, name, row, stderr, stdout};

/// Whole minutes before and after all rows, as the tests' START is not at a minute.
const MINUTE_US: i64 = 60_000_000;
const QUERIES: usize = 1000;

/// Resets of one segment: minutes, causes, ports and names that repeat, and nulls among them.
fn resets(rng: &mut Rng, from: u64, count: u64, start_us: i64) -> Vec<Row> {
    let mut time_us = start_us;
    (from..from + count)
        .map(|seq| {
            time_us += rng.i64(0..20_000_000);
            let pick =
                |rng: &mut Rng, texts: &'static [&'static str]| texts[rng.usize(..texts.len())];
            let cause = pick(rng, &["unknown", "close_unread", "linger_zero", "closed_port"]);
            let comm = pick(rng, &["curl", "nginx", "a'b", ""]);
            let task = Task {
                pid: 7,
                tid: 7,
                uid: 0,
                gid: 0,
                comm: comm.into(),
                mntns_id: None,
                cgroup_id: None,
            };
            let (src, dst) = (row(0).src.unwrap(), row(0).dst.unwrap());
            let state = pick(rng, &["ESTABLISHED", "SYN_SENT", "CLOSE_WAIT"]);
            Row {
                time_us,
                cause,
                blame: (cause != "unknown").then_some("app"),
                context: rng.bool().then_some("task"),
                sk_state: rng.bool().then(|| Arc::from(state)),
                task: rng.bool().then_some(task),
                src: Some((src.0, [80, 443, 5432][rng.usize(..3)])),
                dst: Some((dst.0, rng.u16(32_768..60_999))),
                ..row(seq)
            }
        })
        .collect()
}

fn recording(rng: &mut Rng) -> Recording {
    let recording = Recording::new();
    recording.seal(1, &resets(rng, 0, 300, START_US));
    recording.seal(2, &resets(rng, 300, 300, START_US + 3000 * 1_000_000));
    // A segment without a rollup, as from a recorder that did not write one.
    recording.seal_columns(3, &batch(COLUMNS, &resets(rng, 600, 100, START_US + 6_000_000_000)));
    // A segment with a rollup that does not count all its rows: it must not be used.
    recording.seal(4, &resets(rng, 700, 50, START_US + 7_000_000_000));
    let path = name(4).sealed(recording.path(), Table::Resets);
    fs::remove_file(&path).unwrap();
    recording.seal_columns(4, &batch(COLUMNS, &resets(rng, 700, 60, START_US + 7_000_000_000)));
    recording.spool(5, &[resets(rng, 800, 40, START_US + 8_000_000_000)], 0);
    recording
}

const COLUMNS_ASKED: [&str; 10] = [
    "cause",
    "caller",
    "port",
    "sk_state",
    "context",
    "comm",
    "blame",
    "host",
    "container_name",
    "reason",
];

fn one<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn time_expression(rng: &mut Rng) -> String {
    match rng.u8(..7) {
        0 => "date_trunc('hour', time)".into(),
        1 => "date_trunc('minute', time)".into(),
        2 => format!("date_bin(interval '{} minutes', time)", rng.u8(1..20)),
        3 => "date_part('hour', time)".into(),
        4 => "cast(time as date)".into(),
        // These depend on more than the minute.
        5 => "date_trunc('second', time)".into(),
        _ => "date_bin(interval '90 seconds', time)".into(),
    }
}

fn time_literal(rng: &mut Rng) -> String {
    let start = START_US.div_euclid(MINUTE_US) * MINUTE_US;
    let mut us = start + rng.i64(-5..170) * MINUTE_US;
    // Half of the times are at a full minute.
    if rng.bool() {
        us += [1, -1, 59_999_999, 30_000_000][rng.usize(..4)];
    }
    format!("to_timestamp_micros({us})")
}

fn condition(rng: &mut Rng) -> String {
    match rng.u8(..10) {
        0 => "cause = 'closed_port'".into(),
        1 => "cause in ('closed_port', 'unknown')".into(),
        2 => "comm like 'c%'".into(),
        3 => "sk_state is null".into(),
        4 => "port between 80 and 500".into(),
        5 => "not (caller = '__tcp_close' or context is not null)".into(),
        6 => format!("time {} {}", one(rng, &[">=", "<", ">", "<=", "="]), time_literal(rng)),
        7 => format!("time between {} and {}", time_literal(rng), time_literal(rng)),
        8 => format!("time >= {} and time < {}", time_literal(rng), time_literal(rng)),
        // Not a dimension.
        _ => "cpu = 0 and seq % 2 = 0".into(),
    }
}

fn aggregate(rng: &mut Rng) -> String {
    let column = one(rng, &COLUMNS_ASKED);
    match rng.u8(..8) {
        0..=2 => "count(*)".into(),
        3 => format!("count({column})"),
        4 => format!("count(distinct {column})"),
        5 => format!("min({column})"),
        6 => format!("count(*) filter (where {})", condition(rng)),
        _ => "max(port)".into(),
    }
}

/// A query with a total order of its rows.
fn query(rng: &mut Rng) -> String {
    let mut groups: Vec<String> =
        (0..rng.usize(..4)).map(|_| one(rng, &COLUMNS_ASKED).to_owned()).collect();
    if rng.u8(..3) == 0 {
        groups.push(time_expression(rng));
    }
    groups.dedup();
    let aggregates = (0..rng.usize(1..3)).map(|_| aggregate(rng));
    let named = aggregates.enumerate().map(|(at, text)| format!("{text} as a{at}"));
    let outputs: Vec<String> =
        groups.iter().enumerate().map(|(at, g)| format!("{g} as g{at}")).chain(named).collect();
    let conditions: Vec<String> = (0..rng.usize(..3)).map(|_| condition(rng)).collect();
    let from = match rng.u8(..4) {
        0 => "(select * from resets) as r",
        1 => "resets as r",
        _ => "resets",
    };
    let mut sql = format!("select {} from {from}", outputs.join(", "));
    if !conditions.is_empty() {
        sql += &format!(" where {}", conditions.join(" and "));
    }
    if !groups.is_empty() {
        let places: Vec<String> = (1..=groups.len()).map(|at| at.to_string()).collect();
        sql += &format!(" group by {0} order by {0}", places.join(", "));
    }
    sql
}

fn ask(data: &Path, options: &[&str], sql: &str) -> String {
    let data = data.to_str().unwrap();
    let arguments = [&["--data", data, "--format", "csv"], options].concat();
    let output = analyze(&arguments, sql);
    assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)));
    stdout(&output)
}

/// The answer of each query; a line separates them in the output.
fn answers(data: &Path, options: &[&str], queries: &[String]) -> Vec<String> {
    let sql: String = queries.iter().map(|sql| format!("{sql}; select '--' as next;\n")).collect();
    ask(data, options, &sql).split("next\n--\n").map(str::to_owned).collect()
}

#[test]
fn a_thousand_questions_have_the_same_answers() {
    // Another seed gives another thousand queries; a failure reports the seed.
    let seed = std::env::var("TCPRST_SEED").map_or(5, |seed| seed.parse().unwrap());
    let mut rng = Rng::with_seed(seed);
    let recording = recording(&mut rng);
    let queries: Vec<String> = (0..QUERIES).map(|_| query(&mut rng)).collect();
    let rolled = answers(recording.path(), &[], &queries);
    let raw = answers(recording.path(), &["--no-rollup"], &queries);
    assert_eq!(rolled.len(), QUERIES + 1);
    for ((sql, rolled), raw) in queries.iter().zip(&rolled).zip(&raw) {
        assert_eq!(rolled, raw, "seed {seed}: {sql}");
    }
    // The same queries over merged segments, which have rollups by the hour and by the day too.
    assert_eq!(recording.analyze(&["compact"]).status.code(), Some(0));
    let merged = answers(recording.path(), &[], &queries);
    for ((sql, merged), raw) in queries.iter().zip(&merged).zip(&raw) {
        assert_eq!(merged, raw, "seed {seed}, compacted: {sql}");
    }
    // Rollups answered many of them, together with the rows of segments without one.
    let plans: Vec<String> = queries.iter().map(|sql| format!("explain {sql}")).collect();
    let plans = answers(recording.path(), &[], &plans);
    for (table, least) in [("minute", 50), ("hour", 10), ("day", 200)] {
        let table = format!("/resets_per_{table}/");
        let count = plans.iter().filter(|plan| plan.contains(&table)).count();
        assert!((least..900).contains(&count), "{count} of {QUERIES} from {table}");
    }
}

#[test]
fn segments_with_a_sound_rollup_are_not_read_themselves() {
    let mut rng = Rng::with_seed(1);
    let recording = recording(&mut rng);
    let plan =
        ask(recording.path(), &[], "explain select cause, count(*) from resets group by cause");
    let has = |table: &str, seq: u32| {
        plan.contains(&format!("/{table}/")) && {
            let file = name(seq).sealed(
                Path::new(""),
                if table == "resets" { Table::Resets } else { Table::ResetsPerMinute },
            );
            plan.contains(file.strip_prefix("/").unwrap_or(&file).to_str().unwrap())
        }
    };
    assert!(has("resets_per_minute", 1) && has("resets_per_minute", 2), "{plan}");
    assert!(!has("resets", 1) && !has("resets", 2), "{plan}");
    assert!(has("resets", 3), "no rollup: {plan}");
    assert!(has("resets", 4) && !has("resets_per_minute", 4), "an unsound one: {plan}");
}

const EVERYTHING: &str = "select * from resets order by seq, time; \
    select * from losses order by 1; \
    select sum(seen), sum(written), sum(lost), sum(rows), min(recorded_from), max(recorded_to) from files";
const COUNTED: &str = "select (select sum(count) from resets_per_minute) = \
    (select sum(rows) from files where sealed) as is_all";

#[test]
fn what_is_merged_is_what_was_there() {
    let mut rng = Rng::with_seed(2);
    let recording = recording(&mut rng);
    recording.lose(1, &[common::loss(3)]);
    recording.lose(2, &[common::loss(4)]);
    let before = ask(recording.path(), &[], EVERYTHING);
    // The state after a crash of another compaction.
    let left = recording.path().join("spool/compact-resets-date=2026-11-21");
    fs::create_dir_all(&left).unwrap();
    let first = name(1).sealed(recording.path(), Table::Resets);
    fs::hard_link(&first, left.join(first.file_name().unwrap())).unwrap();
    fs::write(left.join("half.parquet"), b"PAR1 half").unwrap();

    let report = stdout(&recording.analyze(&["compact", "--format", "csv"]));
    assert!(report.contains("\nresets,2026-11-21,4,1,"), "{report}");
    assert!(report.contains("\nlosses,2026-11-21,2,1,"), "{report}");
    assert_eq!(ask(recording.path(), &[], EVERYTHING), before);
    assert!(!left.exists());
    assert_eq!(
        ask(recording.path(), &[], COUNTED),
        "is_all\ntrue\n",
        "of those too that had no rollup"
    );
    let files =
        ask(recording.path(), &[], "select count(*), sum(case when sealed then 1 end) from files");
    assert_eq!(files.lines().nth(1), Some("2,1"), "one merged segment and the spool");
    let again = stdout(&recording.analyze(&["compact", "--format", "csv"]));
    assert_eq!(again.lines().count(), 1, "nothing is left to do: {again}");
}

#[test]
fn a_crash_between_the_two_folders_counts_nothing_twice() {
    let mut rng = Rng::with_seed(3);
    let recording = Recording::new();
    recording.seal(1, &resets(&mut rng, 0, 30, START_US));
    recording.seal(2, &resets(&mut rng, 30, 30, START_US + 900_000_000));
    let second = name(2).sealed(recording.path(), Table::Resets);
    let bytes = fs::read(&second).unwrap();
    let before = ask(recording.path(), &[], EVERYTHING);
    assert_eq!(recording.analyze(&["compact"]).status.code(), Some(0));
    assert!(!second.exists());
    fs::write(&second, bytes).unwrap();
    assert_eq!(ask(recording.path(), &[], EVERYTHING), before);
}

#[test]
fn readers_and_a_merge_do_not_disturb_each_other() {
    let mut rng = Rng::with_seed(4);
    let recording = Recording::new();
    for seq in 0..40 {
        let start = START_US + i64::from(seq) * 100_000_000;
        recording.seal(seq, &resets(&mut rng, u64::from(seq) * 10, 10, start));
    }
    let expected = "400,79800\n";
    std::thread::scope(|scope| {
        let merger = scope.spawn(|| {
            for size in ["4KiB", "64KiB", "256KiB", "1MiB", "256MiB"] {
                let output = recording.analyze(&["compact", "--target-size", size]);
                assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            }
        });
        while !merger.is_finished() {
            let sql = "select count(distinct seq), sum(seq) from resets";
            let output = recording.analyze(&["--format", "csv", sql]);
            match output.status.code() {
                Some(0) => assert!(stdout(&output).ends_with(expected), "{}", stdout(&output)),
                // A file removed during the query is reported, and there is no answer.
                _ => assert!(stderr(&output).contains("run it again"), "{}", stderr(&output)),
            }
        }
    });
    let files = recording.query("select count(*) from files");
    assert_eq!(files, "1\n");
}
