//! Directions that are recorded only on request: resets that this host receives, and ICMP refusals.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;
use scenarios::Namespace;
use serde_json::{Value as Json, json};
use tcprst_schema::tables::Table;
use tempfile::TempDir;

mod common;
use common::{LOSSLESS, Recording, Row, rows_in, segments};

const TASK: [&str; 7] = ["pid", "tid", "uid", "gid", "comm", "mntns_id", "cgroup_id"];

/// Two refused connections: one refused by a closed port, one by a firewall rule that answers with
/// ICMP.
struct Refused {
    rows: Vec<Row>,
    /// Directions of the sites in the footer.
    sites: Vec<String>,
    closed: u16,
    filtered: u16,
    netns: u64,
}

fn refused(options: &[&str]) -> Refused {
    common::require_root();
    let dir = TempDir::new().expect("a folder");
    let ns = Namespace::new().expect("a network namespace");
    let recording = Recording::start(dir.path(), &[&LOSSLESS, options].concat());
    let (closed, filtered) = ns
        .run(|| {
            // Both ports stay free: no one else uses this namespace.
            let (closed, filtered) = (free_port()?, free_port()?);
            let rule = format!("-w -A INPUT -p tcp --dport {filtered} -j REJECT");
            let status = Command::new("iptables").args(rule.split(' ')).status()?;
            assert!(status.success(), "iptables (package iptables): {status}");
            for port in [closed, filtered] {
                let refused = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                let error = refused.expect_err("refused");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{port}: {error}");
            }
            Ok((closed, filtered))
        })
        .expect("refused connections");
    let totals = recording.stop(Signal::SIGTERM).totals();
    assert_eq!(totals.seen, totals.written + totals.lost);
    let resets = segments(dir.path(), Table::Resets);
    resets.iter().for_each(common::Segment::check);
    let footer = &resets.first().expect("a segment").footer;
    Refused {
        rows: rows_in(&resets, Some(ns.cookie())),
        sites: footer.sites.iter().map(|site| site.direction.clone()).collect(),
        closed,
        filtered,
        netns: ns.inode(),
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn of<'a>(rows: &'a [Row], direction: &str) -> Vec<&'a Row> {
    rows.iter().filter(|row| row["direction"] == direction).collect()
}

fn check(row: &Row, expected: &[(&str, Json)]) {
    for (column, value) in expected {
        assert_eq!(&row[*column], value, "{column} of {row:?}");
    }
    for column in TASK {
        assert_eq!(row[column], Json::Null, "no task acts: {column} of {row:?}");
    }
}

#[test]
fn by_default_only_what_this_host_sends_is_recorded() {
    let refused = refused(&[]);
    let [sent] = &refused.rows[..] else {
        panic!("one reset: {:?}", refused.rows);
    };
    check(sent, &[("direction", json!("sent")), ("src_port", json!(refused.closed))]);
    assert_eq!(refused.sites, ["sent"; 7]);
}

#[test]
fn both_ends_of_a_reset_have_the_same_addresses() {
    let refused = refused(&["--received"]);
    let (sent, received) = (of(&refused.rows, "sent"), of(&refused.rows, "received"));
    let ([sent], [received]) = (&sent[..], &received[..]) else {
        panic!("one reset, seen twice: {:?}", refused.rows);
    };
    for column in ["family", "src_addr", "src_port", "dst_addr", "dst_port"] {
        assert_eq!(sent[column], received[column], "{column}");
    }
    check(
        received,
        &[
            ("src_port", json!(refused.closed)),
            ("src_addr", json!("127.0.0.1")),
            ("callee", json!("tcp_reset")),
            ("cause", json!("recv_reset")),
            ("blame", json!("peer")),
            ("sk_state", json!("SYN_SENT")),
            ("context", json!("packet")),
            ("answered_flags", Json::Null),
            ("netns_id", json!(refused.netns)),
            ("socket_netns_id", json!(refused.netns)),
            ("socket_uid", json!(0)),
        ],
    );
    assert_eq!(refused.sites.len(), 8);
}

#[test]
fn refusals_by_icmp_bear_the_addresses_of_the_reset_they_stand_for() {
    let refused = refused(&["--icmp"]);
    assert_eq!(of(&refused.rows, "sent").len(), 1);
    assert_eq!(of(&refused.rows, "received").len(), 0);
    let icmp = of(&refused.rows, "icmp");
    // The client holds its socket when the error arrives, and tries again.
    assert!(!icmp.is_empty(), "{:?}", refused.rows);
    for row in icmp {
        check(
            row,
            &[
                ("src_addr", json!("127.0.0.1")),
                ("src_port", json!(refused.filtered)),
                ("dst_addr", json!("127.0.0.1")),
                ("callee", json!("__icmp_send")),
                ("icmp_type", json!(3)),
                ("icmp_code", json!(3)),
                ("context", json!("packet")),
                ("answered_flags", json!("SYN")),
                ("reason", Json::Null),
                ("sk_state", Json::Null),
                ("netns_id", json!(refused.netns)),
            ],
        );
    }
    assert_eq!(refused.sites.len(), 9);
}
