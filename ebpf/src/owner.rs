//! Who owns a socket, at the reset; and what is remembered for that while sockets change state.

use tcprst_schema::wire::{
    Act, EventHeader, FROM_FLOW, FROM_NOTHING, FROM_SOCKET, FROM_TIMEWAIT, Past,
};

use crate::kernel::{Address, Memory, layout};
use crate::packet::Segment;
use crate::sock;
use crate::sockets::{self, NOBODY};
use crate::{flows, listeners};

/// Writes that nothing is known of an owner.
///
/// # Safety
/// `event` points to a header in a map that may be written.
#[inline(always)]
pub(crate) unsafe fn nobody(event: *mut EventHeader) {
    // SAFETY: the caller's promise.
    unsafe {
        (*event).owner_from = FROM_NOTHING;
        (*event).socket = NOBODY;
        (*event).socket_uid = u32::MAX;
        (*event).socket_cgroup_id = 0;
    }
}

/// Writes the owner of a whole socket.
///
/// # Safety
/// As of [`nobody`].
#[inline(never)]
pub(crate) unsafe fn of_socket(sk: Address, event: *mut EventHeader) {
    let (uid, cgroup_id) = sock::owner(sk);
    // SAFETY: the caller's promise.
    unsafe {
        (*event).owner_from = FROM_SOCKET;
        (*event).socket_uid = uid;
        (*event).socket_cgroup_id = cgroup_id;
        if layout!(socket_owner) != 0 {
            sockets::owner(sk, uid, cgroup_id, &raw mut (*event).socket);
        }
    }
}

/// Writes the owner of the socket which the TIME_WAIT socket of the event's flow stands for.
///
/// # Safety
/// As of [`nobody`].
#[inline(always)]
pub(crate) unsafe fn of_timewait(net: Address, segment: &Segment, event: *mut EventHeader) {
    if layout!(socket_owner) == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        flows::recall(net, segment, event);
        // The connection is not over yet.
        (*event).past = 0;
        if (*event).owner_from == FROM_FLOW {
            (*event).owner_from = FROM_TIMEWAIT;
        }
    }
}

/// Follows a socket from state to state. A connection at rest or on its way through the states of
/// an orderly close costs two comparisons. `id` is the socket's address as a number.
#[inline(always)]
pub(crate) fn follow<M: Memory>(sk: Address, id: Address, from: i32, to: i32) {
    /// include/net/tcp_states.h.
    const SYN_SENT: i32 = 2;
    const SYN_RECV: i32 = 3;
    const FIN_WAIT2: i32 = 5;
    const CLOSE: i32 = 7;
    const LISTEN: i32 = 10;
    const TCP: u16 = 6;
    /// include/net/sock.h: the peer's FIN came, and what follows is TIME_WAIT, which sends no RST.
    const SOCK_DONE: u64 = 1 << 1;
    // The sockets of SCTP and Multipath TCP change their states too, and die unseen.
    let is_tcp = || M::read::<u16>(sk, layout!(offsets.sk_protocol)) == Some(TCP);
    let is_done = || M::get::<u64>(sk, layout!(offsets.skc_flags)) & SOCK_DONE != 0;
    match to {
        SYN_SENT if is_tcp() => sockets::remember::<M>(sk, id, Act::Connect),
        LISTEN if is_tcp() => listeners::listen::<M>(sk, id),
        SYN_RECV if from == LISTEN => sockets::be_born(id),
        CLOSE if from == LISTEN && is_tcp() => listeners::close(id),
        CLOSE if from == FIN_WAIT2 && !is_done() && is_tcp() => {
            flows::leave(id, Past::FinWait as u32);
        }
        CLOSE => {
            let past = end(from, M::get(sk, layout!(offsets.sk_err)));
            if past != 0 && is_tcp() {
                flows::leave(id, past);
            }
        }
        _ => {}
    }
}

/// How a connection ends that leaves `from` with that error, if its peer may not know; else 0.
#[inline(always)]
fn end(from: i32, error: i32) -> u32 {
    const SYN_SENT: i32 = 2;
    /// include/uapi/asm-generic/errno.h.
    const EPIPE: i32 = 32;
    const ECONNABORTED: i32 = 103;
    const ECONNRESET: i32 = 104;
    const ECONNREFUSED: i32 = 111;
    match error {
        // Refused by the peer; ended by an operator, with a reset that is seen.
        ECONNREFUSED | ECONNABORTED => 0,
        _ if from == SYN_SENT => Past::Abandoned as u32,
        0 => 0,
        ECONNRESET | EPIPE => Past::PeerReset as u32,
        // ETIMEDOUT, or what ICMP said meanwhile (tcp_write_err).
        _ => Past::GaveUp as u32,
    }
}
