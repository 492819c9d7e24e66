//! Start, rotation and end of a recording.

use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use scenarios::{Namespace, flood};
use tcprst_schema::paths::SegmentName;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{
    LOSSLESS, Recording, Segment, count_in, one_line, recorder, require_root, segments, spool_files,
};

fn rows_of(segments: &[Segment], cookie: u64) -> u64 {
    segments.iter().map(|segment| count_in(&segment.batches, cookie)).sum()
}

/// Checks that the folder holds only sealed segments and nothing half written; returns them.
fn sealed(dir: &Path) -> Vec<Segment> {
    let left = spool_files(dir);
    assert!(left.is_empty(), "the spool is not empty: {left:?}");
    let resets = segments(dir, Table::Resets);
    resets.iter().for_each(Segment::check);
    resets
}

#[test]
fn a_signal_seals_and_ends_with_success() {
    require_root();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = TempDir::new().expect("a folder");
        let ns = Namespace::new().expect("a network namespace");
        let recording = Recording::start(dir.path(), &LOSSLESS);
        flood(&ns, 10, 1).expect("resets");
        let totals = recording.stop(signal).totals();
        let resets = sealed(dir.path());
        assert_eq!(rows_of(&resets, ns.cookie()), 10, "{signal}: resets right before the end");
        assert_eq!(totals.segments, resets.len() as u64, "{signal}");
    }
}

#[test]
fn a_duration_ends_by_itself() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let ended = Recording::start(dir.path(), &["--duration", "1s"]).wait();
    assert_eq!(ended.totals().segments, sealed(dir.path()).len() as u64);
}

#[test]
fn a_quiet_recording_leaves_one_segment() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let recording = Recording::start(dir.path(), &[]);
    let totals = recording.stop(Signal::SIGTERM).totals();
    let resets = sealed(dir.path());
    let [segment] = &resets[..] else {
        panic!("{} segments", resets.len());
    };
    // Other processes on this machine may have been reset in between.
    assert_eq!(segment.rows(), totals.written);
    assert!(segment.footer.recorded_from_us < segment.footer.recorded_to_us);
    assert!(!segment.footer.recovered);
    assert_eq!(segment.footer.sites.len(), 7);
    assert!(segment.footer.reasons.values().any(|name| name == "NO_SOCKET"));
}

/// Causes bursts of resets with pauses between them, under options that rotate.
fn rotated(options: &[&str], bursts: u64, burst: u64, distance: Duration) -> Vec<Segment> {
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let recording = Recording::start(dir.path(), &[&LOSSLESS, options].concat());
    for _ in 0..bursts {
        flood(&ns, burst, 1).expect("resets");
        thread::sleep(distance);
    }
    let totals = recording.stop(Signal::SIGTERM).totals();
    let resets = sealed(dir.path());
    assert_eq!(rows_of(&resets, ns.cookie()), bursts * burst, "{totals:?}");
    for pair in resets.windows(2) {
        assert!(pair[0].name.seq() < pair[1].name.seq(), "in the order of their names");
        assert_eq!(pair[0].footer.recorded_to_us, pair[1].footer.recorded_from_us);
    }
    for segment in &resets {
        assert_eq!(SegmentName::of_file(&segment.path).as_ref(), Some(&segment.name));
        let folder = segment.path.parent().and_then(Path::file_name).expect("a folder");
        assert_eq!(folder.to_str(), Some(&*format!("date={}", segment.name.date())));
    }
    resets
}

#[test]
fn time_rotates() {
    require_root();
    let options = ["--rotate-interval", "1s", "--flush-interval", "100ms"];
    let resets = rotated(&options, 8, 10, Duration::from_millis(500));
    assert!((2..=6).contains(&resets.len()), "{} segments in 4 s", resets.len());
}

#[test]
fn size_rotates() {
    require_root();
    let options = ["--rotate-size", "64KiB", "--flush-interval", "100ms"];
    let resets = rotated(&options, 6, 500, Duration::from_millis(300));
    assert!(resets.len() >= 3, "{} segments of 3000 resets", resets.len());
}

#[test]
fn a_folder_belongs_to_one_recorder() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let first = Recording::start(dir.path(), &[]);
    let second = run(dir.path(), &["--duration", "5s"]);
    let line = one_line(&second, 1);
    assert!(line.contains(&format!("pid {}", first.pid())), "{line}");
    first.stop(Signal::SIGTERM).totals();
    // The lock is released when its holder ends, even if that is killed.
    let killed = Recording::start(dir.path(), &[]);
    killed.stop(Signal::SIGKILL);
    Recording::start(dir.path(), &["--duration", "1s"]).wait().totals();
}

fn run(dir: &Path, options: &[&str]) -> Output {
    recorder(dir, options).output().expect("the recorder starts")
}

#[test]
fn a_folder_below_a_file_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    for out in [&file, &file.join("out")] {
        let line = one_line(&run(out, &["--duration", "5s"]), 1);
        assert!(line.contains(file.to_str().expect("UTF-8")), "{line}");
    }
}
