//! Checks that `seen = written + lost` holds exactly, however fast the resets come.

use nix::sys::signal::Signal;
use scenarios::{FLOOD_PORT, Namespace, flood};
use serde_json::{Value as Json, json};
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{
    Recording, Row, Segment, alone, count_in, count_where, require_root, rows_in, segments,
};

const RESETS: u64 = 200_000;

/// The recording of a flood.
struct Flooded {
    cookie: u64,
    /// The number of RSTs that the namespace's own counter shows.
    sent: u64,
    resets: Vec<Segment>,
    losses: Vec<Row>,
    seen: u64,
    lost: u64,
}

fn flooded(ring_size: &str, threads: u64) -> Flooded {
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    // Small segments, so that the account spans several of them.
    let recording =
        Recording::start(dir.path(), &["--ring-size", ring_size, "--rotate-size", "2MiB"]);
    let sent = flood(&ns, RESETS, threads).expect("a flood").resets;
    assert_eq!(sent, RESETS, "each connect is answered by one reset");
    let totals = recording.stop(Signal::SIGINT).totals();

    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(Segment::check);
    let sum = |of: fn(&Segment) -> u64| resets.iter().map(of).sum::<u64>();
    let (seen, lost) = (sum(|s| s.footer.seen), sum(|s| s.footer.lost));
    let written = sum(|s| s.footer.written);
    eprintln!(
        "ring {ring_size}: {seen} seen, {written} written, {lost} lost in {} segments",
        resets.len()
    );
    assert_eq!(seen, written + lost);
    assert_eq!((totals.seen, totals.written, totals.lost), (seen, written, lost));
    assert_eq!(totals.segments, resets.len() as u64);
    let losses = rows_in(&segments(dir.path(), Table::Losses), None);
    assert_eq!(
        losses.iter().map(count).sum::<u64>(),
        lost,
        "the table `losses` against the footers"
    );
    check_neighbours(&resets);
    check_causes(&resets, ns.cookie());
    Flooded { cookie: ns.cookie(), sent, resets, losses, seen, lost }
}

/// Checks that segments follow each other without a gap, in time and in the account.
fn check_neighbours(resets: &[Segment]) {
    for pair in resets.windows(2) {
        let [before, after] = [&pair[0].footer, &pair[1].footer];
        assert_eq!(before.recorded_to_us, after.recorded_from_us);
        let seen = |account: &[tcprst_schema::footer::CpuAccount]| {
            account.iter().map(|cpu| cpu.seen).sum::<u64>()
        };
        assert!(seen(&after.account) >= seen(&before.account));
    }
}

/// Every reset of every segment has its cause, despite the rotation.
fn check_causes(resets: &[Segment], cookie: u64) {
    for segment in resets {
        let known = count_where(&segment.batches, cookie, "cause", "closed_port");
        assert_eq!(known, count_in(&segment.batches, cookie), "{}", segment.path.display());
    }
}

fn count(loss: &Row) -> u64 {
    loss["count"].as_u64().expect("a count")
}

impl Flooded {
    fn rows(&self) -> u64 {
        self.resets.iter().map(|segment| count_in(&segment.batches, self.cookie)).sum()
    }

    /// Losses with this cookie: the flood's cookie, or null.
    fn lost_of(&self, cookie: &Json) -> u64 {
        self.losses.iter().filter(|loss| loss["netns_cookie"] == *cookie).map(count).sum()
    }
}

#[test]
fn a_flood_fits_into_a_large_ring_to_the_last_reset() {
    require_root();
    let _alone = alone();
    let flooded = flooded("16MiB", 1);
    assert_eq!(flooded.lost_of(&json!(flooded.cookie)), flooded.sent - flooded.rows());
    if flooded.lost == 0 {
        assert_eq!(flooded.rows(), flooded.sent);
        assert!(flooded.losses.is_empty());
    }
    check_seq(&flooded);
}

#[test]
fn what_a_small_ring_loses_is_counted_and_named() {
    require_root();
    let _alone = alone();
    let flooded = flooded("4KiB", 2);
    assert!(flooded.lost > 0, "a ring of a page cannot hold a flood");
    let keyed = flooded.lost_of(&json!(flooded.cookie));
    let unkeyed = flooded.lost_of(&Json::Null);
    let rows = flooded.rows();
    eprintln!("of {}: {rows} rows, {keyed} losses with their key, {unkeyed} without", flooded.sent);
    assert!(rows + keyed <= flooded.sent, "nothing is counted twice");
    assert!(rows + keyed + unkeyed >= flooded.sent, "nothing is forgotten");
    assert!(flooded.seen >= flooded.sent);
    assert!(keyed > 0, "losses have their key");
    for loss in flooded.losses.iter().filter(|loss| loss["netns_cookie"] == json!(flooded.cookie)) {
        let expected = [
            ("stage", json!("ring")),
            ("callee", json!("tcp_v4_send_reset")),
            ("caller", json!("tcp_v4_rcv")),
            ("reason", json!("NO_SOCKET")),
            ("family", json!("ipv4")),
            ("src_port", json!(FLOOD_PORT)),
        ];
        for (column, value) in expected {
            assert_eq!(loss[column], value, "{column} of {loss:?}");
        }
        assert!(loss["from_time"].as_i64() <= loss["to_time"].as_i64(), "{loss:?}");
    }
    check_seq(&flooded);
}

/// `seq` counts each CPU's resets from 1: numbers that are missing are lost events.
fn check_seq(flooded: &Flooded) {
    let mut seqs: std::collections::BTreeMap<i32, Vec<i64>> = Default::default();
    for batch in flooded.resets.iter().flat_map(|segment| &segment.batches) {
        use arrow_array::cast::AsArray;
        use arrow_array::types::{Int32Type, Int64Type};
        let cpus = batch.column_by_name("cpu").expect("cpu").as_primitive::<Int32Type>();
        let numbers = batch.column_by_name("seq").expect("seq").as_primitive::<Int64Type>();
        for (cpu, number) in cpus.values().iter().zip(numbers.values()) {
            seqs.entry(*cpu).or_default().push(*number);
        }
    }
    for (cpu, numbers) in &mut seqs {
        assert!(numbers.is_sorted(), "CPU {cpu}: in order");
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "CPU {cpu}: each number once");
        assert!(numbers.first() >= Some(&1));
    }
    if flooded.lost == 0 {
        let highest: i64 = seqs.values().filter_map(|numbers| numbers.last()).sum();
        assert_eq!(highest.cast_unsigned(), flooded.seen, "no gap without a loss");
    }
}
