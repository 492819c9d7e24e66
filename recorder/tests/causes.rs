//! Every way to cause a reset that we know, on the real kernel: it is recorded once, with its
//! proven cause, and nobody else is blamed for it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use serde_json::{Value as Json, json};
use tcprst_schema::paths::Table;
use tempfile::TempDir;
use xtask::simulate::{Busy, Caused, Expect, Namespace, Outcome, play, scenarios};

mod common;
use common::{LOSSLESS, Recording, Row, require_root, rows_in, segments};

const TASK: [&str; 7] = ["pid", "tid", "uid", "gid", "comm", "mntns_id", "cgroup_id"];

#[test]
fn each_scenario_is_recorded_once_and_nobody_innocent_is_blamed() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let recording = Recording::start(dir.path(), &LOSSLESS);
    let busy = Busy::start().expect("busy processes");
    let before = ns.out_rsts().expect("OutRsts");
    let played = play(&ns, &[]).expect("every scenario plays");
    let sent = ns.out_rsts().expect("OutRsts") - before;
    let busy_pids = busy.pids();
    drop(busy);
    let totals = recording.stop(Signal::SIGTERM).totals();
    assert_eq!(totals.seen, totals.written + totals.lost);

    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(common::Segment::check);
    let rows = rows_in(&resets, Some(ns.cookie()));
    assert_eq!(played.len(), scenarios().count());
    assert_eq!(rows.len() as u64, sent, "rows of the namespace against its OutRsts");

    let reasons = &resets.first().expect("a segment").footer.reasons;
    for (scenario, outcome) in &played {
        let name = scenario.name;
        let Outcome::Caused(caused) = outcome else {
            continue;
        };
        assert_eq!(caused.scenario, name);
        let of_flow: Vec<&Row> = rows.iter().filter(|row| is_of(row, caused)).collect();
        let [row] = of_flow[..] else {
            panic!("{name}: {} rows of {caused:?}", of_flow.len());
        };
        check_place(name, row, &ns, scenario.expect.sk_state.is_some());
        check_facts(name, row, &scenario.expect);
        check_reason(name, row, reasons);
        check_stack(name, row, &scenario.expect);
        check_task(name, row, caused, scenario.expect.task);
    }
    for row in &rows {
        for (pid, comm) in [("pid", "comm"), ("tid", "comm"), ("socket_pid", "socket_comm")] {
            assert_ne!(row[comm], json!(Busy::COMM), "an innocent process is blamed: {row:?}");
            let innocent = busy_pids.iter().any(|busy| row[pid] == json!(busy));
            assert!(!innocent, "an innocent process is blamed: {row:?}");
        }
    }
}

fn is_of(row: &Row, caused: &Caused) -> bool {
    row["src_addr"] == json!(caused.src_addr)
        && row["src_port"] == json!(caused.src_port)
        && row["dst_addr"] == json!(caused.dst_addr)
        && row["dst_port"] == json!(caused.dst_port)
}

fn check_place(name: &str, row: &Row, ns: &Namespace, has_socket: bool) {
    assert_eq!(row["netns_id"], json!(ns.inode()), "{name}");
    assert_eq!(row["netns_cookie"], json!(ns.cookie()), "{name}");
    assert_eq!(row["direction"], "sent", "{name}");
    let socket_netns = if has_socket { json!(ns.inode()) } else { Json::Null };
    assert_eq!(row["socket_netns_id"], socket_netns, "{name}");
}

fn check_facts(name: &str, row: &Row, expect: &Expect) {
    let expected = [
        ("callee", json!(expect.callee)),
        ("reason", json!(expect.reason)),
        ("sk_state", json!(expect.sk_state)),
        ("family", json!(expect.family)),
        ("context", json!(expect.context)),
        ("cause", json!(expect.cause)),
        ("blame", json!(expect.blame)),
    ];
    for (column, value) in expected {
        assert_eq!(row[column], value, "{name}: {column} of {row:?}");
    }
}

fn check_reason(name: &str, row: &Row, reasons: &BTreeMap<i32, String>) {
    let code = row["reason_code"].as_i64().and_then(|code| i32::try_from(code).ok());
    let named = code.and_then(|code| reasons.get(&code));
    assert_eq!(row["reason"].as_str(), named.map(String::as_str), "{name}: {code:?}");
}

fn check_stack(name: &str, row: &Row, expect: &Expect) {
    let stack = row["stack"].as_str().unwrap_or_default();
    let mut leaf_first = stack.rsplit(';');
    assert_eq!(leaf_first.next(), Some(expect.callee), "{name}: {stack}");
    let caller = leaf_first.next().expect("a caller");
    assert!(expect.caller.contains(&caller), "{name}: {stack}");
    assert_eq!(row["caller"], json!(caller), "{name}");
}

/// The actor where a task acted; nobody where none did, whoever was on the CPU.
fn check_task(name: &str, row: &Row, caused: &Caused, acted: bool) {
    if !acted {
        for column in TASK {
            assert_eq!(row[column], Json::Null, "{name}: {column} of {row:?}");
        }
        return;
    }
    let mntns = fs::metadata("/proc/self/ns/mnt").expect("own mount namespace").ino();
    // An exiting task leaves its namespaces before its files are closed (do_exit).
    let is_exiting = row["cause"] == "app_killed_unread";
    let expected = [
        ("pid", json!(caused.pid)),
        ("tid", json!(caused.tid)),
        ("comm", json!(caused.comm)),
        // Every actor is this test or a child of it.
        ("uid", json!(0)),
        ("gid", json!(0)),
        ("mntns_id", if is_exiting { Json::Null } else { json!(mntns) }),
    ];
    assert!(caused.pid.is_some() && caused.tid.is_some() && caused.comm.is_some(), "{name}");
    for (column, value) in expected {
        assert_eq!(row[column], value, "{name}: {column} of {row:?}");
    }
}
