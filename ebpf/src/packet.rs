//! What the segment that a reset answers says, read from its `struct sk_buff`.

use tcprst_schema::hook::Site;

use crate::kernel::{Address, Probed, get, layout, read};
use crate::sock::{AF_INET, AF_INET6, Flow};

const TCP: u8 = 6;
const SYN: u32 = 0x02;
const RST: u32 = 0x04;
const ACK: u32 = 0x10;

/// Length of a TCP header without options (RFC 9293, 3.1).
const TCP_LENGTH: u64 = 20;
/// `network_header` before it is set.
const UNSET: u16 = u16::MAX;
/// Extension headers of IPv6 that are stepped over at the most.
const MAX_EXTENSIONS: u32 = 6;

/// The headers of a TCP segment.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Segment {
    /// The RST goes back, so that the segment's destination is its source.
    pub(crate) flow: Flow,
    /// The flags byte.
    pub(crate) flags: u32,
    /// 1 where the headers could be read.
    pub(crate) is_read: u32,
    /// Sequence and acknowledgement number.
    pub(crate) seq: u32,
    pub(crate) ack: u32,
}

impl Segment {
    pub(crate) const NONE: Self = Self { flow: Flow::NONE, flags: 0, is_read: 0, seq: 0, ack: 0 };

    /// Whether it is a reset itself, which nobody answers (RFC 9293, 3.10.7.1).
    #[inline(always)]
    pub(crate) fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }

    /// Whether it asks for a connection.
    #[inline(always)]
    pub(crate) fn is_first_syn(&self) -> bool {
        self.flags & (SYN | RST | ACK) == SYN
    }

    #[inline(always)]
    pub(crate) fn has_ack(&self) -> bool {
        self.flags & ACK != 0
    }
}

/// An IPv4 header without options, and the TCP header behind it (RFC 791, 3.1): one read. The
/// target is little-endian, and fields are in network order.
type V4 = [u64; 5];
/// An IPv6 header (RFC 8200, 3).
type V6 = [u64; 5];
/// The first sixteen bytes of a TCP header.
type Tcp = [u64; 2];

/// Reads the headers from the IP header on: only TCP sets `transport_header` to its own, and
/// netfilter and bridges see the packet before. `None` where it is another protocol, a later
/// fragment, or where the header is not at hand.
///
/// `site` tells whether TCP itself has looked at the segment: then it is one, and in one piece.
///
/// Written to its place, because the stacks of nested functions may have 512 bytes together.
#[inline(never)]
pub(crate) fn read_segment(skb: Address, site: u8, to: &mut Segment) {
    let _ = segment(skb, site, to);
}

/// `head` and `network_header`, in one read where they are near each other.
#[inline(always)]
fn network_header(skb: Address) -> (Address, u16) {
    let (head, network) = (layout!(offsets.skb_head), layout!(offsets.skb_network_header));
    let from = head.min(network) & !7;
    let (head_at, network_at) = ((head - from) as usize, (network - from) as usize);
    let words: [u64; 4] = get(skb, from);
    if head_at + 8 > size_of_val(&words) || network_at + 2 > size_of_val(&words) {
        return (get(skb, head), get(skb, network));
    }
    let words = &raw const words;
    // SAFETY: both lie in the words, all of which were written. Members are aligned.
    unsafe {
        (
            words.byte_add(head_at).cast::<Address>().read_volatile(),
            words.byte_add(network_at).cast::<u16>().read_volatile(),
        )
    }
}

#[inline(always)]
fn segment(skb: Address, site: u8, to: &mut Segment) -> Option<()> {
    let (head, network) = network_header(skb);
    if skb == 0 || network == UNSET {
        return None;
    }
    let is_checked = site < Site::RejectV4 as u8;
    let ip = head + u64::from(network);
    // A buffer has room behind its data for `struct skb_shared_info`, so that this many bytes are
    // there even where the headers are shorter.
    // Where they cannot be read, all is zero, which is no version of IP.
    let header: V4 = get(ip, 0);
    let first = header[0] as u8;
    let flow = &mut to.flow;
    let (tcp, at) = match first >> 4 {
        4 => {
            let protocol = (header[1] >> 8) as u8;
            let fragment = u16::from_be((header[0] >> 48) as u16) & 0x1fff;
            if !is_checked && (protocol != TCP || fragment != 0) {
                return None;
            }
            flow.family = AF_INET;
            flow.src_addr = [header[2] & 0xffff_ffff, 0];
            flow.dst_addr = [header[1] >> 32, 0];
            // Without options the TCP header lies at the twentieth byte.
            let length = u64::from(first & 15) * 4;
            let tcp: Tcp = if length == 20 {
                [header[2] >> 32 | header[3] << 32, header[3] >> 32 | header[4] << 32]
            } else {
                get(ip, length as u32)
            };
            (tcp, ip + length)
        }
        6 => {
            let header: V6 = header;
            flow.family = AF_INET6;
            flow.src_addr = [header[3], header[4]];
            flow.dst_addr = [header[1], header[2]];
            let at = ip + behind_extensions(ip, (header[0] >> 48) as u8)?;
            (get(at, 0), at)
        }
        _ => return None,
    };
    // What a driver has left in its pages is not at hand.
    if !is_checked
        && let Some(tail) = read::<u32>(skb, layout!(offsets.skb_tail))
        && at + TCP_LENGTH > head + u64::from(tail)
    {
        return None;
    }
    flow.src_port = u16::from_be((tcp[0] >> 16) as u16);
    flow.dst_port = u16::from_be(tcp[0] as u16);
    to.flags = u32::from((tcp[1] >> 40) as u8);
    to.seq = u32::from_be((tcp[0] >> 32) as u32);
    to.ack = u32::from_be(tcp[1] as u32);
    to.is_read = 1;
    Some(())
}

/// Offset of the TCP header behind an IPv6 header: RFC 8200, 4.
#[inline(always)]
fn behind_extensions(ip: Address, next: u8) -> Option<u64> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let mut kind = next;
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

/// Whether it is a fragment other than the first (RFC 791, 3.1), and so has no TCP header.
#[inline(always)]
pub(crate) fn is_later_fragment(skb: Address) -> bool {
    let head: Address = get(skb, layout!(offsets.skb_head));
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
    get::<u64>(skb, layout!(offsets.skb_dst)) & !NO_REFERENCE
}

/// `struct net` that the packet is in: that of the device it came through. One that this host
/// is about to send has none yet, but a route and a socket.
#[inline(always)]
pub(crate) fn net(skb: Address) -> Address {
    let mut device: Address = get(skb, layout!(offsets.skb_dev));
    if device == 0 {
        device = get(route(skb), layout!(offsets.dst_dev));
    }
    if device != 0 {
        return get(device, layout!(offsets.dev_net));
    }
    let sk: Address = get(skb, layout!(offsets.skb_sk));
    crate::sock::net::<Probed>(sk)
}
