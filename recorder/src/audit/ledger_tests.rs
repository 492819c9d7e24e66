use super::super::packet::tests::rst;
use super::*;

struct Test {
    ledger: Ledger,
    now: Instant,
    next_seq: u32,
}

impl Test {
    fn new() -> Self {
        Self { ledger: Ledger::default(), now: Instant::now(), next_seq: 0 }
    }

    fn leaves(&mut self, src_port: u16, is_edge: bool) {
        self.next_seq += 1;
        let rst = rst(src_port, self.next_seq);
        let sighting = Sighting { rst, device: 1, outgoing: true };
        self.ledger.packet(&sighting, is_edge, self.now);
    }

    fn recorded(&mut self, src_port: u16, is_edge: bool) {
        self.ledger.event(rst(src_port, 0).key.flow, is_edge, self.now);
    }

    /// The counts of all entries that are not zero.
    fn report(&mut self) -> HashMap<&'static str, u64> {
        let mut counts = HashMap::new();
        for entry in self.ledger.report(self.now) {
            *counts.entry(entry.name).or_default() += entry.count;
        }
        let count = |name| counts.get(name).copied().unwrap_or(0);
        assert_eq!(
            count("seen") - count("crafted") - count("forwarded") - count("unknown"),
            count("recorded") - count("unsent") - count("missed"),
            "{counts:?}"
        );
        counts.retain(|_, count| *count > 0);
        counts
    }

    fn settled(&mut self) -> HashMap<&'static str, u64> {
        self.now += SETTLE;
        self.ledger.sweep(self.now);
        assert_eq!((self.ledger.alone, self.ledger.waiting.len()), (0, 0));
        self.report()
    }
}

fn counts<const N: usize>(counts: [(&'static str, u64); N]) -> HashMap<&'static str, u64> {
    HashMap::from(counts)
}

#[test]
fn nothing_is_called_crafted_where_a_function_has_no_hook() {
    let mut test = Test::new();
    test.ledger.expect_unhooked();
    test.leaves(1, false);
    test.ledger.settle_all();
    let entries = test.ledger.report(test.now);
    let named = |name| entries.iter().any(|entry| entry.name == name && entry.flow.is_some());
    assert!(named(entry::UNKNOWN) && !named(entry::CRAFTED), "{entries:?}");
}

#[test]
fn packets_and_events_explain_each_other_in_any_order() {
    let mut test = Test::new();
    for _ in 0..3 {
        test.leaves(80, false);
        test.recorded(80, false);
        test.recorded(81, false);
        test.leaves(81, false);
    }
    assert_eq!(test.ledger.alone, 0, "nothing has to wait");
    assert_eq!(test.report(), counts([("seen", 6), ("recorded", 6)]));
    assert_eq!(test.report(), counts([]), "reported once");
}

#[test]
fn what_stays_alone_is_a_difference() {
    let mut test = Test::new();
    test.leaves(80, false);
    test.leaves(80, false);
    test.recorded(80, false);
    let other = rst(81, 0).key.flow;
    let other = Flow { dst: (other.dst.0, 4001), ..other };
    test.ledger.event(other, false, test.now);
    assert_eq!(test.report(), counts([("seen", 1), ("recorded", 1)]), "the rest is open");
    test.ledger.sweep(test.now + SETTLE / 2);
    assert_eq!(test.ledger.alone, 2);
    let settled = [("seen", 1), ("recorded", 1), ("crafted", 1), ("unsent", 1)];
    assert_eq!(test.settled(), counts(settled));
}

#[test]
fn what_a_translation_may_explain_has_no_name() {
    let mut test = Test::new();
    test.leaves(80, false);
    // The destination is the same on both sides.
    test.recorded(81, false);
    let settled = [("seen", 1), ("recorded", 1), ("unknown", 1), ("missed", 1)];
    assert_eq!(test.settled(), counts(settled));
}

#[test]
fn a_forwarded_packet_is_named_with_both_devices() {
    let mut test = Test::new();
    for (device, outgoing) in [(1, false), (2, true)] {
        let sighting = Sighting { rst: rst(80, 1), device, outgoing };
        test.ledger.packet(&sighting, false, test.now);
    }
    let entries = test.ledger.report(test.now);
    let forwarded = entries.iter().find(|entry| entry.name == "forwarded").expect("it is");
    assert_eq!((forwarded.count, forwarded.flow), (1, Some(rst(80, 1).key.flow)));
    let seen_at = SeenAt { device: 2, in_device: Some(1), ttl: 63 };
    assert_eq!(forwarded.seen_at, Some(seen_at));
}

#[test]
fn what_a_loss_may_explain_is_unknown() {
    let mut test = Test::new();
    (0..3).for_each(|_| test.leaves(80, false));
    test.leaves(81, false);
    test.ledger.lost(Some(80), 2);
    let expected = [("seen", 4), ("crafted", 2), ("unknown", 2), ("lost", 2)];
    assert_eq!(test.settled(), counts(expected), "by its port");
    test.now += EXCUSED;
    let _ = test.report();

    test.leaves(80, false);
    test.ledger.lost(None, 1);
    assert_eq!(test.report(), counts([]), "nothing to compare yet");
    assert_eq!(test.settled(), counts([("seen", 1), ("unknown", 1)]), "lost before");
    test.now += EXCUSED;
    let _ = test.report();
    test.leaves(80, false);
    assert_eq!(test.settled(), counts([("seen", 1), ("crafted", 1)]), "long past");
}

#[test]
fn what_a_dropped_packet_may_explain_is_missed() {
    let mut test = Test::new();
    (0..3).for_each(|_| test.recorded(80, false));
    test.ledger.dropped(2);
    let expected = [("recorded", 3), ("unsent", 1), ("missed", 2), ("dropped", 2)];
    assert_eq!(test.settled(), counts(expected));
}

#[test]
fn edges_explain_and_need_no_explanation() {
    let mut test = Test::new();
    test.leaves(80, true);
    test.recorded(81, true);
    test.leaves(82, true);
    test.recorded(82, true);
    assert_eq!(test.settled(), counts([]));
    test.leaves(83, true);
    test.recorded(83, false);
    test.recorded(84, true);
    test.leaves(84, false);
    assert_eq!(test.settled(), counts([("seen", 2), ("recorded", 2)]));
}

#[test]
fn without_packets_events_say_nothing() {
    let mut test = Test::new();
    test.ledger.go_blind();
    test.recorded(80, false);
    assert_eq!(test.settled(), counts([]));
}

#[test]
fn memory_is_bounded_and_what_had_no_room_excuses() {
    let mut test = Test::new();
    const MORE: u64 = 100;
    // First all packets, then their events in the same order.
    for n in 0..MAX_WAITING as u64 + MORE {
        test.leaves((n % 60_000) as u16, false);
    }
    assert_eq!(test.ledger.alone, MAX_WAITING);
    for n in 0..MAX_WAITING as u64 + MORE {
        test.recorded((n % 60_000) as u16, false);
    }
    let settled = test.settled();
    let most = MAX_WAITING as u64;
    let expected =
        [("seen", most), ("recorded", most + MORE), ("missed", MORE), ("overflow", MORE)];
    assert_eq!(settled, counts(expected));

    for n in 0..2 * MAX_DIFFERENT as u64 {
        test.leaves(n as u16, false);
    }
    test.now += EXCUSED;
    let _ = test.report();
    test.ledger.sweep(test.now);
    assert_eq!(test.ledger.found.len(), MAX_DIFFERENT);
    let most = 2 * MAX_DIFFERENT as u64;
    assert_eq!(test.report(), counts([("seen", most), ("crafted", most)]));
}
