//! Checks that `seen = written + counted + lost` holds exactly, however fast the resets come.

use std::time::Instant;

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

/// Counts of a storm in the rollup: those of this port, and how many of them have no row.
fn in_rollup(rollups: &[Segment], port: u16) -> (u64, u64) {
    let groups = rows_in(rollups, None);
    let of_port = groups.iter().filter(|group| {
        group["port"] == json!(port) && group["cause"] == "closed_port" && group["family"] == "ipv4"
    });
    let sum = |groups: &[&Row], column: &str| -> u64 {
        groups.iter().filter_map(|group| group[column].as_u64()).sum()
    };
    let of_port: Vec<&Row> = of_port.collect();
    (sum(&of_port, "count"), sum(&of_port, "counted"))
}

#[test]
fn a_storm_is_counted_beyond_its_rate() {
    const RATE: u64 = 100;
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let options = ["--ring-size", "16MiB", "--storm-rate", "100", "--rotate-interval", "2s"];
    let recording = Recording::start(dir.path(), &options);
    let start = Instant::now();
    let sent = flood(&ns, RESETS, 2).expect("a flood").resets;
    let seconds = start.elapsed().as_secs() + 2;
    assert_eq!(sent, RESETS, "each connect is answered by one reset");
    let ended = recording.stop(Signal::SIGINT);
    assert!(ended.has_said("a storm: "), "{:?}", ended.said);
    let totals = ended.totals();

    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(Segment::check);
    check_neighbours(&resets);
    let sum = |of: fn(&Segment) -> u64| resets.iter().map(of).sum::<u64>();
    let (seen, lost) = (sum(|s| s.footer.seen), sum(|s| s.footer.lost));
    let (written, counted) = (sum(|s| s.footer.written), sum(|s| s.footer.counted));
    eprintln!("{sent} sent: {seen} seen, {written} written, {counted} counted, {lost} lost");
    assert_eq!(seen, written + counted + lost);
    let sums = (totals.seen, totals.written, totals.counted, totals.lost);
    assert_eq!(sums, (seen, written, counted, lost));

    // No more rows than the rate allows on each CPU, the second begun and the one not over included.
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as u64;
    let rows = resets.iter().map(|segment| count_in(&segment.batches, ns.cookie())).sum::<u64>();
    assert!(rows <= RATE * cpus * seconds, "{rows} rows in {seconds} s on {cpus} CPUs");
    assert!(rows > 0, "the first of each second have a row");

    // Each of the namespace's resets has a row, or a count under its key, or is lost under its key.
    let losses = rows_in(&segments(dir.path(), Table::Losses), None);
    let of_ns = |stage: &str| -> u64 {
        let is_own =
            |loss: &&Row| loss["netns_cookie"] == json!(ns.cookie()) && loss["stage"] == stage;
        losses.iter().filter(is_own).map(count).sum()
    };
    assert_eq!(rows + of_ns("counted") + of_ns("ring"), sent);
    let all = losses.iter().filter(|loss| loss["stage"] == "counted").map(count).sum::<u64>();
    assert_eq!(all, counted, "the table `losses` against the footers");
    for loss in losses.iter().filter(|loss| loss["netns_cookie"] == json!(ns.cookie())) {
        assert_eq!(loss["src_port"], json!(FLOOD_PORT), "{loss:?}");
        assert_eq!(loss["caller"], "tcp_v4_rcv", "{loss:?}");
    }
    // Nothing else on this machine is flooded on that port.
    let rollups = segments(dir.path(), Table::ResetsPerMinute);
    let (in_all, without_rows) = in_rollup(&rollups, FLOOD_PORT);
    assert_eq!(in_all, sent - of_ns("ring"), "the rollup against the namespace's OutRsts");
    assert_eq!(without_rows, of_ns("counted"));
}

#[test]
fn what_a_killed_recorder_counted_is_recovered() {
    require_root();
    let _alone = alone();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let options = ["--ring-size", "16MiB", "--storm-rate", "100"];
    let recording = Recording::start(dir.path(), &options);
    flood(&ns, RESETS / 4, 2).expect("a flood");
    // Each second has rows, behind those of the second before: a flush makes them safe.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    flood(&ns, 10, 1).expect("a flood");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    recording.stop(Signal::SIGKILL);
    Recording::start(dir.path(), &options).stop(Signal::SIGINT).totals();

    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(Segment::check);
    let footer = &resets.iter().find(|segment| segment.footer.recovered).expect("one").footer;
    assert!(footer.counted > RESETS / 8, "{footer:?}");
    assert!(footer.seen >= RESETS / 4 + 10, "{footer:?}");
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
