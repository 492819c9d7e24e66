//! What the segment that a reset answers says, read from its `struct sk_buff`.

use tcprst_schema::hook::Site;

use crate::kernel::{Address, layout, read};
use crate::sock::{AF_INET, AF_INET6, Flow, ipv4};

const TCP: u8 = 6;
const RST: u8 = 0x04;

/// Offset of the flags byte in a TCP header, and its length without options (RFC 9293, 3.1).
const TCP_FLAGS: u32 = 13;
const TCP_LENGTH: u64 = 20;
/// `network_header` before it is set.
const UNSET: u16 = u16::MAX;
/// Extension headers of IPv6 that are stepped over at the most.
const MAX_EXTENSIONS: u32 = 6;

/// Where the headers of a TCP segment lie.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    family: u8,
    ip: Address,
    tcp: Address,
}

/// Finds them from the IP header on: only TCP sets `transport_header` to its own, and netfilter
/// and bridges see the packet before. `None` where it is another protocol, a later fragment, or
/// where the header is not at hand.
///
/// `site` tells whether TCP itself has looked at the segment: then it is one, and in one piece.
#[inline(never)]
pub(crate) fn segment(skb: Address, site: u8) -> Option<Segment> {
    let head: Address = read(skb, layout!(offsets.skb_head))?;
    let network: u16 = read(skb, layout!(offsets.skb_network_header))?;
    if network == UNSET {
        return None;
    }
    let is_checked = site < Site::RejectV4 as u8;
    let ip = head + u64::from(network);
    let first: u8 = read(ip, 0)?;
    let found = match first >> 4 {
        4 => {
            // Protocol, and offset of the fragment: RFC 791, 3.1.
            if !is_checked
                && (read::<u8>(ip, 9)? != TCP || u16::from_be(read(ip, 6)?) & 0x1fff != 0)
            {
                return None;
            }
            Segment { family: AF_INET, ip, tcp: ip + u64::from(first & 15) * 4 }
        }
        6 => Segment { family: AF_INET6, ip, tcp: ip + behind_extensions(ip)? },
        _ => return None,
    };
    // What a driver has left in its pages is not at hand.
    if !is_checked
        && let Some(tail) = read::<u32>(skb, layout!(offsets.skb_tail))
        && found.tcp + TCP_LENGTH > head + u64::from(tail)
    {
        return None;
    }
    Some(found)
}

/// Offset of the TCP header behind an IPv6 header: RFC 8200, 4.
#[inline(always)]
fn behind_extensions(ip: Address) -> Option<u64> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let mut kind: u8 = read(ip, 6)?;
    let mut offset = 40;
    for _ in 0..MAX_EXTENSIONS {
        let at = ip + offset;
        offset += match kind {
            TCP => return Some(offset),
            HOP_BY_HOP | ROUTING | DESTINATION => (u64::from(read::<u8>(at, 1)?) + 1) * 8,
            FRAGMENT if u16::from_be(read(at, 2)?) & 0xfff8 == 0 => 8,
            _ => return None,
        };
        kind = read(at, 0)?;
    }
    None
}

impl Segment {
    /// The flags byte.
    #[inline(always)]
    pub(crate) fn flags(self) -> u8 {
        read(self.tcp, TCP_FLAGS).unwrap_or(0)
    }

    /// Whether it is a reset itself, which nobody answers (RFC 9293, 3.10.7.1).
    #[inline(always)]
    pub(crate) fn is_reset(self) -> bool {
        self.flags() & RST != 0
    }

    /// The RST goes back, so that the segment's destination is its source. `None` where the
    /// headers cannot be read.
    #[inline(always)]
    pub(crate) fn flow(self) -> Option<Flow> {
        let mut flow = Flow::NONE;
        flow.family = self.family;
        // Offsets of the addresses: RFC 791, 3.1 and RFC 8200, 3.
        if self.family == AF_INET {
            flow.src_addr = ipv4(read(self.ip, 16)?);
            flow.dst_addr = ipv4(read(self.ip, 12)?);
        } else {
            flow.src_addr = read(self.ip, 24)?;
            flow.dst_addr = read(self.ip, 8)?;
        }
        flow.src_port = u16::from_be(read(self.tcp, 2)?);
        flow.dst_port = u16::from_be(read(self.tcp, 0)?);
        Some(flow)
    }
}

/// Whether it is a fragment other than the first (RFC 791, 3.1), and so has no TCP header.
#[inline(always)]
pub(crate) fn is_later_fragment(skb: Address) -> bool {
    let head: Address = read(skb, layout!(offsets.skb_head)).unwrap_or(0);
    let network: u16 = read(skb, layout!(offsets.skb_network_header)).unwrap_or(UNSET);
    let ip = head + u64::from(network);
    read::<u8>(ip, 0).is_some_and(|first| first >> 4 == 4)
        && read(ip, 6).is_some_and(|field| u16::from_be(field) & 0x1fff != 0)
}

/// What the packet was routed by; 0 where it was not yet.
#[inline(always)]
pub(crate) fn route(skb: Address) -> Address {
    /// The lowest bit says whether the packet holds a reference (SKB_DST_NOREF).
    const NO_REFERENCE: u64 = 1;
    read::<u64>(skb, layout!(offsets.skb_dst)).unwrap_or(0) & !NO_REFERENCE
}

/// `struct net` that the packet is in: that of the device it came through. One that this host
/// is about to send has none yet, but a route and a socket.
#[inline(always)]
pub(crate) fn net(skb: Address) -> Address {
    let mut device: Address = read(skb, layout!(offsets.skb_dev)).unwrap_or(0);
    if device == 0 {
        device = read(route(skb), layout!(offsets.dst_dev)).unwrap_or(0);
    }
    if device != 0 {
        return read(device, layout!(offsets.dev_net)).unwrap_or(0);
    }
    let sk: Address = read(skb, layout!(offsets.skb_sk)).unwrap_or(0);
    crate::sock::net(sk)
}
