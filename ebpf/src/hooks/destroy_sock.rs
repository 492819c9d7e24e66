//! The tracepoint `tcp_destroy_sock` (net/ipv4/tcp_ipv4.c, tcp_v4_destroy_sock): the end of a
//! socket's life, of IPv6 too.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::owner::die;

#[raw_tracepoint(tracepoint = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: RawTracePointContext) -> u32 {
    die(ctx.arg(0));
    0
}
