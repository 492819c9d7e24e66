//! What the segment that a reset answers says, read from its `struct sk_buff`.

use crate::kernel::{Address, layout, read};
use crate::sock::{AF_INET, AF_INET6, Flow, ipv4};

pub(crate) const TCP_RST: u8 = 0x04;

/// Offset of the flags byte in a TCP header (RFC 9293, 3.1).
const TCP_FLAGS: u32 = 13;
/// `transport_header` before it is set.
const UNSET: u16 = u16::MAX;

/// Address of the TCP header; 0 where it is not known.
#[inline(always)]
fn tcp_header(skb: Address) -> Address {
    let head: Address = read(skb, layout!(offsets.skb_head)).unwrap_or(0);
    match read::<u16>(skb, layout!(offsets.skb_transport_header)) {
        Some(offset) if head != 0 && offset != UNSET => head + u64::from(offset),
        _ => 0,
    }
}

/// Flags of the segment.
#[inline(always)]
pub(crate) fn tcp_flags(skb: Address) -> u8 {
    read(tcp_header(skb), TCP_FLAGS).unwrap_or(0)
}

/// `struct net` of the device that it came through.
#[inline(always)]
pub(crate) fn net(skb: Address) -> Address {
    let device: Address = read(skb, layout!(offsets.skb_dev)).unwrap_or(0);
    read(device, layout!(offsets.dev_net)).unwrap_or(0)
}

/// The RST goes back, so that the segment's destination is its source. `None` without a
/// segment and where its headers cannot be read.
#[inline(always)]
pub(crate) fn flow(skb: Address) -> Option<Flow> {
    let head: Address = read(skb, layout!(offsets.skb_head))?;
    let network: u16 = read(skb, layout!(offsets.skb_network_header))?;
    let tcp = tcp_header(skb);
    if network == UNSET || tcp == 0 {
        return None;
    }
    let ip = head + u64::from(network);
    let mut flow = Flow::NONE;
    // Offsets of the addresses: RFC 791, 3.1 and RFC 8200, 3.
    match read::<u8>(ip, 0)? >> 4 {
        4 => {
            flow.src_addr = ipv4(read(ip, 16)?);
            flow.dst_addr = ipv4(read(ip, 12)?);
            flow.family = AF_INET;
        }
        6 => {
            flow.src_addr = read(ip, 24)?;
            flow.dst_addr = read(ip, 8)?;
            flow.family = AF_INET6;
        }
        _ => return None,
    }
    flow.src_port = u16::from_be(read(tcp, 2)?);
    flow.dst_port = u16::from_be(read(tcp, 0)?);
    Some(flow)
}
