//! Resets whose reason and socket prove the functions that sent them, so that their stack need
//! not be walked in a storm: the walk is most of what a reset costs.
//!
//! The recorder tells the kernel half the numbers of these reasons on the running kernel. The
//! first reset of each reason, second and CPU is walked all the same; where its caller is not the
//! one that stands here, the reason implies nothing from then on ([`Implied::is_caller`]).

/// What else must hold beside the reason. The number crosses into the kernel half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// The answer to a segment for which there is no socket.
    NoSocket = 1,
    /// The answer to a segment for a TIME_WAIT socket.
    TimeWait = 2,
    /// The answer to a segment for a listener.
    Listener = 3,
    /// The answer to a segment for a whole socket beyond its handshake.
    Connection = 4,
    /// This host gave the connection up; not a subflow of Multipath TCP, nor by a kernel thread.
    Active = 5,
}

/// A reason, and what it implies.
#[derive(Clone, Copy, Debug)]
pub struct Implied {
    /// Without its prefix, as in the column `reason`.
    pub reason: &'static str,
    pub shape: Shape,
    /// Frames of IPv4 and of IPv6, callee first.
    v4: &'static [&'static str],
    v6: &'static [&'static str],
    /// Further frames where the task is about to end.
    exiting: &'static [&'static str],
}

const fn received(
    reason: &'static str,
    shape: Shape,
    v4: &'static [&'static str],
    v6: &'static [&'static str],
) -> Implied {
    Implied { reason, shape, v4, v6, exiting: &[] }
}

const fn closed(reason: &'static str) -> Implied {
    // net/ipv4/tcp.c: both are in __tcp_close alone, which a process calls by tcp_close, or
    // Multipath TCP by its own functions.
    const FRAMES: &[&str] = &["tcp_send_active_reset", "__tcp_close", "tcp_close"];
    Implied { reason, shape: Shape::Active, v4: FRAMES, v6: FRAMES, exiting: &["do_exit"] }
}

/// All of them; reasons since 6.10 (passive) and 6.12 (active).
pub const IMPLIED: &[Implied] = &[
    received(
        "NO_SOCKET",
        Shape::NoSocket,
        &["tcp_v4_send_reset", "tcp_v4_rcv"],
        &["tcp_v6_send_reset", "tcp_v6_rcv"],
    ),
    received(
        "TCP_TIMEWAIT_SOCKET",
        Shape::TimeWait,
        &["tcp_v4_send_reset", "tcp_v4_rcv"],
        &["tcp_v6_send_reset", "tcp_v6_rcv"],
    ),
    received(
        "TCP_FLAGS",
        Shape::Listener,
        &["tcp_v4_send_reset", "tcp_v4_do_rcv"],
        &["tcp_v6_send_reset", "tcp_v6_do_rcv"],
    ),
    received(
        "INVALID_SYN",
        Shape::Listener,
        &["tcp_v4_send_reset", "tcp_check_req"],
        &["tcp_v6_send_reset", "tcp_check_req"],
    ),
    received(
        "TCP_ABORT_ON_DATA",
        Shape::Connection,
        &["tcp_v4_send_reset", "tcp_v4_do_rcv"],
        &["tcp_v6_send_reset", "tcp_v6_do_rcv"],
    ),
    closed("TCP_ABORT_ON_CLOSE"),
    closed("TCP_ABORT_ON_LINGER"),
    Implied {
        reason: "TCP_KEEPALIVE_TIMEOUT",
        shape: Shape::Active,
        v4: &["tcp_send_active_reset", "tcp_keepalive_timer"],
        v6: &["tcp_send_active_reset", "tcp_keepalive_timer"],
        exiting: &[],
    },
];

impl Implied {
    /// That of a reason; `None` where it proves no caller.
    pub fn of_reason(reason: &str) -> Option<&'static Self> {
        IMPLIED.iter().find(|implied| implied.reason == reason)
    }

    /// The frames, callee first.
    pub fn frames(&self, is_v6: bool, is_exiting: bool) -> impl Iterator<Item = &'static str> {
        let frames = if is_v6 { self.v6 } else { self.v4 };
        let last = if is_exiting { self.exiting } else { &[] };
        frames.iter().chain(last).copied()
    }

    /// Whether a walked stack agrees: its callee and caller are the implied ones of either family.
    pub fn is_caller(&self, callee: &str, caller: &str) -> bool {
        [self.v4, self.v6]
            .iter()
            .any(|frames| frames.first() == Some(&callee) && frames.get(1) == Some(&caller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Socket;
    use crate::classify::{Facts, classify};
    use crate::wire::SK_KNOWN;

    /// The cause of an implied stack in a socket of that kind and state.
    fn cause(
        reason: &str,
        is_exiting: bool,
        socket: Socket,
        sk_state: Option<&str>,
        answered_flags: Option<u8>,
    ) -> Option<&'static str> {
        let implied = Implied::of_reason(reason)?;
        let causes = [false, true].map(|is_v6| {
            let frames: Vec<&str> = implied.frames(is_v6, is_exiting).collect();
            let facts = Facts {
                frames: &frames,
                reason: Some(reason),
                socket,
                sk_state,
                sk_flags: Some(SK_KNOWN),
                answered_flags,
                past: None,
                queue_full: None,
            };
            classify(&facts).map(|cause| cause.name)
        });
        assert_eq!(causes[0], causes[1], "the same cause for both families");
        causes[0]
    }

    #[test]
    fn an_implied_stack_proves_what_the_whole_one_does() {
        const SYN: Option<u8> = Some(0x02);
        const ACK: Option<u8> = Some(0x10);
        let full = |reason, state, flags| cause(reason, false, Socket::Full, Some(state), flags);
        assert_eq!(cause("NO_SOCKET", false, Socket::None, None, SYN), Some("closed_port"));
        assert_eq!(cause("NO_SOCKET", false, Socket::None, None, ACK), Some("stale_flow"));
        let waiting = cause("TCP_TIMEWAIT_SOCKET", false, Socket::TimeWait, Some("TIME_WAIT"), ACK);
        assert_eq!(waiting, Some("timewait"));
        assert_eq!(full("TCP_FLAGS", "LISTEN", ACK), Some("listener_bad_ack"));
        assert_eq!(full("INVALID_SYN", "LISTEN", ACK), Some("accept_overflow"));
        assert_eq!(full("INVALID_SYN", "LISTEN", SYN), Some("embryonic_reset"));
        assert_eq!(full("TCP_ABORT_ON_DATA", "FIN_WAIT2", ACK), Some("app_recv_shutdown"));
        assert_eq!(full("TCP_ABORT_ON_CLOSE", "ESTABLISHED", None), Some("app_close_unread"));
        assert_eq!(
            cause("TCP_ABORT_ON_CLOSE", true, Socket::Full, Some("ESTABLISHED"), None),
            Some("app_killed_unread")
        );
        assert_eq!(full("TCP_KEEPALIVE_TIMEOUT", "ESTABLISHED", None), Some("keepalive_dead"));
    }

    #[test]
    fn another_caller_ends_it() {
        let implied = Implied::of_reason("NO_SOCKET").expect("implied");
        assert!(implied.is_caller("tcp_v6_send_reset", "tcp_v6_rcv"));
        assert!(!implied.is_caller("tcp_v6_send_reset", "tcp_v4_rcv"));
        assert!(!implied.is_caller("tcp_send_active_reset", "tcp_v4_rcv"));
        assert!(Implied::of_reason("TCP_STATE").is_none());
    }
}
