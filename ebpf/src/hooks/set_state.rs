//! The tracepoint `inet_sock_set_state`: most resets are sent after the socket has gone to
//! `TCP_CLOSE`, and only this tells what it was before. Fires on changes of state, a few times
//! in the life of a connection.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use crate::kernel::layout;
use crate::maps::CLOSED_FROM;
use crate::owner;
use crate::sock::TCP_CLOSE;

const TCP_SYN_SENT: i32 = 2;
const TCP_LISTEN: i32 = 10;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: RawTracePointContext) -> u32 {
    let new_state: i32 = ctx.arg(2);
    let old_state: i32 = ctx.arg(1);
    let sk: u64 = ctx.arg(0);
    if layout!(socket_owner) != 0 {
        owner::follow(sk, old_state, new_state);
    }
    // No reset of the socket itself follows from these two, and a refused connect or a closed
    // listener then costs no map update, which is nine tenths of this program.
    let is_silent = old_state == TCP_SYN_SENT || old_state == TCP_LISTEN;
    if new_state == i32::from(TCP_CLOSE) && !is_silent {
        // Cannot fail for want of room: the oldest entry gives way.
        let _ = CLOSED_FROM.insert(sk, old_state as u8, 0);
    }
    0
}
