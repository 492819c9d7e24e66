//! What a recorder costs while nothing happens, and what it needs to start.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

mod common;
use common::{Recording, require_root};

/// A network namespace that does not exist: the kernel half drops the resets of all others.
const NO_NETNS: [&str; 2] = ["--netns", "1"];

/// The numbers of a field in a file of /proc, in its first unit.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let number = line.trim_start_matches(':').split_ascii_whitespace().next().expect(name);
    number.parse().expect(name)
}

/// Context switches of all threads so far, of both kinds.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.expect("a thread").path().join("status"));
            let status = status.expect("its status");
            field(&status, "voluntary_ctxt_switches") + field(&status, "nonvoluntary_ctxt_switches")
        })
        .sum()
}

#[test]
fn an_idle_recorder_sleeps_and_is_small() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let recording = Recording::start(dir.path(), &NO_NETNS);
    // The resolver looks for runtimes at the start.
    thread::sleep(Duration::from_secs(2));
    let before = switches(recording.pid());
    const SECONDS: u64 = 10;
    thread::sleep(Duration::from_secs(SECONDS));
    let per_second = (switches(recording.pid()) - before) as f64 / SECONDS as f64;
    assert!(per_second <= 2.0, "{per_second} wake-ups a second");
    let status = fs::read_to_string(format!("/proc/{}/status", recording.pid())).expect("it runs");
    // Of the whole life so far, with the start.
    let peak_kib = field(&status, "VmHWM");
    assert!(peak_kib < 48 * 1024, "{peak_kib} KiB at the peak");
    let totals = recording.stop(Signal::SIGTERM).totals();
    assert_eq!((totals.seen, totals.lost), (0, 0), "nothing was asked for");
}
