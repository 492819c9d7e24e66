//! Tables and counters in /proc/net of the calling thread's network namespace.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::scene::Scene;

/// A socket's state, by the numbers of `include/net/tcp_states.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u8);

impl State {
    pub(crate) const FIN_WAIT2: State = State(5);
    pub(crate) const CLOSE_WAIT: State = State(8);
}

/// Waits until so many connections wait to be accepted at an IPv4 port.
pub(crate) fn await_accept_queue(scene: &Scene, port: u16, length: u32) -> Result<()> {
    let path = "/proc/thread-self/net/tcp";
    scene.deadline.until("a full accept queue", || {
        let table = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        Ok(find_accept_queue(&table, port) == Some(length))
    })
}

/// For a listener the column `rx_queue` is the accept queue's length.
fn find_accept_queue(table: &str, port: u16) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = port_of(fields.next()?)? == port && port_of(fields.next()?)? == 0;
        let queues = fields.nth(1)?;
        ours.then(|| u32::from_str_radix(queues.split_once(':')?.1, 16).ok())?
    })
}

/// The state of the socket with these ends, none if there is no such socket.
/// A TIME_WAIT socket that still waits for the peer's FIN is FIN_WAIT2 here too.
pub(crate) fn state_of(local: SocketAddr, remote: SocketAddr) -> Result<Option<State>> {
    let path = match local {
        SocketAddr::V4(_) => "/proc/thread-self/net/tcp",
        SocketAddr::V6(_) => "/proc/thread-self/net/tcp6",
    };
    let table = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(find_state(&table, local.port(), remote.port()))
}

/// How long until the timer of an IPv4 socket fires; none without such a socket or timer.
pub(crate) fn timer_left(local: SocketAddr, remote: SocketAddr) -> Result<Option<Duration>> {
    let path = "/proc/thread-self/net/tcp";
    let table = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(find_timer(&table, local.port(), remote.port()))
}

/// The column `tr tm->when`: which timer (0: none), and hundredths of a second.
fn find_timer(table: &str, local: u16, remote: u16) -> Option<Duration> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = port_of(fields.next()?)? == local && port_of(fields.next()?)? == remote;
        let (timer, left) = fields.nth(2)?.split_once(':')?;
        let left = u64::from_str_radix(left, 16).ok()?;
        (ours && timer != "00").then_some(Duration::from_millis(left * 10))
    })
}

/// Ports alone identify a scenario's sockets: all are on loopback.
fn find_state(table: &str, local: u16, remote: u16) -> Option<State> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = port_of(fields.next()?)? == local && port_of(fields.next()?)? == remote;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        ours.then_some(State(state))
    })
}

/// `0100007F:1F90` is port 8080.
fn port_of(end: &str) -> Option<u16> {
    u16::from_str_radix(end.rsplit_once(':')?.1, 16).ok()
}

/// `Tcp: OutRsts` of /proc/net/snmp.
pub(crate) fn out_rsts() -> Result<u64> {
    counter("/proc/thread-self/net/snmp", "Tcp: ", "OutRsts")
}

/// A counter of the line `TcpExt` of /proc/net/netstat.
pub(crate) fn extended(name: &str) -> Result<u64> {
    counter("/proc/thread-self/net/netstat", "TcpExt: ", name)
}

/// A counter of the line `MPTcpExt` of /proc/net/netstat.
pub(crate) fn multipath(name: &str) -> Result<u64> {
    counter("/proc/thread-self/net/netstat", "MPTcpExt: ", name)
}

fn counter(path: &str, line: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    find_counter(&text, line, name).with_context(|| format!("{path} has no {line}{name}"))
}

/// A line of names, then a line of values.
fn find_counter(text: &str, line: &str, name: &str) -> Option<u64> {
    let mut found = text.lines().filter_map(|candidate| candidate.strip_prefix(line));
    let (names, values) = (found.next()?, found.next()?);
    let column = names.split(' ').position(|candidate| candidate == name)?;
    values.split(' ').nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_name() {
        let snmp = "Ip: Forwarding OutRsts\nIp: 1 7\nTcp: MaxConn OutSegs OutRsts InCsumErrors\n\
                    Tcp: -1 70 42 0\nUdp: InDatagrams\nUdp: 9\n";
        assert_eq!(find_counter(snmp, "Tcp: ", "OutRsts"), Some(42));
        assert_eq!(find_counter("Tcp: MaxConn\nTcp: -1\n", "Tcp: ", "OutRsts"), None);
    }

    #[test]
    fn a_socket_is_found_by_its_ports() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                     1: 0100007F:1F90 0100007F:D431 05 00000000:00000000\n";
        assert_eq!(find_state(table, 8080, 0xD431), Some(State::FIN_WAIT2));
        assert_eq!(find_state(table, 0xD431, 8080), None);
        let six = "head\n 0: 00000000000000000000000001000000:1F90 \
                   00000000000000000000000001000000:D431 01 0:0\n";
        assert_eq!(find_state(six, 8080, 0xD431), Some(State(1)));
    }

    #[test]
    fn queue_and_timer_are_found_in_their_columns() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:0000000C 00:00000000\n\
                     1: 0100007F:1F90 0100007F:D431 04 00000001:00000000 01:00000013\n";
        assert_eq!(find_accept_queue(table, 8080), Some(12));
        assert_eq!(find_accept_queue(table, 8081), None);
        assert_eq!(find_timer(table, 8080, 0xD431), Some(Duration::from_millis(190)));
        assert_eq!(find_timer(table, 8080, 0), None);
    }
}
