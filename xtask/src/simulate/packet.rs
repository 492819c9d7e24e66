//! Hand-made TCP segments over a raw socket.

use std::io::Read;
use std::net::SocketAddrV4;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Deadline;

/// The IPv4 header without options.
const IP_HEADER: usize = 20;
/// The TCP header without options.
const HEADER: usize = 20;

/// TCP flags as in the header's 14th byte.
pub(crate) mod flags {
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// A segment without options and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) src: SocketAddrV4,
    pub(crate) dst: SocketAddrV4,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
}

impl Segment {
    /// The TCP header with its checksum.
    fn bytes(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0..2].copy_from_slice(&self.src.port().to_be_bytes());
        header[2..4].copy_from_slice(&self.dst.port().to_be_bytes());
        header[4..8].copy_from_slice(&self.seq.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.to_be_bytes());
        header[12] = (HEADER as u8 / 4) << 4;
        header[13] = self.flags;
        header[14..16].copy_from_slice(&self.window.to_be_bytes());
        let sum = checksum(self.src, self.dst, &header);
        header[16..18].copy_from_slice(&sum.to_be_bytes());
        header
    }

    /// The segment with an IPv4 header before it. The kernel fills in that one's length,
    /// identity and checksum (raw(7), IP_HDRINCL).
    fn packet(&self) -> [u8; IP_HEADER + HEADER] {
        const TIME_TO_LIVE: u8 = 64;
        const TCP: u8 = 6;
        let mut packet = [0; IP_HEADER + HEADER];
        packet[0] = 4 << 4 | (IP_HEADER as u8 / 4);
        packet[8] = TIME_TO_LIVE;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&self.src.ip().octets());
        packet[16..20].copy_from_slice(&self.dst.ip().octets());
        packet[IP_HEADER..].copy_from_slice(&self.bytes());
        packet
    }
}

/// The Internet checksum (RFC 1071) of a segment and its IPv4 pseudo header.
fn checksum(src: SocketAddrV4, dst: SocketAddrV4, segment: &[u8]) -> u16 {
    const TCP: u32 = 6;
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum = |bytes: &[u8]| bytes.chunks(2).map(word).sum::<u32>();
    let mut total = sum(&src.ip().octets()) + sum(&dst.ip().octets()) + TCP;
    total += segment.len() as u32 + sum(segment);
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    !(total as u16)
}

/// Sends `segment` as it is, from whatever address it claims to come.
pub(crate) fn send_spoofed(segment: &Segment) -> Result<()> {
    let raw =
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).context("open a raw socket")?;
    raw.set_header_included_v4(true).context("set IP_HDRINCL")?;
    let packet = segment.packet();
    let sent = raw.send_to(&packet, &SockAddr::from(segment.dst)).context("send")?;
    ensure!(sent == packet.len(), "sent only {sent} bytes");
    Ok(())
}

/// Sends `segment`, whose source is an address of this namespace.
pub(crate) fn send(segment: &Segment) -> Result<()> {
    let raw =
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).context("open a raw socket")?;
    let to = SockAddr::from(SocketAddrV4::new(*segment.dst.ip(), 0));
    let sent = raw.send_to(&segment.bytes(), &to).context("send")?;
    ensure!(sent == HEADER, "sent only {sent} bytes");
    Ok(())
}

/// Sends `segment` and waits until a reset comes back the same way.
pub(crate) fn send_and_await_reset(segment: &Segment, deadline: Deadline) -> Result<()> {
    // A raw socket also receives a copy of each TCP packet in the namespace.
    let mut raw =
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).context("open a raw socket")?;
    let to = SockAddr::from(SocketAddrV4::new(*segment.dst.ip(), 0));
    let sent = raw.send_to(&segment.bytes(), &to).context("send")?;
    ensure!(sent == HEADER, "sent only {sent} bytes");
    let mut packet = [0; 256];
    loop {
        raw.set_read_timeout(Some(deadline.left()))?;
        let length = raw.read(&mut packet).context("await the reset")?;
        if is_reset_of(&packet[..length], segment) {
            return Ok(());
        }
    }
}

/// Whether an IPv4 packet is a reset from the segment's destination port to its source port.
fn is_reset_of(packet: &[u8], segment: &Segment) -> bool {
    let ip_header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    match packet.get(ip_header..) {
        Some(tcp) if tcp.len() >= HEADER => {
            tcp[0..2] == segment.dst.port().to_be_bytes()
                && tcp[2..4] == segment.src.port().to_be_bytes()
                && tcp[13] & flags::RST != 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A closed port's reset, as Linux 6.18 sent it: IPv4 header, then TCP header.
    const CAPTURED: [u8; 40] = [
        0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x3c, 0xce, 0x7f, 0x00, 0x00,
        0x01, 0x7f, 0x00, 0x00, 0x01, 0x52, 0x13, 0xa4, 0xc2, 0x00, 0x00, 0x00, 0x00, 0x2f, 0x6a,
        0x34, 0x07, 0x50, 0x14, 0x00, 0x00, 0x57, 0x87, 0x00, 0x00,
    ];

    fn same_segment() -> Segment {
        Segment {
            src: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 21011),
            dst: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 42178),
            seq: 0,
            ack: 0x2f6a_3407,
            flags: flags::RST | flags::ACK,
            window: 0,
        }
    }

    #[test]
    fn our_segment_is_the_kernels_to_the_byte() {
        assert_eq!(same_segment().bytes(), CAPTURED[20..]);
    }

    #[test]
    fn our_packet_is_the_kernels_but_for_what_that_fills_in() {
        let packet = same_segment().packet();
        assert_eq!(packet[0], CAPTURED[0]);
        assert_eq!(packet[8..10], CAPTURED[8..10]);
        assert_eq!(packet[12..], CAPTURED[12..]);
    }

    #[test]
    fn a_reset_is_matched_in_its_direction_only() {
        let sent = same_segment();
        let asked = Segment { src: sent.dst, dst: sent.src, ..sent };
        assert!(is_reset_of(&CAPTURED, &asked));
        assert!(!is_reset_of(&CAPTURED, &sent));
        assert!(!is_reset_of(&CAPTURED[..30], &asked));
        assert!(!is_reset_of(&[], &asked));
    }
}
