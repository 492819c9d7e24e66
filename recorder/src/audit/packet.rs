//! Parses a RST on the wire from the first bytes of its IP packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TCP: u8 = 6;
/// The RST bit of the TCP flags byte (RFC 9293, 3.1).
pub(super) const RST: u8 = 0x04;
/// Bytes of the TCP header up to the flags: the part that we read.
const TCP_BYTES: usize = 14;
const IPV6_HEADER: usize = 40;
/// Longest IPv4 header plus the TCP header up to its flags.
pub(super) const SNAP: usize = 128;

/// Source and destination, as in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) src: (IpAddr, u16),
    pub(super) dst: (IpAddr, u16),
}

/// Identifies a packet across sightings: all of this stays the same when it passes a bridge and its
/// port, a VLAN and its device, or a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PacketKey {
    pub(super) flow: Flow,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

/// A RST packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rst {
    pub(super) key: PacketKey,
    pub(super) ttl: u8,
}

/// Parses an IP packet; `None` unless it is a complete RST.
pub(super) fn parse(packet: &[u8]) -> Option<Rst> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Rst> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    let fragment_offset = u16::from_be_bytes(bytes(packet, 6)?) & 0x1fff;
    if length < 20 || *packet.get(9)? != TCP || fragment_offset != 0 {
        return None;
    }
    let address = |at| Some(IpAddr::V4(Ipv4Addr::from(bytes::<4>(packet, at)?)));
    tcp(packet.get(length..)?, address(12)?, address(16)?, *packet.get(8)?)
}

fn ipv6(packet: &[u8]) -> Option<Rst> {
    if *packet.get(6)? != TCP {
        return None;
    }
    // As in the recording: an IPv4-mapped address becomes the IPv4 address.
    let address = |at| Some(Ipv6Addr::from(bytes::<16>(packet, at)?).to_canonical());
    tcp(packet.get(IPV6_HEADER..)?, address(8)?, address(24)?, *packet.get(7)?)
}

fn tcp(header: &[u8], src: IpAddr, dst: IpAddr, ttl: u8) -> Option<Rst> {
    let header = header.get(..TCP_BYTES)?;
    let flags = *header.get(13)?;
    let port = |at| Some(u16::from_be_bytes(bytes(header, at)?));
    let number = |at| Some(u32::from_be_bytes(bytes(header, at)?));
    let flow = Flow { src: (src, port(0)?), dst: (dst, port(2)?) };
    let key = PacketKey { flow, seq: number(4)?, ack: number(8)?, flags };
    (flags & RST != 0).then_some(Rst { key, ttl })
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A RST from 10.0.0.1:80 to 10.0.0.2:4000.
    fn tcp_header(flags: u8) -> Vec<u8> {
        let mut header = vec![0, 80, 0x0f, 0xa0, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags];
        header.resize(20, 0);
        header
    }

    fn ipv4_packet(options: usize, flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 20 + options];
        packet[0] = 0x40 | ((20 + options) / 4) as u8;
        packet[8] = 63;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
        packet.extend(tcp_header(flags));
        packet
    }

    fn ipv6_packet(next: u8) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER];
        packet[0] = 0x60;
        packet[6] = next;
        packet[7] = 64;
        packet[23] = 1;
        packet[39] = 2;
        packet.extend(tcp_header(RST));
        packet
    }

    pub(crate) fn rst(src_port: u16, seq: u32) -> Rst {
        let end = |last, port| (IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port);
        let flow = Flow { src: end(1, src_port), dst: end(2, 4000) };
        Rst { key: PacketKey { flow, seq, ack: 9, flags: RST }, ttl: 63 }
    }

    #[test]
    fn ipv4_with_and_without_options() {
        for options in [0, 4, 40] {
            assert_eq!(parse(&ipv4_packet(options, RST)), Some(rst(80, 7)), "{options}");
        }
        let ack = parse(&ipv4_packet(0, RST | 0x10)).map(|rst| rst.key.flags);
        assert_eq!(ack, Some(RST | 0x10));
    }

    #[test]
    fn ipv6_without_extension_headers() {
        let rst = parse(&ipv6_packet(TCP)).expect("a RST");
        assert_eq!(rst.key.flow.src, ("::1".parse().expect("an address"), 80));
        assert_eq!(rst.key.flow.dst, ("::2".parse().expect("an address"), 4000));
        assert_eq!((rst.ttl, rst.key.seq), (64, 7));
        assert_eq!(parse(&ipv6_packet(0)), None, "hop-by-hop options");
    }

    #[test]
    fn what_is_no_whole_rst_is_nothing() {
        for flags in [0x10, 0x02, 0] {
            assert_eq!(parse(&ipv4_packet(0, flags)), None);
        }
        for whole in [ipv4_packet(4, RST), ipv6_packet(TCP)] {
            let header = whole.len() - 20;
            for length in 0..header + TCP_BYTES {
                assert_eq!(parse(&whole[..length]), None, "{length} bytes");
            }
        }
        let mut fragment = ipv4_packet(0, RST);
        fragment[7] = 1;
        assert_eq!(parse(&fragment), None);
        let mut udp = ipv4_packet(0, RST);
        udp[9] = 17;
        assert_eq!(parse(&udp), None);
        let mut short = ipv4_packet(0, RST);
        short[0] = 0x44;
        assert_eq!(parse(&short), None);
    }
}
