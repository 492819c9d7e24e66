//! Refusals that are no RST, but end a connection attempt all the same: ICMP "destination
//! unreachable" in answer to a TCP segment.
//!
//! The tracepoint `icmp_send(skb, type, code)` (6.11) fires when the error is really sent. The
//! functions `__icmp_send` and `icmp6_send`, both `(skb, type, code, ...)`, are called before
//! the rate limit and other checks.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{fentry, kprobe, raw_tracepoint};
use aya_ebpf::programs::{FEntryContext, ProbeContext, RawTracePointContext};
use core::ffi::c_void;
use tcprst_schema::hook::Site;

use super::{fentry_arg, kprobe_arg};
use crate::emit::emit;
use crate::kernel::Address;
use crate::reset::Reset;

/// "Destination unreachable", RFC 792 and RFC 4443.
const UNREACHABLE_V4: u8 = 3;
const UNREACHABLE_V6: u8 = 1;
/// "Fragmentation needed": it reports the path's MTU and refuses nothing.
const TOO_LARGE_V4: u8 = 4;

#[inline(always)]
fn refuse(ctx: *mut c_void, site: Site, skb: Address, kind: u8, code: u8) -> u32 {
    let refuses = if matches!(site, Site::IcmpV4) {
        kind == UNREACHABLE_V4 && code != TOO_LARGE_V4
    } else {
        kind == UNREACHABLE_V6
    };
    if !refuses {
        return 0;
    }
    let mut reset = Reset::at(site as u8, ctx);
    reset.skb = skb;
    reset.icmp = [kind, code];
    reset.read_segment();
    if reset.segment.is_read != 0 && !reset.answers_reset() {
        emit(&reset);
    }
    0
}

#[raw_tracepoint(tracepoint = "icmp_send")]
pub fn icmp_send(ctx: RawTracePointContext) -> u32 {
    let kind: i32 = ctx.arg(1);
    let code: i32 = ctx.arg(2);
    refuse(ctx.as_ptr(), Site::IcmpV4, ctx.arg(0), kind as u8, code as u8)
}

#[inline(always)]
fn fentry_refuse(ctx: &FEntryContext, site: Site) -> u32 {
    let (kind, code) = (fentry_arg(ctx, 1) as u8, fentry_arg(ctx, 2) as u8);
    refuse(ctx.as_ptr(), site, fentry_arg(ctx, 0), kind, code)
}

#[inline(always)]
fn kprobe_refuse(ctx: &ProbeContext, site: Site) -> u32 {
    let (kind, code) = (kprobe_arg(ctx, 1) as u8, kprobe_arg(ctx, 2) as u8);
    refuse(ctx.as_ptr(), site, kprobe_arg(ctx, 0), kind, code)
}

#[fentry]
pub fn fentry_icmp_v4(ctx: FEntryContext) -> u32 {
    fentry_refuse(&ctx, Site::IcmpV4)
}

#[fentry]
pub fn fentry_icmp_v6(ctx: FEntryContext) -> u32 {
    fentry_refuse(&ctx, Site::IcmpV6)
}

#[kprobe]
pub fn kprobe_icmp_v4(ctx: ProbeContext) -> u32 {
    kprobe_refuse(&ctx, Site::IcmpV4)
}

#[kprobe]
pub fn kprobe_icmp_v6(ctx: ProbeContext) -> u32 {
    kprobe_refuse(&ctx, Site::IcmpV6)
}
