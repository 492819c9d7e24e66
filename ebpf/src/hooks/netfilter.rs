//! Netfilter's resets (net/ipv4/netfilter/nf_reject_ipv4.c, net/ipv6/netfilter/nf_reject_ipv6.c):
//! a rule rejects a segment in the name of the one that it was for. So there is no socket here,
//! even where the rejected segment is one that this host sends: the RST is the other side's.
//!
//! `nf_send_reset[6](net, sk, oldskb, hook)` for rules at the IP layer,
//! `nf_reject_skb_v{4,6}_tcp_reset(net, oldskb, dev, hook)` for those of bridges and devices.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::ProbeContext;
use tcprst_schema::hook::Site;

use super::kprobe_arg;
use crate::emit::emit;
use crate::kernel::{Address, get, layout};
use crate::packet;
use crate::reset::Reset;

/// Nobody answers a reset, and a later fragment has no TCP header: the functions return. What is
/// left of the packet in a driver's pages is not at hand here, but at theirs: it counts.
#[inline(always)]
fn reject(ctx: &ProbeContext, site: Site, net: Address, skb: Address) -> u32 {
    let mut reset = Reset::at(site as u8, ctx.as_ptr());
    reset.skb = skb;
    reset.net = net;
    reset.read_segment();
    if !reset.answers_reset() && !packet::is_later_fragment(skb) {
        emit(&reset);
    }
    0
}

#[kprobe]
pub fn kprobe_nf_v4(ctx: ProbeContext) -> u32 {
    reject(&ctx, Site::RejectV4, kprobe_arg(&ctx, 0), kprobe_arg(&ctx, 2))
}

#[kprobe]
pub fn kprobe_nf_v6(ctx: ProbeContext) -> u32 {
    reject(&ctx, Site::RejectV6, kprobe_arg(&ctx, 0), kprobe_arg(&ctx, 2))
}

#[kprobe]
pub fn kprobe_l2_v4(ctx: ProbeContext) -> u32 {
    reject(&ctx, Site::RejectL2V4, kprobe_arg(&ctx, 0), kprobe_arg(&ctx, 1))
}

#[kprobe]
pub fn kprobe_l2_v6(ctx: ProbeContext) -> u32 {
    reject(&ctx, Site::RejectL2V6, kprobe_arg(&ctx, 0), kprobe_arg(&ctx, 1))
}

/// Before 5.11 the bridge's reject builds its RST in a function of its own that compilers inline,
/// and calls `nf_reject_ip[6]_tcphdr_put(nskb, oldskb, oth)` of another module to do so.
/// `nf_send_reset[6]` calls it as well, from the same module, and is seen by itself.
#[inline(always)]
fn bridge(ctx: &ProbeContext, site: Site) -> u32 {
    /// An unmapped page lies between two modules (kernel/module.c, mm/vmalloc.c: a guard page),
    /// so that a caller nearer than this is in the module of the function.
    const GUARD: u64 = 4096;
    let regs = ctx.as_ptr() as Address;
    let ip: u64 = get(regs, layout!(offsets.regs_ip));
    let stack: Address = get(regs, layout!(offsets.regs_sp));
    let caller: u64 = get(stack, 0);
    if caller.abs_diff(ip) < GUARD {
        return 0;
    }
    reject(ctx, site, 0, kprobe_arg(ctx, 1))
}

#[kprobe]
pub fn kprobe_bridge_v4(ctx: ProbeContext) -> u32 {
    bridge(&ctx, Site::RejectL2V4)
}

#[kprobe]
pub fn kprobe_bridge_v6(ctx: ProbeContext) -> u32 {
    bridge(&ctx, Site::RejectL2V6)
}
