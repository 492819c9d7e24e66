//! `report --html` in a browser: charts are drawn, filters work, numbers equal those of SQL,
//! nothing is fetched and recorded text stays text.
//!
//! Needs `python3`, `chromium` and `chromedriver` (`cargo xtask test` installs them); without them
//! these tests fail, they do not skip.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{Recording, batch, footer, loss, one_line, row, stderr, stdout, write_parquet};
use serde_json::{Value, json};
use tcprst_schema::columns::COLUMNS;
use tcprst_schema::container::{Container, Details, Pod};
use tcprst_schema::paths::SegmentName;
use tcprst_schema::row::{Named, Owner, Row, Stack};
use tcprst_schema::tables::Table;

const CAUSES: [&str; 6] =
    ["closed_port", "timewait", "app_linger0", "fw_nft", "accept_overflow", "unknown"];

/// The owner of this name: a container, or only a pod.
fn owner(name: &str, is_pod_only: bool) -> Owner {
    let container = Container::new(None, name);
    let pod = Pod { name: Some(name.into()), namespace: None, uid: None, container: None };
    let details = Details { name: Some(name.into()), pod: Some(pod), ..Details::default() };
    container.resolve(details, true);
    let container = Arc::new(container);
    let named = if is_pod_only { Named::pod_of(container) } else { Named::container(container) };
    Owner { named, attribution: "socket", node: "node".into() }
}

/// Resets of 2 hosts, 6 causes, 4 containers and 5 ports over some hours, without a simple pattern.
fn mixed(count: u64) -> Vec<Row> {
    (0..count)
        .map(|seq| {
            let mut row = row(seq);
            let mixed = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            row.time_us += (mixed % 7200) as i64 * 1_000_000;
            row.host = if mixed % 3 == 0 { "web-2".into() } else { "web-1".into() };
            row.cause = CAUSES[(mixed as usize % 100).isqrt() * 6 / 10];
            row.owner = match mixed / 7 % 5 {
                0 => None,
                1 => Some(owner("db", false)),
                2 => Some(owner("pod-only", true)),
                3 => Some(owner("a cache", false)),
                _ => Some(owner("web", false)),
            };
            let port = [443, 5432, 80, 8080, 6379][(mixed / 11 % 5) as usize];
            row.src = row.src.map(|(address, _)| (address, port));
            let host = u32::from_be_bytes([10, 1, 0, 0]) + (mixed % 90) as u32;
            row.dst = Some((std::net::Ipv4Addr::from(host).into(), 40_000));
            row
        })
        .collect()
}

/// Rows as segments of their hosts; the first one lost some.
fn seal(recording: &Recording, rows: &[Row], lost: u64) {
    let mut hosts: Vec<&str> = rows.iter().map(|row| &*row.host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    for (place, host) in hosts.into_iter().enumerate() {
        let mut rows: Vec<Row> = rows.iter().filter(|row| &*row.host == host).cloned().collect();
        rows.sort_by_key(|row| row.time_us);
        let (first, last) = (rows[0].time_us, rows[rows.len() - 1].time_us);
        let mut footer = footer(rows.len());
        footer.host = host.to_owned();
        footer.lost = if place == 0 { lost } else { 0 };
        footer.seen = footer.written + footer.lost;
        footer.recorded_from_us = first - 60_000_000;
        footer.recorded_to_us = last + 60_000_000;
        let name = SegmentName::new("web", first, place as u32);
        let path = name.sealed(recording.path(), Table::Resets);
        write_parquet(&path, &batch(COLUMNS, &rows), Table::Resets, Some(&footer));
    }
}

fn number(recording: &Recording, condition: &str) -> u64 {
    let said = recording.query(&format!("select count(*) from resets where {condition}"));
    said.trim().parse().expect("a number")
}

/// Filters as the page names them, and SQL's count under them.
fn view(recording: &Recording, filters: &[(&str, &str)], condition: &str) -> Value {
    json!({ "filters": filters, "n": number(recording, condition) })
}

fn report(recording: &Recording, arguments: &[&str]) -> PathBuf {
    let page = recording.path().join("report.html");
    let arguments = [&["report", "--html", page.to_str().expect("UTF-8")], arguments].concat();
    let output = recording.analyze(&arguments);
    assert_eq!(stderr(&output), "");
    assert_eq!((stdout(&output), output.status.code()), (String::new(), Some(0)));
    page
}

/// Opens the page in the browser and compares it with the expected values.
fn look(page: &Path, expected: &Value) {
    let wanted = page.with_extension("json");
    fs::write(&wanted, expected.to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/html_check.py");
    let output = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([&script, page, &wanted])
        .output()
        .expect("python3 starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_page_counts_as_sql_does_under_every_filter() {
    let recording = Recording::new();
    seal(&recording, &mixed(3000), 7);
    recording.lose(7, &[loss(3), loss(4)]);
    let views = [
        view(&recording, &[], "true"),
        view(&recording, &[("cause", "timewait")], "cause = 'timewait'"),
        view(&recording, &[("container", "a cache")], "container_name = 'a cache'"),
        view(
            &recording,
            &[("container", "pod-only")],
            "container_name is null and k8s_pod = 'pod-only'",
        ),
        view(
            &recording,
            &[("container", "no container"), ("host", "web-2")],
            "container_name is null and k8s_pod is null and host = 'web-2'",
        ),
        view(
            &recording,
            &[("cause", "closed_port"), ("container", "web"), ("port", "443"), ("host", "web-1")],
            "cause = 'closed_port' and container_name = 'web' and src_port = 443 and host = 'web-1'",
        ),
    ];
    assert!(views.iter().all(|view| view["n"].as_u64() > Some(0)), "{views:?}");
    let expected = json!({
        "views": views,
        "headline": ["3,000 resets"],
        "shown": [
            "web-1", "web-2", "6.18", "10.1.0.7", "The socket options of the application",
            "7 resets were seen but not recorded", "https", "2 segments",
        ],
        "elements": { "script": 2, "style": 1, "img": 0, "iframe": 0, "link": 0 },
    });
    look(&report(&recording, &[]), &expected);
}

/// Names that attackers try.
const HOSTILE: [&str; 20] = [
    "<img src=x onerror=\"window.touched=1\">",
    "</script><script>window.touched=1</script>",
    "<!--<script>",
    "--><svg onload=window.touched=1>",
    "\"><iframe srcdoc='<script>parent.touched=1</script>'>",
    "javascript:window.touched=1",
    "${window.touched=1}{{data}}{{script}}",
    "'; drop table resets; --",
    "&lt;b&gt;&amp;",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\0\r\n\t\u{7f}",
    "abc\u{202e}gpj.exe",
    "\u{200b}\u{feff}",
    "__proto__",
    "constructor",
    "~none",
    "null",
    "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}\u{33d}\u{34f}\u{334}\u{319}\u{324}",
    "日本語のコンテナ 🦀",
    "]]>\u{2028}\u{2029}",
];

#[test]
fn what_was_recorded_stays_text() {
    let recording = Recording::new();
    let rows: Vec<Row> = (0..100)
        .map(|seq| {
            let text = HOSTILE[seq as usize % HOSTILE.len()];
            let mut row = row(seq);
            row.owner = Some(owner(text, false));
            row.host = HOSTILE[(seq as usize / 7) % HOSTILE.len()].into();
            row.cause = if seq % 3 == 0 { "closed_port" } else { text };
            row.stack = Arc::new(Stack {
                callee: Some(text.into()),
                caller: Some(text.into()),
                folded: Some(format!("{text};<b>{text};{}", "x".repeat(5000)).into()),
                frames: Vec::new(),
                ..Stack::default()
            });
            if seq == 99 {
                row.owner = Some(owner(&"huge ".repeat(20_000), false));
            }
            row
        })
        .collect();
    seal(&recording, &rows, 0);
    let named = |text: &str| format!("container_name = '{}'", text.replace('\'', "''"));
    let views = [
        view(&recording, &[], "true"),
        view(&recording, &[("container", HOSTILE[0])], &named(HOSTILE[0])),
        view(&recording, &[("container", HOSTILE[1])], &named(HOSTILE[1])),
        view(&recording, &[("container", "__proto__")], &named("__proto__")),
        view(&recording, &[("container", "~none")], &named("~none")),
        view(&recording, &[("cause", "constructor")], "cause = 'constructor'"),
        view(&recording, &[("container", "abc\\u{202e}gpj.exe")], &named("abc\u{202e}gpj.exe")),
    ];
    assert!(views.iter().all(|view| view["n"].as_u64() > Some(2)), "{views:?}");
    let expected = json!({
        "views": views,
        "shown": [
            HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], HOSTILE[4], HOSTILE[6], HOSTILE[7],
            HOSTILE[8], HOSTILE[17], HOSTILE[18],
            "\\u{1b}[2J\\u{1b}]0;title\\u{7}", "\\u{0}\\u{d}\\u{a}\\u{9}\\u{7f}",
            "\\u{200b}\\u{feff}", "]]>\\u{2028}\\u{2029}", "<b>Title & more</b>",
        ],
        "elements": { "script": 2, "style": 1, "img": 0, "iframe": 0, "svg[onload]": 0, "h1 b": 0, ".name *": 0 },
    });
    look(
        &report(
            &recording,
            &["--title", "<b>Title & more</b></title><script>window.touched=1</script>"],
        ),
        &expected,
    );
}

#[test]
fn a_recording_without_resets_is_a_page_too() {
    let recording = Recording::new();
    recording.seal(1, &[]);
    let expected = json!({
        "views": [{ "filters": [], "n": 0 }],
        "headline": ["No reset was recorded"],
        "shown": ["web-1", "None in this view.", "No stacks in this view."],
        "elements": { "script": 2, ".bar": 0 },
    });
    look(&report(&recording, &[]), &expected);
}

#[test]
fn too_many_values_are_counted_together() {
    let recording = Recording::new();
    let rows: Vec<Row> = (0..2000)
        .map(|seq| {
            let mut row = row(seq);
            row.owner =
                Some(owner(&format!("job-{}", (seq % 1000).isqrt() * 10 + seq % 10), false));
            row.time_us = common::START_US + seq as i64;
            row
        })
        .collect();
    seal(&recording, &rows, 0);
    let counted = "select container_name, count(*) as n from resets group by container_name \
                   order by n desc, container_name";
    let all: u64 = recording
        .query(&format!("select count(*) from ({counted})"))
        .trim()
        .parse()
        .expect("a number");
    let page = report(&recording, &[]);
    let text = fs::read_to_string(&page).expect("the page");
    assert!(text.contains(&format!("The {} rarest containers", all - 200)), "{all}");
    let others: u64 = recording
        .query(&format!(
            "select sum(n) from (select n from ({counted}) order by n limit {})",
            all - 200
        ))
        .trim()
        .parse()
        .expect("a number");
    let other = format!("{} other containers", all - 200);
    let views = json!([
        { "filters": [], "n": 2000 },
        { "filters": [["container", other]], "n": others },
    ]);
    look(&page, &json!({ "views": views }));
}

#[test]
fn the_page_is_written_whole_or_to_stdout() {
    let recording = Recording::new();
    seal(&recording, &mixed(50), 0);
    let page = fs::read_to_string(report(&recording, &[])).expect("the page");
    let output = recording.analyze(&["report", "--html", "-"]);
    assert_eq!((stderr(&output), output.status.code()), (String::new(), Some(0)));
    assert!(stdout(&output) == page, "the same recording gives the same page");

    let error = one_line(&recording.analyze(&["report", "--html", "/nonexistent/page.html"]), 1);
    assert!(error.contains("cannot write /nonexistent/page.html"), "{error}");
    assert_eq!(recording.analyze(&["report"]).status.code(), Some(2));
}

#[test]
fn a_window_narrows_all_of_it() {
    let recording = Recording::new();
    seal(&recording, &mixed(500), 0);
    let (since, until) = ("2026-11-21T21:00:00Z", "2026-11-21T22:30:00Z");
    let page = report(&recording, &["--since", since, "--until", until]);
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("id=\"data\">").expect("the data");
    let (json, _) = rest.split_once("</script>").expect("their end");
    let data: Value = serde_json::from_str(json).expect("JSON");
    let sum = |table: &str, cells: &str| -> u64 {
        let counts = data[table].pointer(cells).and_then(Value::as_array).expect("counts");
        counts.iter().filter_map(Value::as_u64).sum()
    };
    let n = number(&recording, &format!("time >= '{since}' and time < '{until}'"));
    assert!(n > 50 && n < 450, "{n}");
    let sums = [data["total"].as_u64().expect("a number"), sum("cube", "/n")];
    assert_eq!([sums[0], sums[1], sum("stacks", "/cells/n"), sum("peers", "/cells/n")], [n; 4]);
    assert_eq!(
        data["window"],
        json!({ "from": 1_795_294_800_000_u64, "to": 1_795_300_200_000_u64 })
    );
    assert_eq!(
        data["bucket"],
        json!({ "start": 1_795_294_800_000_u64, "width": 30_000, "count": 180 })
    );
}
