//! `kill -9` at any moment loses at most the last flush interval and leaves every file readable.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use arrow_array::RecordBatch;
use nix::libc::SIGKILL;
use nix::sys::signal::Signal;
use scenarios::{Caused, Namespace, flood, run_all};
use serde_json::json;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{
    Ended, LOSSLESS, Recording, Row, Segment, alone, count_in, require_root, rows_in, segments,
    spool_files, spools,
};

const FLUSH: Duration = Duration::from_millis(200);
/// In a flood the rings and the channel are full as well: their events are as old as the time that
/// the writer needs for some 30 000 resets.
const FLUSH_IN_FLOOD: Duration = Duration::from_millis(500);

fn recording(dir: &Path, flush: Duration) -> Recording {
    let [option, size] = LOSSLESS;
    let flush = format!("{}ms", flush.as_millis());
    // One segment, whatever other load this machine has.
    let args = ["--flush-interval", &flush, "--rotate-size", "1GiB", option, size];
    Recording::start(dir, &args)
}

/// Starts a recorder on the files of a killed one, and checks what must always hold afterwards.
fn restart(dir: &Path) -> Ended {
    let ended = Recording::start(dir, &["--duration", "1s"]).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let left = spool_files(dir);
    assert!(left.is_empty(), "the spool is not empty: {left:?}");
    segments(dir, Table::Resets).iter().for_each(Segment::check);
    // Reading the losses checks them.
    segments(dir, Table::Losses);
    ended
}

fn killed(recording: Recording) {
    let ended = recording.stop(Signal::SIGKILL);
    assert_eq!(ended.signal, Some(SIGKILL), "{ended:?}");
}

fn rows_of(segments: &[Segment], cookie: u64) -> u64 {
    segments.iter().map(|segment| count_in(&segment.batches, cookie)).sum()
}

fn is_of(row: &Row, caused: &Caused) -> bool {
    row["src_port"] == json!(caused.src_port) && row["dst_port"] == json!(caused.dst_port)
}

/// Calls `during` while `ns` causes resets in bursts, `pause` apart.
fn while_flooded<T>(ns: &Namespace, pause: Duration, during: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flooder = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                flood(ns, 500, 1).expect("a flood");
                thread::sleep(pause);
            }
        });
        let done = during();
        over.store(true, Ordering::Relaxed);
        flooder.join().expect("the flood ends");
        done
    })
}

#[test]
fn what_is_older_than_two_flushes_survives_a_kill_under_a_flood() {
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let flooded = Namespace::new().expect("a network namespace");
    let ns = Namespace::new().expect("a network namespace");
    let recording = recording(dir.path(), FLUSH_IN_FLOOD);
    let (caused, older) = while_flooded(&flooded, Duration::ZERO, || {
        thread::sleep(Duration::from_secs(1));
        let caused = run_all(&ns, &["closed_port", "closed_port_v6", "linger0_close"]);
        let older = flooded.out_rsts().expect("OutRsts");
        thread::sleep(2 * FLUSH_IN_FLOOD);
        killed(recording);
        (caused.expect("the scenarios play"), older)
    });
    assert!(!spools(dir.path()).is_empty(), "a killed recorder leaves a spool");

    let ended = restart(dir.path());
    assert!(ended.has_said("recovered"), "{ended:?}");
    let resets = segments(dir.path(), Table::Resets);
    let recovered: Vec<_> = resets.iter().filter(|segment| segment.footer.recovered).collect();
    assert!(!recovered.is_empty(), "a recovered segment says so");
    let lost: u64 = resets.iter().map(|segment| segment.footer.lost).sum();
    let rows = rows_of(&resets, flooded.cookie());
    let sent = flooded.out_rsts().expect("OutRsts");
    eprintln!("{older} of {sent} resets were older than two flushes: {rows} rows, {lost} lost");
    assert!(rows + lost >= older, "{rows} rows and {lost} losses of {older} resets");
    // A ring that lost events is no excuse to lose more: nearly all must be rows.
    assert!(rows >= older / 2, "{rows} rows of {older} resets");

    let scenes = rows_in(&resets, Some(ns.cookie()));
    for reset in &caused {
        let count = scenes.iter().filter(|row| is_of(row, reset)).count();
        assert!(count == 1 || (count == 0 && lost > 0), "{count} rows of {reset:?}, {lost} lost");
    }
}

#[test]
fn a_steady_load_loses_nothing_that_is_older_than_two_flushes() {
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let recording = recording(dir.path(), FLUSH);
    let older = while_flooded(&ns, Duration::from_millis(50), || {
        thread::sleep(Duration::from_secs(1));
        let older = ns.out_rsts().expect("OutRsts");
        thread::sleep(2 * FLUSH);
        killed(recording);
        older
    });
    restart(dir.path());
    let resets = segments(dir.path(), Table::Resets);
    let lost: u64 = resets.iter().map(|segment| segment.footer.lost).sum();
    let rows = rows_of(&resets, ns.cookie());
    eprintln!("{older} resets were older than two flushes: {rows} rows, {lost} lost");
    // This load does not fill a ring, but other load on this machine may.
    assert!(rows + lost >= older, "{rows} rows and {lost} losses of {older} resets");
}

/// Three bursts, each in at least one batch of its own; then a kill. Returns the only spool.
fn three_batches(dir: &Path, ns: &Namespace) -> PathBuf {
    let recording = recording(dir, FLUSH);
    for _ in 0..3 {
        flood(ns, 100, 1).expect("a flood");
        thread::sleep(4 * FLUSH);
    }
    killed(recording);
    let [spool] = &spools(dir)[..] else {
        panic!("not one spool: {:?}", spool_files(dir));
    };
    spool.clone()
}

/// The whole batches of a spool.
fn batches(spool: &Path) -> Vec<RecordBatch> {
    let spool = tcprst_schema::spool::read(spool).expect("a spool").expect("a schema");
    spool.batches().collect::<Result<_, _>>().expect("batches")
}

#[test]
fn a_spool_that_is_cut_off_gives_all_whole_batches() {
    require_root();
    let _alone = alone();
    for cut in [1, 100, 1000] {
        let dir = TempDir::new().expect("a folder");
        let ns = Namespace::new().expect("a network namespace");
        let spool = three_batches(dir.path(), &ns);
        let whole = batches(&spool);
        assert_eq!(count_in(&whole, ns.cookie()), 300, "a quiet recorder has flushed all");
        let file = File::options().write(true).open(&spool).expect("the spool");
        let length = file.metadata().expect("its size").len();
        file.set_len(length - cut).expect("cut off");

        // Others on this machine may have been reset when the recorder was killed; then the
        // tail is torn already and the cut only takes more of it.
        let left = batches(&spool).len();
        assert!(left + 1 >= whole.len(), "cut by {cut}: {left} of {} batches", whole.len());

        let ended = restart(dir.path());
        let rows = rows_of(&segments(dir.path(), Table::Resets), ns.cookie());
        assert_eq!(rows, count_in(&whole[..left], ns.cookie()), "cut by {cut}: {ended:?}");
        assert!(rows >= 200, "cut by {cut}: only the last batch is gone, not {}", 300 - rows);
    }
}

#[test]
fn a_spool_whose_segment_is_sealed_is_dropped() {
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let spool = three_batches(dir.path(), &ns);
    let bytes = fs::read(&spool).expect("the spool");
    assert!(restart(dir.path()).has_said("recovered"));
    assert_eq!(rows_of(&segments(dir.path(), Table::Resets), ns.cookie()), 300);

    // As if the recorder had been killed between the rename and the removal.
    fs::write(&spool, bytes).expect("the spool is back");
    let ended = restart(dir.path());
    assert!(!ended.has_said("recovered"), "{ended:?}");
    assert_eq!(rows_of(&segments(dir.path(), Table::Resets), ns.cookie()), 300, "not doubled");
}

#[test]
fn half_written_files_are_removed_and_strangers_stay() {
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let spool = dir.path().join("spool");
    fs::create_dir(&spool).expect("a folder");
    let half = spool.join("vm-20261121T201819.123456Z-000001.resets.parquet.tmp");
    let unborn = spool.join("vm-20261121T201819.123456Z-000002.arrows");
    fs::write(&half, "PAR1").expect("written");
    fs::write(&unborn, "").expect("written");
    let stranger = spool.join("README");
    fs::write(&stranger, "mine").expect("written");
    let ended = Recording::start(dir.path(), &["--duration", "1s"]).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(spool_files(dir.path()), [stranger]);
}
