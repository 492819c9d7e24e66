//! The tracepoint `tcp_receive_reset` (net/ipv4/tcp_input.c, tcp_reset): a RST came in for a
//! socket, and is accepted. It fires before the socket is closed.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tcprst_schema::hook::Site;

use crate::emit::emit;
use crate::reset::Reset;

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: RawTracePointContext) -> u32 {
    let mut reset = Reset::at(Site::Received as u8, ctx.as_ptr());
    reset.sk = ctx.arg(0);
    emit(&reset);
    0
}
