//! The judge against records that are right, and wrong in each way.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::judge::cell::Balance;
use crate::judge::ledger::balance;
use crate::judge::recording::{Owners, Site};
use crate::table::scenarios;

const NETNS: u64 = 4026532000;
const COOKIE: u64 = 7;
const MNTNS: u64 = 4026531000;
const PID: u32 = 10;

fn scenario(name: &str) -> Scenario {
    *scenarios().find(|scenario| scenario.name == name).expect("a scenario")
}

fn seen_as(seen: Seen) -> Scenario {
    let mut other = scenario("closed_port");
    other.expect.seen = seen;
    other
}

fn caused(scenario: &Scenario) -> Caused {
    let task = scenario.expect.task;
    Caused {
        scenario: scenario.name.to_owned(),
        family: scenario.expect.family.to_owned(),
        src_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
        src_port: scenario.port,
        dst_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
        dst_port: 40000,
        pid: task.then_some(10),
        tid: task.then_some(11),
        comm: task.then(|| "tcprst-scene".to_owned()),
    }
}

/// The row that a recorder without faults prints.
fn right(scenario: &Scenario, stack: &str, flags: Option<&str>) -> Row {
    let (expect, caused) = (&scenario.expect, caused(scenario));
    let task = |value: Json| if expect.task { value } else { Json::Null };
    let columns = [
        ("direction", json!("sent")),
        ("src_addr", json!(caused.src_addr)),
        ("src_port", json!(caused.src_port)),
        ("dst_addr", json!(caused.dst_addr)),
        ("dst_port", json!(caused.dst_port)),
        ("netns_id", json!(NETNS)),
        ("netns_cookie", json!(COOKIE)),
        ("socket_netns_id", json!(expect.sk_state.map(|_| NETNS))),
        ("callee", json!(expect.callee)),
        ("caller", json!(expect.caller[0])),
        ("stack", json!(stack)),
        ("reason", json!(expect.reason)),
        ("sk_state", json!(expect.sk_state)),
        ("answered_flags", json!(flags)),
        ("sk_flags", json!(expect.sk_state.map(|_| ""))),
        ("family", json!(expect.family)),
        ("context", json!(expect.context)),
        ("cause", json!(expect.cause)),
        ("blame", json!(expect.blame)),
        ("pid", task(json!(10))),
        ("tid", task(json!(11))),
        ("comm", task(json!("tcprst-scene"))),
        ("uid", task(json!(0))),
        ("gid", task(json!(0))),
        ("mntns_id", task(json!(MNTNS))),
        ("cgroup_id", task(json!(1))),
        ("socket_pid", json!(expect.sk_state.map(|_| PID))),
        ("container_id", Json::Null),
    ];
    columns.map(|(name, value)| (name.to_owned(), value)).into()
}

fn closed_port() -> Row {
    right(&scenario("closed_port"), "do_softirq;tcp_v4_rcv;tcp_v4_send_reset", Some("SYN"))
}

fn linger0() -> Row {
    let stack = "do_syscall_64;__tcp_close;tcp_disconnect;tcp_send_active_reset";
    right(&scenario("linger0_close"), stack, None)
}

fn doctor(reasons: usize, hook: Option<&str>) -> Doctor {
    let site = |name: &str| Site {
        site: name.to_owned(),
        hook: hook.map(str::to_owned),
        detail: "kprobes are refused".to_owned(),
        direction: "sent".to_owned(),
        why: String::new(),
    };
    Doctor {
        kernel: "1.0".to_owned(),
        reasons,
        symbols: true,
        sites: vec![site("tcp_v4_send_reset"), site("tcp_send_active_reset")],
        owners: Owners::default(),
    }
}

const ALL: Abilities = Abilities { received: true, icmp: true, audit: true };

fn verdict(scenario: &Scenario, doctor: &Doctor, rows: &[Row], ledger: &[LedgerEntry]) -> Verdict {
    let evidence = Evidence {
        netns_id: NETNS,
        netns_cookie: COOKIE,
        mntns_id: MNTNS,
        pid: PID,
        doctor,
        abilities: ALL,
        rows,
        ledger: Some(ledger),
    };
    judge(scenario, &Ok(Outcome::Caused(caused(scenario))), &evidence).verdict
}

fn differences(verdict: Verdict) -> String {
    match verdict {
        Verdict::Wrong(differences) => differences.join("; "),
        other => panic!("judged {other:?}"),
    }
}

fn entry(kind: EntryKind, caused: &Caused) -> LedgerEntry {
    LedgerEntry {
        entry: kind,
        count: 1,
        src_addr: Some(caused.src_addr),
        src_port: Some(caused.src_port),
        dst_addr: Some(caused.dst_addr),
        dst_port: Some(caused.dst_port),
    }
}

fn total(kind: EntryKind, count: u64) -> LedgerEntry {
    LedgerEntry {
        entry: kind,
        count,
        src_addr: None,
        src_port: None,
        dst_addr: None,
        dst_port: None,
    }
}

#[test]
fn a_right_row_is_ok() {
    let doctor = doctor(26, Some("kprobe"));
    assert_eq!(verdict(&scenario("closed_port"), &doctor, &[closed_port()], &[]), Verdict::Ok);
    assert_eq!(verdict(&scenario("linger0_close"), &doctor, &[linger0()], &[]), Verdict::Ok);
}

#[test]
fn each_wrong_fact_is_named() {
    let doctor = doctor(26, Some("kprobe"));
    for column in [
        "callee",
        "caller",
        "reason",
        "sk_state",
        "family",
        "context",
        "cause",
        "blame",
        "pid",
        "tid",
        "comm",
        "uid",
        "mntns_id",
        "netns_cookie",
        "socket_netns_id",
    ] {
        let mut row = linger0();
        row.insert(column.to_owned(), json!("wrong"));
        let wrong = differences(verdict(&scenario("linger0_close"), &doctor, &[row], &[]));
        assert!(wrong.contains(column), "{column}: {wrong}");
    }
}

#[test]
fn nobody_is_blamed_where_no_task_acted() {
    for column in TASK {
        let mut row = closed_port();
        row.insert(column.to_owned(), json!(1));
        let doctor = doctor(26, Some("kprobe"));
        let wrong = differences(verdict(&scenario("closed_port"), &doctor, &[row], &[]));
        assert!(wrong.contains(column), "{wrong}");
    }
}

#[test]
fn once_is_neither_never_nor_twice() {
    let (scenario, doctor) = (scenario("closed_port"), doctor(26, Some("kprobe")));
    assert_eq!(differences(verdict(&scenario, &doctor, &[], &[])), "not recorded");
    let twice = [closed_port(), closed_port()];
    assert_eq!(differences(verdict(&scenario, &doctor, &twice, &[])), "recorded 2 times");
    let mut elsewhere = closed_port();
    elsewhere.insert("netns_id".to_owned(), json!(1));
    assert!(
        differences(verdict(&scenario, &doctor, &[elsewhere], &[])).contains("1 rows in other")
    );
    // The other end's row of the same reset is not a second one.
    let mut received = closed_port();
    received.insert("direction".to_owned(), json!("received"));
    assert_eq!(verdict(&scenario, &doctor, &[closed_port(), received], &[]), Verdict::Ok);
}

#[test]
fn a_kernel_without_reasons_must_show_none() {
    let (scenario, old) = (scenario("closed_port"), doctor(0, Some("kprobe")));
    assert!(differences(verdict(&scenario, &old, &[closed_port()], &[])).contains("reason"));
    let mut row = closed_port();
    row.insert("reason".to_owned(), Json::Null);
    assert_eq!(verdict(&scenario, &old, &[row], &[]), Verdict::Ok);
}

#[test]
fn unknown_is_not_right_but_not_wrong_either() {
    let mut row = closed_port();
    row.insert("cause".to_owned(), json!(UNKNOWN));
    row.insert("blame".to_owned(), Json::Null);
    let doctor = doctor(26, Some("kprobe"));
    assert_eq!(verdict(&scenario("closed_port"), &doctor, &[row], &[]), Verdict::Unknown);
}

#[test]
fn a_site_without_a_hook_is_for_the_ledger() {
    let (scenario, doctor) = (scenario("closed_port"), doctor(26, None));
    let crafted = [entry(EntryKind::Crafted, &caused(&scenario))];
    let unknown = [entry(EntryKind::Unknown, &caused(&scenario))];
    assert_eq!(
        verdict(&scenario, &doctor, &[], &unknown),
        Verdict::Unhooked("kprobes are refused".to_owned())
    );
    for ledger in [&[][..], &crafted] {
        let found = differences(verdict(&scenario, &doctor, &[], ledger));
        assert!(found.contains("not in the ledger as unknown"), "{found}");
    }
    assert!(
        differences(verdict(&scenario, &doctor, &[closed_port()], &unknown)).contains("recorded")
    );
    // A packet cannot be proven to be crafted where a firewall's resets are not seen.
    let by_hand = verdict(&seen_as(Seen::Crafted), &doctor, &[], &unknown);
    assert!(matches!(by_hand, Verdict::Unhooked(_)), "{by_hand:?}");
    // The sender's row is not the receiver's.
    let other_end = verdict(&seen_as(Seen::Received), &doctor, &[closed_port()], &[]);
    assert!(matches!(other_end, Verdict::Unhooked(_)), "{other_end:?}");
}

#[test]
fn what_only_the_wire_shows_is_for_the_ledger() {
    let doctor = doctor(26, Some("kprobe"));
    for (seen, kind) in
        [(Seen::Crafted, EntryKind::Crafted), (Seen::Forwarded, EntryKind::Forwarded)]
    {
        let scenario = seen_as(seen);
        let named = [entry(kind, &caused(&scenario))];
        assert_eq!(verdict(&scenario, &doctor, &[], &named), Verdict::Ok);
        differences(verdict(&scenario, &doctor, &[], &[]));
        differences(verdict(&scenario, &doctor, &[closed_port()], &named));
    }
    let silent = seen_as(Seen::Nothing);
    assert_eq!(verdict(&silent, &doctor, &[], &[]), Verdict::Ok);
    differences(verdict(&silent, &doctor, &[closed_port()], &[]));
    differences(verdict(&silent, &doctor, &[], &[entry(EntryKind::Crafted, &caused(&silent))]));
}

#[test]
fn the_reason_can_be_hidden() {
    assert_eq!(cause_without_reason(&linger0()).as_deref(), Some("app_linger0"));
    assert_eq!(cause_without_reason(&closed_port()).as_deref(), Some("closed_port"));
    // Not by the reason, which says no such thing.
    let mut stale = closed_port();
    stale.insert("answered_flags".to_owned(), json!("PSH|ACK"));
    assert_eq!(cause_without_reason(&stale).as_deref(), Some("stale_flow"));
    let cell = |cause: &str| Cell {
        scenario: "x".to_owned(),
        expected: "app_close_unread".to_owned(),
        verdict: Verdict::Ok,
        cause: None,
        without_reason: Some(cause.to_owned()),
    };
    assert!(cell("app_linger2").is_confidently_wrong_without_reason());
    assert!(!cell("app_close_unread").is_confidently_wrong_without_reason());
    assert!(!cell(UNKNOWN).is_confidently_wrong_without_reason());
    assert!(cell(UNKNOWN).is_unknown_without_reason());
}

#[test]
fn the_ledger_balances_or_says_why_not() {
    let raw = caused(&seen_as(Seen::Crafted));
    let expected = [(EntryKind::Crafted, &raw)];
    let even = || {
        vec![
            total(EntryKind::Seen, 3),
            total(EntryKind::Recorded, 2),
            entry(EntryKind::Crafted, &raw),
        ]
    };
    assert_eq!(balance(Some(&even()), &expected), Balance::Even);
    assert_eq!(balance(None, &[]), Balance::Absent);
    let why = |ledger: Vec<LedgerEntry>, expected: &[_]| match balance(Some(&ledger), expected) {
        Balance::Uneven(why) => why.join("; "),
        other => panic!("{other:?}"),
    };
    assert!(why(even(), &[]).contains("crafted 1 from 127.0.0.1:21011"));
    assert!(why(even()[..2].to_vec(), &[]).contains("3 seen"));
    assert!(why(vec![], &[]).contains("nothing was seen"));
    // One of the recorded resets never reached the wire: even, but not expected.
    let mut unsent = even();
    unsent[1].count = 3;
    unsent.push(entry(EntryKind::Unsent, &raw));
    assert!(why(unsent.clone(), &expected).starts_with("unexpected: unsent"));
    for kind in [EntryKind::Dropped, EntryKind::Lost, EntryKind::Overflow] {
        let mut incomplete = even();
        incomplete.push(total(kind, 1));
        assert!(why(incomplete, &expected).starts_with("1 "), "{kind:?}");
    }
}
