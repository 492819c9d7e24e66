//! The functions `tcp_v4_send_reset` and `tcp_v6_send_reset`: the answer to a segment.
//! `(sk, skb)`, from 6.12 `(sk, skb, reason)`; `sk` may be null.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use core::ffi::c_void;
use tcprst_schema::hook::Site;
use tcprst_schema::wire::NO_REASON;

use super::{fentry_arg, kprobe_arg};
use crate::emit::emit;
use crate::kernel::{Address, layout, read};
use crate::packet;
use crate::reset::Reset;

/// The functions return at once on an incoming RST (RFC 9293, 3.10.7.1), and without a socket on
/// a segment that is not for this host: nothing is sent.
#[inline(always)]
fn answer(ctx: *mut c_void, site: Site, sk: Address, skb: Address, reason: i32) -> u32 {
    let mut reset = Reset::at(site as u8, ctx);
    reset.sk = sk;
    reset.skb = skb;
    reset.reason = reason;
    reset.read_segment();
    if !reset.answers_reset() && (sk != 0 || is_for_us(site, packet::route(skb))) {
        emit(&reset);
    }
    0
}

/// Whether the route leads to this host. Where it cannot be read, the kernel sent it here.
#[inline(always)]
fn is_for_us(site: Site, route: Address) -> bool {
    /// Numbers of linux/rtnetlink.h and linux/ipv6_route.h.
    const RTN_LOCAL: u16 = 2;
    const RTF_LOCAL: u32 = 0x8000_0000;
    if matches!(site, Site::PassiveV4) {
        read(route, layout!(offsets.rt_type)).is_none_or(|kind: u16| kind == RTN_LOCAL)
    } else {
        read(route, layout!(offsets.rt6_flags)).is_none_or(|flags: u32| flags & RTF_LOCAL != 0)
    }
}

#[inline(always)]
fn fentry_answer(ctx: &FEntryContext, site: Site) -> u32 {
    let reason = match layout!(passive_reason_arg) {
        0 => NO_REASON,
        position => fentry_arg(ctx, position) as i32,
    };
    answer(ctx.as_ptr(), site, fentry_arg(ctx, 0), fentry_arg(ctx, 1), reason)
}

#[inline(always)]
fn kprobe_answer(ctx: &ProbeContext, site: Site) -> u32 {
    let reason = match layout!(passive_reason_arg) {
        0 => NO_REASON,
        position => kprobe_arg(ctx, position) as i32,
    };
    answer(ctx.as_ptr(), site, kprobe_arg(ctx, 0), kprobe_arg(ctx, 1), reason)
}

#[fentry]
pub fn fentry_v4(ctx: FEntryContext) -> u32 {
    fentry_answer(&ctx, Site::PassiveV4)
}

#[fentry]
pub fn fentry_v6(ctx: FEntryContext) -> u32 {
    fentry_answer(&ctx, Site::PassiveV6)
}

#[kprobe]
pub fn kprobe_v4(ctx: ProbeContext) -> u32 {
    kprobe_answer(&ctx, Site::PassiveV4)
}

#[kprobe]
pub fn kprobe_v6(ctx: ProbeContext) -> u32 {
    kprobe_answer(&ctx, Site::PassiveV6)
}
