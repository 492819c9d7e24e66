//! The tracepoint `inet_sock_set_state(sk, oldstate, newstate)`: most resets are sent after the
//! socket has gone to `TCP_CLOSE`, and only this tells what it was before; and who connects and
//! listens. Fires on changes of state, ten times for both ends of a connection, six of which end
//! after one comparison. The socket is never null, so that its members can be loaded.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::kernel::{Address, Typed, layout, number};
use crate::{closing, owner};

const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;
const TCP_LISTEN: i32 = 10;

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> u32 {
    let new_state: i32 = ctx.arg(2);
    if !matches!(new_state, TCP_SYN_SENT | TCP_SYN_RECV | TCP_CLOSE | TCP_LISTEN) {
        return 0;
    }
    let old_state: i32 = ctx.arg(1);
    let sk: Address = ctx.arg(0);
    let id = number(sk);
    if layout!(socket_owner) != 0 {
        owner::follow::<Typed>(sk, id, old_state, new_state);
    }
    // No reset of the socket itself follows from these two.
    let is_silent = old_state == TCP_SYN_SENT || old_state == TCP_LISTEN;
    if new_state == TCP_CLOSE && !is_silent {
        closing::leave(id, old_state as u8);
    }
    0
}
