//! The tracepoint `tcp_send_reset` (net/ipv4/tcp_ipv4.c, tcp_output.c, net/ipv6/tcp_ipv6.c):
//! since 6.10 it covers all RSTs that TCP itself builds, and only those really built.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tcprst_schema::wire::NO_REASON;

use crate::emit::emit;
use crate::kernel::layout;
use crate::reset::Reset;

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: RawTracePointContext) -> u32 {
    // An access to an argument that is not there refuses the attachment, so the branch must be
    // gone before 6.10.
    let reason = if layout!(tracepoint_reason) != 0 { ctx.arg(2) } else { NO_REASON };
    let mut reset = Reset::at(0, ctx.as_ptr());
    reset.sk = ctx.arg(0);
    reset.skb = ctx.arg(1);
    reset.reason = reason;
    reset.read_segment();
    emit(&reset);
    0
}
