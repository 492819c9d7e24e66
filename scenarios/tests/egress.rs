//! The packets that leave the scene's namespace, as a packet socket sees it: the only witness that
//! also sees the resets of netfilter and of programs. Needs root.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{LinkAddr, recvfrom, setsockopt};
use scenarios::{Namespace, Outcome, Scenario, Seen, allow_host_changes, play, scenarios};
use socket2::{Domain, Protocol, Socket, Type};

#[test]
fn each_scenario_s_resets_leave_its_namespace_once() -> Result<()> {
    allow_host_changes();
    let ns = Namespace::new()?;
    let witness = ns.run(witness)?;
    for scenario in scenarios() {
        let played = play(&ns, &[scenario.name])?;
        let left = resets_left(&witness, scenario)?;
        let Outcome::Caused(_) = &played[0].1 else {
            continue;
        };
        let expected = match scenario.expect.seen {
            Seen::Sent | Seen::Received | Seen::Crafted | Seen::Forwarded => {
                1 + scenario.expect.followed as u64
            }
            Seen::Icmp | Seen::Nothing => 0,
        };
        ensure!(left == expected, "{}: {left} resets left", scenario.name);
    }
    Ok(())
}

/// A socket that gets each packet of the calling thread's namespace, from its IP header on.
fn witness() -> Result<Socket> {
    // In network order, as the kernel wants it.
    let all = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all)))?;
    socket.set_nonblocking(true)?;
    // Some scenarios send until nothing more fits: what had no room here would not be counted.
    setsockopt(&socket, RcvBufForce, &(64 << 20))?;
    Ok(socket)
}

/// How many resets from the scenario's port have left since the last call.
fn resets_left(witness: &Socket, scenario: &Scenario) -> Result<u64> {
    let mut resets = 0;
    let mut packet = [0; 256];
    loop {
        match recvfrom::<LinkAddr>(witness.as_raw_fd(), &mut packet) {
            Err(Errno::EAGAIN) => return Ok(resets),
            received => {
                let (length, from) = received.context("read packets")?;
                let from = from.context("a packet of no interface")?;
                let leaves = from.pkttype() == libc::PACKET_OUTGOING;
                if leaves && is_reset(&packet[..length], scenario.port) {
                    resets += 1;
                }
            }
        }
    }
}

/// Whether it is a TCP segment with RST from `port`. IPv6 packets of these tests have no extension
/// headers.
fn is_reset(packet: &[u8], port: u16) -> bool {
    const TCP: u8 = 6;
    const RST: u8 = 0x04;
    let segment = match packet {
        [first, ..] if first >> 4 == 4 && packet.get(9) == Some(&TCP) => {
            packet.get(usize::from(first & 0x0f) * 4..)
        }
        [first, ..] if first >> 4 == 6 && packet.get(6) == Some(&TCP) => packet.get(40..),
        _ => None,
    };
    segment.is_some_and(|segment| {
        segment.starts_with(&port.to_be_bytes()) && segment.get(13).is_some_and(|f| f & RST != 0)
    })
}
