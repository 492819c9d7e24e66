//! The function `tcp_send_active_reset` (net/ipv4/tcp_output.c): this host gives a connection
//! up. `(sk, gfp)`, from 6.12 `(sk, gfp, reason)`, in 7.2 `(sk, reason)`.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use core::ffi::c_void;
use tcprst_schema::hook::Site;
use tcprst_schema::wire::NO_REASON;

use super::{fentry_arg, kprobe_arg};
use crate::emit::emit;
use crate::kernel::{Address, layout};
use crate::reset::Reset;

#[inline(always)]
fn active(ctx: *mut c_void, sk: Address, reason: i32) {
    let mut reset = Reset::at(Site::Active as u8, ctx);
    reset.sk = sk;
    reset.reason = reason;
    emit(&reset);
}

#[fentry]
pub fn fentry_active(ctx: FEntryContext) -> u32 {
    let reason = match layout!(active_reason_arg) {
        0 => NO_REASON,
        position => fentry_arg(&ctx, position) as i32,
    };
    active(ctx.as_ptr(), fentry_arg(&ctx, 0), reason);
    0
}

#[kprobe]
pub fn kprobe_active(ctx: ProbeContext) -> u32 {
    let reason = match layout!(active_reason_arg) {
        0 => NO_REASON,
        position => kprobe_arg(&ctx, position) as i32,
    };
    active(ctx.as_ptr(), kprobe_arg(&ctx, 0), reason);
    0
}
