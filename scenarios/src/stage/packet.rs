//! Hand-made TCP segments over a raw socket.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::deadline::Deadline;

/// The IPv4 header without options.
const IP_HEADER: usize = 20;
/// The TCP header without options.
const HEADER: usize = 20;

/// TCP flags as in the header's 14th byte.
pub(crate) mod flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}

/// A segment; both ends are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSegment<'b> {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// The author pads them to four bytes.
    pub(crate) options: &'b [u8],
    pub(crate) data: &'b [u8],
}

impl TcpSegment<'_> {
    /// A segment without options and data.
    pub(crate) fn new(src: impl Into<SocketAddr>, dst: impl Into<SocketAddr>, flags: u8) -> Self {
        let (src, dst) = (src.into(), dst.into());
        Self { src, dst, seq: 0, ack: 0, flags, window: 1024, options: &[], data: &[] }
    }

    /// The TCP header with its checksum, and what follows.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0..2].copy_from_slice(&self.src.port().to_be_bytes());
        bytes[2..4].copy_from_slice(&self.dst.port().to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ack.to_be_bytes());
        bytes[12] = ((HEADER + self.options.len()) as u8 / 4) << 4;
        bytes[13] = self.flags;
        bytes[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes.extend(self.options);
        bytes.extend(self.data);
        let sum = checksum(self.src.ip(), self.dst.ip(), &bytes);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The segment with an IPv4 header before it. The kernel fills in that one's length,
    /// identity and checksum (raw(7), IP_HDRINCL).
    fn packet(&self, src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
        const TIME_TO_LIVE: u8 = 64;
        const TCP: u8 = 6;
        let mut packet = vec![0; IP_HEADER];
        packet[0] = 4 << 4 | (IP_HEADER as u8 / 4);
        packet[8] = TIME_TO_LIVE;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&src.octets());
        packet[16..20].copy_from_slice(&dst.octets());
        packet.extend(self.bytes());
        packet
    }
}

/// The Internet checksum (RFC 1071) of a segment and its pseudo header, whose words are the
/// same in both families: addresses, protocol, length.
fn checksum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
    const TCP: u32 = 6;
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum = |bytes: &[u8]| bytes.chunks(2).map(word).sum::<u32>();
    let address = |ip| match ip {
        IpAddr::V4(ip) => sum(&ip.octets()),
        IpAddr::V6(ip) => sum(&ip.octets()),
    };
    let mut total = address(src) + address(dst) + TCP + segment.len() as u32 + sum(segment);
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    !(total as u16)
}

/// A segment's header, as a raw socket heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) options: Vec<u8>,
}

/// What an option of a TCP header says, behind its kind and its length (RFC 9293, 3.1).
pub(crate) fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    match *options {
        [NOTHING, ..] => option(&options[1..], wanted),
        [kind, length, ..] if kind != END && length >= 2 => {
            let length = usize::from(length);
            let said = options.get(2..length)?;
            if kind == wanted { Some(said) } else { option(&options[length..], wanted) }
        }
        _ => None,
    }
}

impl Heard {
    fn parse(tcp: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            src_port: short(0)?,
            dst_port: short(2)?,
            seq: long(4)?,
            ack: long(8)?,
            flags: *tcp.get(13)?,
            options: tcp.get(HEADER..usize::from(tcp[12] >> 4) * 4)?.to_vec(),
        })
    }

    /// Whether it has all of these flags and goes from the one port to the other.
    fn goes(&self, src: SocketAddr, dst: SocketAddr, flags: u8) -> bool {
        (self.src_port, self.dst_port) == (src.port(), dst.port()) && self.flags & flags == flags
    }
}

/// A raw socket: it sends hand-made segments, and hears each TCP packet that comes in in the
/// namespace, whatever its destination.
#[derive(Debug)]
pub(crate) struct Wire(Socket);

impl Wire {
    /// For the family of `ip`.
    pub(crate) fn open(ip: IpAddr) -> Result<Self> {
        let domain = Domain::for_address(SocketAddr::new(ip, 0));
        Ok(Self(Socket::new(domain, Type::RAW, Some(Protocol::TCP)).context("open a raw socket")?))
    }

    pub(crate) fn send(&self, segment: &TcpSegment<'_>) -> Result<()> {
        let bytes = segment.bytes();
        let to = SockAddr::from(SocketAddr::new(segment.dst.ip(), 0));
        let sent = self.0.send_to(&bytes, &to).context("send a raw segment")?;
        ensure!(sent == bytes.len(), "sent only {sent} bytes");
        Ok(())
    }

    /// The next segment from `src` to `dst` that has all of `flags`, also one that came before
    /// this was asked.
    pub(crate) fn hear(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        flags: u8,
        deadline: Deadline,
    ) -> Result<Heard> {
        let mut packet = [0; 256];
        loop {
            self.0.set_read_timeout(Some(deadline.left()))?;
            let length = self.0.read(&mut packet).context("await a segment")?;
            let packet = &packet[..length];
            // Only IPv4 sockets hear the IP header.
            let tcp = if src.is_ipv4() { after_ip_header(packet) } else { packet };
            match Heard::parse(tcp) {
                Some(heard) if heard.goes(src, dst, flags) => return Ok(heard),
                _ => {}
            }
        }
    }
}

fn after_ip_header(packet: &[u8]) -> &[u8] {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(length..).unwrap_or(&[])
}

/// Sends `segment`, whose source is an address of this namespace.
pub(crate) fn send(segment: &TcpSegment<'_>) -> Result<()> {
    Wire::open(segment.dst.ip())?.send(segment)
}

/// Sends `segment` as it is, from whatever IPv4 address it claims to come.
pub(crate) fn send_spoofed(segment: &TcpSegment<'_>) -> Result<()> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (segment.src.ip(), segment.dst.ip()) else {
        bail!("only IPv4 packets can be sent with their own header");
    };
    let Wire(raw) = Wire::open(segment.dst.ip())?;
    raw.set_header_included_v4(true).context("set IP_HDRINCL")?;
    let packet = segment.packet(src, dst);
    let sent = raw.send_to(&packet, &SockAddr::from(segment.dst)).context("send")?;
    ensure!(sent == packet.len(), "sent only {sent} bytes");
    Ok(())
}

/// Sends `segment` and waits until a reset comes back the same way.
pub(crate) fn send_and_await_reset(segment: &TcpSegment<'_>, deadline: Deadline) -> Result<()> {
    let mut wire = Wire::open(segment.src.ip())?;
    wire.send(segment)?;
    wire.hear(segment.dst, segment.src, flags::RST, deadline).context("the reset")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV4};

    use super::*;

    /// A closed port's reset, as Linux 6.18 sent it: IPv4 header, then TCP header.
    const CAPTURED: [u8; 40] = [
        0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x3c, 0xce, 0x7f, 0x00, 0x00,
        0x01, 0x7f, 0x00, 0x00, 0x01, 0x52, 0x13, 0xa4, 0xc2, 0x00, 0x00, 0x00, 0x00, 0x2f, 0x6a,
        0x34, 0x07, 0x50, 0x14, 0x00, 0x00, 0x57, 0x87, 0x00, 0x00,
    ];

    fn same_segment() -> TcpSegment<'static> {
        let end = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        TcpSegment {
            ack: 0x2f6a_3407,
            window: 0,
            ..TcpSegment::new(end(21011), end(42178), flags::RST | flags::ACK)
        }
    }

    #[test]
    fn our_segment_is_the_kernels_to_the_byte() {
        assert_eq!(same_segment().bytes(), CAPTURED[20..]);
    }

    #[test]
    fn our_packet_is_the_kernels_but_for_what_that_fills_in() {
        let packet = same_segment().packet(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        assert_eq!(packet[0], CAPTURED[0]);
        assert_eq!(packet[8..10], CAPTURED[8..10]);
        assert_eq!(packet[12..], CAPTURED[12..]);
    }

    #[test]
    fn a_reset_is_matched_in_its_direction_only() {
        let sent = same_segment();
        let heard = Heard::parse(after_ip_header(&CAPTURED)).expect("a whole header");
        assert_eq!((heard.seq, heard.ack, heard.flags), (sent.seq, sent.ack, sent.flags));
        assert!(heard.goes(sent.src, sent.dst, flags::RST));
        assert!(!heard.goes(sent.dst, sent.src, flags::RST));
        assert!(!heard.goes(sent.src, sent.dst, flags::SYN));
        assert_eq!(Heard::parse(after_ip_header(&CAPTURED[..30])), None);
        assert_eq!(Heard::parse(after_ip_header(&[])), None);
    }

    #[test]
    fn a_segment_with_options_and_data_sums_to_zero_in_both_families() {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let end = |port| SocketAddr::new(ip, port);
            let segment = TcpSegment {
                options: &[2, 4, 5, 180],
                data: b"odd",
                ..TcpSegment::new(end(1), end(2), flags::PSH)
            };
            let bytes = segment.bytes();
            assert_eq!(bytes.len(), 27);
            assert_eq!(bytes[12] >> 4, 6);
            // A segment with its right checksum sums to zero.
            assert_eq!(checksum(ip, ip, &bytes), 0);
        }
    }
}
