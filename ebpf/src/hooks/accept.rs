//! The return of `inet_csk_accept` (net/ipv4/inet_connection_sock.c), which gives the socket of
//! the connection that a process takes; `(sk, flags, err, kern)`, from 6.10 `(sk, arg)`.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{fexit, kretprobe};
use aya_ebpf::programs::{FExitContext, RetProbeContext};
use tcprst_schema::wire::Act;

use super::fentry_arg;
use crate::kernel::{Address, Probed, get, layout};
use crate::sockets::remember;

#[inline(always)]
fn accept(sk: Address) -> u32 {
    // None, where accept() failed.
    if sk != 0 {
        remember::<Probed>(sk, sk, Act::Accept);
    }
    0
}

#[fexit]
pub fn fexit_accept(ctx: FExitContext) -> u32 {
    accept(fentry_arg(&ctx, layout!(accept_return)))
}

#[kretprobe]
pub fn kretprobe_accept(ctx: RetProbeContext) -> u32 {
    accept(get(ctx.as_ptr() as Address, layout!(offsets.regs_return)))
}
