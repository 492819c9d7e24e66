//! Who owns a socket, at the reset; and what is remembered for that while sockets change state.

use tcprst_schema::wire::{Act, Actor, FROM_NOTHING, FROM_SOCKET, FROM_TIMEWAIT};

use crate::kernel::{Address, Memory, layout};
use crate::sock::{self, Flow};
use crate::sockets::{self, NOBODY};
use crate::{flows, listeners};

/// What is known of a socket's owner.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// Where it is from: `FROM_SOCKET` and similar values.
    pub(crate) from: u8,
    pub(crate) uid: u32,
    pub(crate) cgroup_id: u64,
    pub(crate) actor: Actor,
}

impl Owner {
    pub(crate) const NONE: Self =
        Self { from: FROM_NOTHING, uid: u32::MAX, cgroup_id: 0, actor: NOBODY };

    /// That of a whole socket.
    #[inline(always)]
    pub(crate) fn of_socket(sk: Address) -> Self {
        let (uid, cgroup_id) = sock::owner(sk);
        let actor = match layout!(socket_owner) {
            0 => NOBODY,
            _ => sockets::owner(sk, uid, cgroup_id),
        };
        Self { from: FROM_SOCKET, uid, cgroup_id, actor }
    }

    /// That of the socket which the TIME_WAIT socket of this flow stands for.
    #[inline(always)]
    pub(crate) fn of_timewait(net: Address, flow: &Flow) -> Self {
        if layout!(socket_owner) == 0 {
            return Self::NONE;
        }
        match flows::left(net, flow) {
            Some((uid, cgroup_id, actor)) => Self { from: FROM_TIMEWAIT, uid, cgroup_id, actor },
            None => Self::NONE,
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
    let is_done = || M::read::<u64>(sk, layout!(offsets.skc_flags)).unwrap_or(0) & SOCK_DONE != 0;
    match to {
        SYN_SENT if is_tcp() => sockets::remember::<M>(sk, id, Act::Connect),
        LISTEN if is_tcp() => listeners::listen::<M>(sk, id),
        SYN_RECV if from == LISTEN => sockets::be_born(id),
        CLOSE if from == LISTEN && is_tcp() => listeners::close(id),
        CLOSE if from == FIN_WAIT2 && !is_done() && is_tcp() => flows::leave(id),
        _ => {}
    }
}
