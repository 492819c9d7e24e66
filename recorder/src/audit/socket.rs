//! The packet socket: every RST that a device of this network namespace sends or receives.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, getsockopt, recvfrom, setsockopt,
    socket,
};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

use super::packet::{RST, Rst, SNAP, parse};
use crate::error::{Error, Result};
use crate::owner::netns::NetnsCookie;

/// Size of the kernel's receive buffer. A RST takes about 800 bytes there, so it holds some 20,000,
/// a fifth of a second of a flood.
const WAITING_BYTES: usize = 16 << 20;

/// One sighting of a RST at a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) rst: Rst,
    pub(super) device: u32,
    /// True if the packet left through the device, false if it came in.
    pub(super) outgoing: bool,
}

/// Result of one read.
#[derive(Debug)]
pub(super) enum Received {
    Sighting(Sighting),
    /// A packet that is not a RST: it came before the filter was attached.
    Other,
    /// A packet of a device whose addresses do not fit (InfiniBand): its direction is unknown.
    Unreadable,
    /// No packet waits.
    Nothing,
}

/// The open packet socket.
#[derive(Debug)]
pub(super) struct Tap {
    socket: OwnedFd,
}

impl Tap {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self> {
        // With SOCK_DGRAM packets begin at the network header, whatever link header the device
        // adds.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll)
            .map_err(|errno| match errno {
                Errno::EPERM => Error::AuditNotPermitted,
                errno => Error::System("open a packet socket", errno.into()),
            })?;
        let mut filter = filter();
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        setsockopt(&socket, AttachFilter, &program)
            .map_err(|errno| Error::System("attach a packet filter", errno.into()))?;
        // CAP_NET_ADMIN allows more than net.core.rmem_max; recording needs it anyway.
        setsockopt(&socket, RcvBufForce, &WAITING_BYTES)
            .or_else(|_| setsockopt(&socket, RcvBuf, &WAITING_BYTES))
            .map_err(|errno| Error::System("enlarge a packet socket", errno.into()))?;
        Ok(Self { socket })
    }

    /// The kernel's cookie of the namespace; `None` before 5.14.
    pub(super) fn netns_cookie(&self) -> Option<u64> {
        getsockopt(&self.socket, NetnsCookie).ok()
    }

    /// Packets dropped since the last call for lack of space: reading resets the kernel's counter.
    pub(super) fn take_dropped(&self) -> u64 {
        getsockopt(&self.socket, Statistics).map_or(0, |statistics| statistics.tp_drops.into())
    }

    /// Reads one packet.
    pub(super) fn receive(&self) -> io::Result<Received> {
        let mut buffer = [0; SNAP];
        match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(link))) => {
                let bytes = buffer.get(..length).unwrap_or(&buffer);
                Ok(match parse(bytes).filter(|_| is_ip(link.protocol())) {
                    Some(rst) => Received::Sighting(Sighting {
                        rst,
                        device: link.ifindex() as u32,
                        outgoing: link.pkttype() == libc::PACKET_OUTGOING,
                    }),
                    None => Received::Other,
                })
            }
            Ok((_, None)) => Ok(Received::Unreadable),
            Err(Errno::EAGAIN) => Ok(Received::Nothing),
            // A device went down, or a signal came: the next read continues.
            Err(Errno::EINTR | Errno::ENETDOWN | Errno::ENOBUFS) => Ok(Received::Other),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sleeps until a packet waits, or the time is over.
    pub(super) fn wait(&self, milliseconds: u16) {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // An interrupted or failed poll only makes the next read come early.
        let _ = poll(&mut fds, PollTimeout::from(milliseconds));
    }
}

/// A VLAN tag may still be in the packet; the network header follows it all the same.
fn is_ip(protocol: u16) -> bool {
    let protocol = i32::from(u16::from_be(protocol));
    [libc::ETH_P_IP, libc::ETH_P_IPV6, libc::ETH_P_8021Q, libc::ETH_P_8021AD].contains(&protocol)
}

sockopt_impl!(
    /// The program must point at its instructions until the call returns.
    AttachFilter,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog
);

sockopt_impl!(
    /// Counts of packets delivered and dropped.
    Statistics,
    GetOnly,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats
);

/// Passes RSTs over IPv4 and IPv6 in both directions, but from loopback only outgoing ones:
/// everything that comes in there has left there. Offsets are relative to the network header.
fn filter() -> [libc::sock_filter; 21] {
    const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const LOAD_BYTE_X: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    const X_IS_HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const TCP: u32 = libc::IPPROTO_TCP as u32;
    const PASS: u8 = 19;
    const DROP: u8 = 20;
    let about = |what: libc::c_int| (libc::SKF_AD_OFF + what).cast_unsigned();
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Jumps are relative to the next instruction; here they name their target.
    let branch = |at: u8, code: u32, k: u32, yes: u8, no: u8| libc::sock_filter {
        code: code as u16,
        jt: yes - at - 1,
        jf: no - at - 1,
        k,
    };
    [
        step(LOAD_WORD, about(libc::SKF_AD_HATYPE)),
        branch(1, EQUAL, libc::ARPHRD_LOOPBACK.into(), 2, 4),
        step(LOAD_WORD, about(libc::SKF_AD_PKTTYPE)),
        branch(3, EQUAL, libc::PACKET_OUTGOING.into(), 4, DROP),
        step(LOAD_BYTE, 0),
        step(SHIFT_RIGHT, 4),
        branch(6, EQUAL, 4, 7, 14),
        step(LOAD_BYTE, 9),
        branch(8, EQUAL, TCP, 9, DROP),
        step(LOAD_HALF, 6),
        branch(10, ANY_BIT, 0x1fff, DROP, 11),
        step(X_IS_HEADER_LENGTH, 0),
        step(LOAD_BYTE_X, 13),
        branch(13, ANY_BIT, RST.into(), PASS, DROP),
        branch(14, EQUAL, 6, 15, DROP),
        step(LOAD_BYTE, 6),
        branch(16, EQUAL, TCP, 17, DROP),
        step(LOAD_BYTE, 40 + 13),
        branch(18, ANY_BIT, RST.into(), PASS, DROP),
        step(RETURN, SNAP as u32),
        step(RETURN, 0),
    ]
}
