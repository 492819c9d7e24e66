//! `--audit`: packets that left the namespace against the recording, on the real network stack.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use scenarios::{Namespace, Outcome, Seen, flood, play, unhidden};
use serde_json::{Value as Json, json};
use tcprst_schema::columns::LEDGER_COLUMNS;
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{
    Ended, LOSSLESS, RECORDER, Recording, Row, alone, one_line, require_root, rows_in, segments,
};

/// A recorder inside a namespace.
struct Audited {
    dir: TempDir,
    recording: Recording,
    stdout: JoinHandle<String>,
}

/// The account that an audited recorder wrote.
struct Ledger {
    /// Sums by entry.
    counts: BTreeMap<String, u64>,
    /// Entries with a flow.
    flows: Vec<Json>,
    ended: Ended,
}

impl Audited {
    fn start(ns: &Namespace) -> Self {
        let dir = TempDir::new().expect("a folder");
        let [option, size] = LOSSLESS;
        let (recording, mut stdout) = ns
            .run(|| {
                let options = ["--audit", "--print=json", option, size];
                Ok(Recording::start_with_stdout(dir.path(), &options))
            })
            .expect("a recorder in the namespace");
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).expect("UTF-8");
            text
        });
        Self { dir, recording, stdout }
    }

    fn stop(self) -> Ledger {
        let ended = self.recording.stop(Signal::SIGTERM);
        ended.totals();
        let printed: Vec<Json> = self
            .stdout
            .join()
            .expect("read")
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).expect("JSON"))
            .filter_map(|line| line.get("ledger").cloned())
            .collect();
        let stored = rows_in(&segments(self.dir.path(), Table::Ledger), None);
        check_same(&printed, &stored);
        Ledger {
            counts: counts(&stored),
            flows: printed.into_iter().filter(|entry| !entry["src_addr"].is_null()).collect(),
            ended,
        }
    }
}

/// Checks that printed and stored entries agree, except for times, which are printed as text.
fn check_same(printed: &[Json], stored: &[Row]) {
    assert_eq!(printed.len(), stored.len());
    for (printed, stored) in printed.iter().zip(stored) {
        for column in LEDGER_COLUMNS.iter().map(|column| column.name) {
            let is_time = column.ends_with("_time");
            assert!(is_time || printed[column] == stored[column], "{column}: {printed} {stored:?}");
        }
    }
}

/// The sums by entry; checks that they balance.
fn counts(rows: &[Row]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let entry = row["entry"].as_str().expect("a name").to_owned();
        *counts.entry(entry).or_default() += row["count"].as_u64().expect("a count");
    }
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert_eq!(
        count("seen") - count("crafted") - count("forwarded") - count("unknown"),
        count("recorded") - count("unsent") - count("missed"),
        "{counts:?}"
    );
    counts
}

impl Ledger {
    fn count(&self, entry: &str) -> u64 {
        self.counts.get(entry).copied().unwrap_or(0)
    }

    /// Entry of a packet without an event: on a kernel where netfilter's functions cannot be
    /// hooked, netfilter may have built it.
    fn unexplained(&self) -> &'static str {
        match self.ended.has_said("not every function that builds RSTs is seen") {
            true => "unknown",
            false => "crafted",
        }
    }

    /// The only flow of an entry.
    fn flow(&self, entry: &str) -> &Json {
        let found: Vec<&Json> = self.flows.iter().filter(|e| e["entry"] == entry).collect();
        let [flow] = found[..] else {
            panic!("{} flows are {entry}: {:?}", found.len(), self.flows);
        };
        assert_eq!(self.count(entry), flow["count"].as_u64().expect("a count"));
        flow
    }

    /// Checks that these are all counts that are not zero.
    fn assert_counts(&self, counts: &[(&str, u64)]) {
        let found: Vec<(&str, u64)> =
            self.counts.iter().filter(|(_, n)| **n > 0).map(|(e, n)| (e.as_str(), *n)).collect();
        assert_eq!(found, counts, "{:?} {:?}", self.flows, self.ended.said);
    }
}

/// Runs shell commands in a namespace.
fn shell(ns: &Namespace, script: &str) {
    let status = ns.run(|| Ok(Command::new("sh").args(["-e", "-c", script]).status()?));
    assert!(status.expect("sh").success(), "{script}");
}

/// A process that keeps a namespace reachable for `ip link set netns PID`.
struct Holder(Child);

impl Holder {
    fn new(ns: &Namespace) -> Self {
        let sleep = || Ok(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn()?);
        Self(ns.run(sleep).expect("sleep"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace with one device `eth0`, whose other end is `outer` in `host`.
fn child_of(host: &Namespace, outer: &str, address: &str, gateway: &str) -> Namespace {
    let child = Namespace::new().expect("a network namespace");
    let holder = Holder::new(&child);
    shell(
        host,
        &format!(
            "ip link add {outer} type veth peer name eth0 netns {}; ip link set {outer} up",
            holder.pid()
        ),
    );
    shell(
        &child,
        &format!(
            "ip addr add {address} dev eth0; ip link set eth0 up; ip route add default via {gateway}"
        ),
    );
    child
}

fn knock(ns: &Namespace, door: &str) -> ErrorKind {
    let door: SocketAddr = door.parse().expect("an address");
    let refused = ns.run(|| Ok(TcpStream::connect_timeout(&door, Duration::from_millis(800))));
    refused.expect("the namespace").expect_err("the port is closed").kind()
}

#[test]
fn the_kernels_own_resets_are_all_explained() {
    require_root();
    let _alone = alone();
    let (played, ledger) = unhidden(|| {
        let ns = Namespace::new()?;
        let audited = Audited::start(&ns);
        let played = play(&ns, &[])?;
        Ok((played, audited.stop()))
    })
    .expect("every scenario plays");
    let caused = |seen: Seen| {
        let is_one = |outcome: &Outcome| matches!(outcome, Outcome::Caused(_));
        played.iter().filter(|(s, outcome)| s.expect.seen == seen && is_one(outcome)).count() as u64
    };
    let by_netfilter = played.iter().filter(|(scenario, outcome)| {
        scenario.expect.callee.starts_with("nf_") && matches!(outcome, Outcome::Caused(_))
    });
    let (crafted, unknown) = match ledger.unexplained() {
        "crafted" => (caused(Seen::Crafted), 0),
        _ => (0, caused(Seen::Crafted) + by_netfilter.count() as u64),
    };
    assert_eq!(ledger.count("crafted"), crafted, "{:?}", ledger.flows);
    assert_eq!(ledger.count("unknown"), unknown, "{:?}", ledger.flows);
    assert_eq!(ledger.count("forwarded"), caused(Seen::Forwarded), "{:?}", ledger.flows);
    for entry in ["unsent", "missed", "dropped", "overflow"] {
        assert_eq!(ledger.count(entry), 0, "{entry}: {:?}", ledger.flows);
    }
    let said = format!("audit: {} RSTs left this namespace: ", ledger.count("seen"));
    assert!(ledger.ended.has_said(&said), "{:?}", ledger.ended.said);
}

/// A TCP header with RST from port 1111 to port 2222, and its checksum.
fn crafted_segment() -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&1111_u16.to_be_bytes());
    header[2..4].copy_from_slice(&2222_u16.to_be_bytes());
    header[4..8].copy_from_slice(&7_u32.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = 0x04;
    // Both addresses are 127.0.0.1; then the protocol and the length.
    let pseudo = 2 * (0x7f00 + 0x0001) + 6 + header.len() as u32;
    let words = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum = pseudo + words.sum::<u32>();
    header[16..18].copy_from_slice(&(!((sum >> 16) + (sum & 0xffff)) as u16).to_be_bytes());
    header
}

#[test]
fn a_raw_sockets_reset_is_crafted() {
    require_root();
    let _alone = alone();
    let ns = Namespace::new().expect("a network namespace");
    let audited = Audited::start(&ns);
    assert_eq!(knock(&ns, "127.0.0.1:5555"), ErrorKind::ConnectionRefused);
    ns.run(|| {
        let protocol = SockProtocol::Tcp;
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        // The same packet twice: one flow with two packets.
        for _ in 0..2 {
            sendto(raw.as_raw_fd(), &crafted_segment(), &to, MsgFlags::empty())?;
        }
        Ok(())
    })
    .expect("a raw socket");
    let ledger = audited.stop();
    let unexplained = ledger.unexplained();
    for (entry, count) in [(unexplained, 2), ("recorded", 1), ("seen", 3)] {
        assert_eq!(ledger.count(entry), count, "{entry}: {:?}", ledger.counts);
    }
    let crafted = ledger.flow(unexplained);
    let is_crafted = unexplained == "crafted";
    for (column, value) in [
        ("cause", json!(is_crafted.then_some("crafted"))),
        ("blame", json!(is_crafted.then_some("op"))),
        ("netns_id", json!(ns.inode())),
        ("netns_cookie", json!(ns.cookie())),
        ("family", json!("ipv4")),
        ("src_addr", json!("127.0.0.1")),
        ("src_port", json!(1111)),
        ("dst_addr", json!("127.0.0.1")),
        ("dst_port", json!(2222)),
        ("device", json!("lo")),
        ("in_device", Json::Null),
        ("ttl", json!(64)),
    ] {
        assert_eq!(crafted[column], value, "{column}");
    }
    let said = format!(
        "audit: 3 RSTs left this namespace: 1 recorded, {} crafted",
        2 * u8::from(is_crafted)
    );
    assert!(ledger.ended.has_said(&said), "{:?}", ledger.ended.said);
    let line = "audit: 2 crafted: 127.0.0.1:1111 -> 127.0.0.1:2222, left through lo with TTL 64";
    assert_eq!(ledger.ended.has_said(line), is_crafted, "{:?}", ledger.ended.said);
}

#[test]
fn a_reset_that_passes_through_is_forwarded() {
    require_root();
    let _alone = alone();
    let router = Namespace::new().expect("a network namespace");
    let client = child_of(&router, "left", "10.81.0.2/24", "10.81.0.1");
    let server = child_of(&router, "right", "10.82.0.2/24", "10.82.0.1");
    shell(
        &router,
        "ip addr add 10.81.0.1/24 dev left; ip addr add 10.82.0.1/24 dev right; \
         echo 1 >/proc/sys/net/ipv4/ip_forward",
    );
    let audited = Audited::start(&router);
    assert_eq!(knock(&client, "10.82.0.2:5555"), ErrorKind::ConnectionRefused);
    let ledger = audited.stop();
    drop(server);
    // The server's namespace recorded the reset; this one only forwarded it.
    ledger.assert_counts(&[("forwarded", 1), ("seen", 1)]);
    let forwarded = ledger.flow("forwarded");
    for (column, value) in [
        ("cause", json!("forwarded")),
        ("blame", json!("net")),
        ("src_addr", json!("10.82.0.2")),
        ("src_port", json!(5555)),
        ("dst_addr", json!("10.81.0.2")),
        ("in_device", json!("right")),
        ("device", json!("left")),
        ("ttl", json!(63)),
    ] {
        assert_eq!(forwarded[column], value, "{column}");
    }
}

#[test]
fn translated_addresses_make_nothing_crafted() {
    require_root();
    let _alone = alone();
    let router = Namespace::new().expect("a network namespace");
    let client = child_of(&router, "left", "10.84.0.2/24", "10.84.0.1");
    let server = child_of(&router, "right", "10.85.0.2/24", "10.85.0.1");
    shell(
        &router,
        "ip addr add 10.84.0.1/24 dev left; ip addr add 10.85.0.1/24 dev right; \
         echo 1 >/proc/sys/net/ipv4/ip_forward; nft add table ip t; \
         nft 'add chain ip t post { type nat hook postrouting priority 100; }'; \
         nft add rule ip t post oifname right masquerade; \
         nft 'add chain ip t pre { type nat hook prerouting priority -100; }'; \
         nft add rule ip t pre ip daddr 10.84.0.9 dnat to 10.85.0.2; ip addr add 10.84.0.9/24 dev left",
    );
    let audited = Audited::start(&router);
    // One end is translated in the first attempt, both ends in the second.
    assert_eq!(knock(&client, "10.85.0.2:5555"), ErrorKind::ConnectionRefused);
    assert_eq!(knock(&client, "10.84.0.9:5556"), ErrorKind::ConnectionRefused);
    let ledger = audited.stop();
    drop(server);
    ledger.assert_counts(&[("forwarded", 2), ("seen", 2)]);
    for (at_client, port) in [("10.85.0.2", 5555), ("10.84.0.9", 5556)] {
        let of_port = |flow: &&Json| flow["src_port"] == port;
        let flow = ledger.flows.iter().find(of_port).expect("a flow");
        assert_eq!(flow["src_addr"], at_client);
        assert_eq!((&flow["in_device"], &flow["device"]), (&json!("right"), &json!("left")));
    }
}

#[test]
fn a_reset_that_a_rule_drops_is_unsent() {
    require_root();
    let _alone = alone();
    let ns = Namespace::new().expect("a network namespace");
    shell(
        &ns,
        "nft add table inet t; nft 'add chain inet t out { type filter hook output priority 0; }'; \
         nft add rule inet t out tcp sport 5555 tcp flags rst drop",
    );
    let audited = Audited::start(&ns);
    assert_eq!(knock(&ns, "127.0.0.1:5555"), ErrorKind::TimedOut);
    assert_eq!(knock(&ns, "127.0.0.1:5556"), ErrorKind::ConnectionRefused);
    let ledger = audited.stop();
    ledger.assert_counts(&[("recorded", 2), ("seen", 1), ("unsent", 1)]);
    let unsent = ledger.flow("unsent");
    assert_eq!((&unsent["src_port"], &unsent["cause"]), (&json!(5555), &Json::Null));
    assert_eq!(unsent["device"], Json::Null);
}

#[test]
fn a_reset_through_a_bridge_and_its_port_is_one() {
    require_root();
    let _alone = alone();
    let host = Namespace::new().expect("a network namespace");
    let client = child_of(&host, "port", "10.83.0.2/24", "10.83.0.1");
    shell(
        &host,
        "ip link add br0 type bridge; ip link set port master br0; \
         ip addr add 10.83.0.1/24 dev br0; ip link set br0 up",
    );
    let audited = Audited::start(&host);
    for _ in 0..3 {
        assert_eq!(knock(&client, "10.83.0.1:5555"), ErrorKind::ConnectionRefused);
    }
    audited.stop().assert_counts(&[("recorded", 3), ("seen", 3)]);
}

/// Peak memory of a process, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn a_flood_breaks_neither_the_balance_nor_the_recorder() {
    require_root();
    let _alone = alone();
    const RESETS: u64 = 200_000;
    for ring_size in ["16MiB", "16KiB"] {
        let ns = Namespace::new().expect("a network namespace");
        let dir = TempDir::new().expect("a folder");
        let options = ["--audit", "--ring-size", ring_size, "--rotate-size", "2MiB"];
        let recording = ns.run(|| Ok(Recording::start(dir.path(), &options))).expect("a recorder");
        let flood = flood(&ns, RESETS, 2).expect("a flood");
        let peak = peak_memory(recording.pid());
        let ended = recording.stop(Signal::SIGTERM);
        ended.totals();
        let counts = counts(&rows_in(&segments(dir.path(), Table::Ledger), None));
        eprintln!("ring {ring_size}: {:.0}/s, {peak} KiB, {counts:?}", flood.per_second());
        let count = |entry: &str| counts.get(entry).copied().unwrap_or(0);
        let missed = count("dropped") + count("overflow");
        assert!(count("seen") <= RESETS && count("seen") + missed >= RESETS, "{counts:?}");
        assert!(count("recorded") + count("lost") + missed >= RESETS, "{counts:?}");
        // No packet was crafted: differences that a loss may explain must not be called so.
        for entry in ["crafted", "forwarded", "unsent"] {
            assert_eq!(count(entry), 0, "{entry}: {counts:?}");
        }
        assert!(peak < 200 << 10, "{peak} KiB");
    }
}

#[test]
fn an_audit_needs_its_right() {
    require_root();
    let dir = TempDir::new().expect("a folder");
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-net_raw", RECORDER, "--audit", "--duration", "5s", "--out"])
        .arg(dir.path())
        .output()
        .expect("setpriv (package util-linux)");
    let line = one_line(&output, 3);
    assert!(line.contains("CAP_NET_RAW") && line.contains("--audit"), "{line}");
}
