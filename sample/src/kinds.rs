//! The kinds of resets in a sample, by the facts that the kernel shows. The cause is not among
//! them: [`classify`] proves it from the facts, as for a recorded reset.

use std::sync::Arc;

use tcprst_schema::cause::{Cause, Socket};
use tcprst_schema::classify::{Facts, classify};
use tcprst_schema::row::Stack;
use tcprst_schema::wire::{SK_KNOWN, SK_LINGER2, SK_ORPHAN};

use crate::frames::{Below, on_wire};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Whether the container is the server or the client of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// How the container is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    Socket,
    TimeWait,
    Netns,
}

/// One kind of reset.
#[derive(Debug)]
pub(crate) struct ResetKind {
    /// For weights and tests; the cause in the row comes from `classify`.
    pub(crate) name: &'static str,
    /// Callee first, as on IPv4.
    frames: &'static [&'static str],
    below: Below,
    pub(crate) reason: Option<&'static str>,
    pub(crate) has_socket: bool,
    pub(crate) sk_state: Option<&'static str>,
    pub(crate) sk_flags: Option<u8>,
    pub(crate) answered: Option<u8>,
    pub(crate) side: Side,
    pub(crate) lead: Lead,
    /// Whether it was received rather than sent.
    pub(crate) is_received: bool,
    /// Relative weight on an ordinary day.
    pub(crate) weight: f64,
}

/// A server's socket sends the reset on its own.
const ACTIVE: ResetKind = ResetKind {
    name: "",
    frames: &[],
    below: Below::Close,
    reason: None,
    has_socket: true,
    sk_state: Some("ESTABLISHED"),
    sk_flags: Some(SK_KNOWN),
    answered: None,
    side: Side::Server,
    lead: Lead::Socket,
    is_received: false,
    weight: 1.0,
};

/// A server's socket answers a segment.
const PASSIVE: ResetKind = ResetKind {
    frames: &["tcp_v4_send_reset", "tcp_v4_do_rcv", "tcp_v4_rcv"],
    below: Below::Packet,
    answered: Some(ACK),
    ..ACTIVE
};

/// A segment that belongs to no socket.
const STRAY: ResetKind = ResetKind {
    frames: &["tcp_v4_send_reset", "tcp_v4_rcv"],
    below: Below::PacketShort,
    reason: Some("NO_SOCKET"),
    has_socket: false,
    sk_state: None,
    sk_flags: None,
    lead: Lead::Netns,
    ..PASSIVE
};

const REJECT: ResetKind = ResetKind {
    below: Below::Packet,
    reason: None,
    has_socket: false,
    sk_state: None,
    sk_flags: None,
    lead: Lead::Netns,
    answered: Some(SYN),
    ..ACTIVE
};

const ORPHAN: Option<u8> = Some(SK_KNOWN | SK_ORPHAN);

pub(crate) const KINDS: &[ResetKind] = &[
    ResetKind { name: "closed_port", answered: Some(SYN), weight: 26.0, ..STRAY },
    ResetKind { name: "stale_flow", answered: Some(ACK), weight: 9.0, ..STRAY },
    ResetKind { name: "stale_flow", answered: Some(PSH | ACK), weight: 6.0, ..STRAY },
    ResetKind { name: "stale_flow", answered: Some(FIN | ACK), weight: 3.0, ..STRAY },
    ResetKind {
        name: "timewait",
        frames: &["tcp_v4_send_reset", "tcp_v4_rcv"],
        below: Below::Packet,
        reason: Some("TCP_TIMEWAIT_SOCKET"),
        sk_state: Some("TIME_WAIT"),
        sk_flags: None,
        answered: Some(PSH | ACK),
        lead: Lead::TimeWait,
        weight: 6.0,
        ..PASSIVE
    },
    ResetKind {
        name: "app_close_unread",
        frames: &["tcp_send_active_reset", "__tcp_close", "tcp_close"],
        reason: Some("TCP_ABORT_ON_CLOSE"),
        weight: 12.0,
        ..ACTIVE
    },
    ResetKind {
        name: "app_close_unread",
        frames: &["tcp_send_active_reset", "__tcp_close", "tcp_close"],
        reason: Some("TCP_ABORT_ON_CLOSE"),
        sk_state: Some("CLOSE_WAIT"),
        side: Side::Client,
        weight: 5.0,
        ..ACTIVE
    },
    ResetKind {
        name: "app_linger0",
        frames: &["tcp_send_active_reset", "tcp_disconnect", "__tcp_close", "tcp_close"],
        reason: Some("TCP_STATE"),
        side: Side::Client,
        weight: 8.0,
        ..ACTIVE
    },
    ResetKind {
        name: "app_recv_shutdown",
        reason: Some("TCP_ABORT_ON_DATA"),
        sk_state: Some("FIN_WAIT2"),
        sk_flags: ORPHAN,
        answered: Some(PSH | ACK),
        weight: 7.0,
        ..PASSIVE
    },
    ResetKind {
        name: "recv_reset",
        frames: &["tcp_reset", "tcp_validate_incoming", "tcp_rcv_established", "tcp_v4_do_rcv"],
        answered: Some(RST | ACK),
        is_received: true,
        weight: 7.0,
        ..PASSIVE
    },
    ResetKind {
        name: "app_killed_unread",
        frames: &["tcp_send_active_reset", "__tcp_close", "tcp_close"],
        below: Below::Exit,
        reason: Some("TCP_ABORT_ON_CLOSE"),
        weight: 1.5,
        ..ACTIVE
    },
    ResetKind {
        name: "app_disconnect",
        frames: &["tcp_send_active_reset", "tcp_disconnect", "__inet_stream_connect"],
        below: Below::Syscall,
        reason: Some("TCP_DISCONNECT_WITH_DATA"),
        side: Side::Client,
        weight: 0.4,
        ..ACTIVE
    },
    ResetKind {
        name: "app_linger2",
        frames: &["tcp_send_active_reset", "__tcp_close", "tcp_close"],
        reason: Some("TCP_ABORT_ON_LINGER"),
        sk_state: Some("FIN_WAIT2"),
        sk_flags: Some(SK_KNOWN | SK_ORPHAN | SK_LINGER2),
        weight: 0.3,
        ..ACTIVE
    },
    ResetKind {
        name: "app_listener_closed",
        frames: &[
            "tcp_send_active_reset",
            "tcp_disconnect",
            "inet_child_forget",
            "inet_csk_listen_stop",
            "__tcp_close",
            "tcp_close",
        ],
        reason: Some("TCP_STATE"),
        weight: 0.4,
        ..ACTIVE
    },
    ResetKind {
        name: "keepalive_dead",
        frames: &["tcp_send_active_reset", "tcp_keepalive_timer"],
        below: Below::Timer,
        reason: Some("TCP_KEEPALIVE_TIMEOUT"),
        weight: 2.5,
        ..ACTIVE
    },
    ResetKind {
        name: "orphan_fin2",
        frames: &["tcp_send_active_reset", "tcp_keepalive_timer"],
        below: Below::Timer,
        reason: Some("TCP_STATE"),
        sk_state: Some("FIN_WAIT2"),
        sk_flags: ORPHAN,
        weight: 1.2,
        ..ACTIVE
    },
    ResetKind {
        name: "res_orphan_mem",
        frames: &["tcp_send_active_reset", "__tcp_close", "tcp_close"],
        reason: Some("TCP_ABORT_ON_MEMORY"),
        sk_state: Some("FIN_WAIT1"),
        sk_flags: ORPHAN,
        weight: 0.3,
        ..ACTIVE
    },
    ResetKind {
        name: "accept_overflow",
        frames: &["tcp_v4_send_reset", "tcp_check_req", "tcp_v4_rcv"],
        reason: Some("INVALID_SYN"),
        sk_state: Some("NEW_SYN_RECV"),
        sk_flags: None,
        weight: 1.4,
        ..PASSIVE
    },
    ResetKind {
        name: "embryonic_reset",
        frames: &["tcp_v4_send_reset", "tcp_check_req", "tcp_v4_rcv"],
        reason: Some("INVALID_SYN"),
        sk_state: Some("NEW_SYN_RECV"),
        sk_flags: None,
        answered: Some(SYN),
        weight: 0.3,
        ..PASSIVE
    },
    ResetKind {
        name: "listener_bad_ack",
        reason: Some("TCP_FLAGS"),
        sk_state: Some("LISTEN"),
        weight: 1.6,
        ..PASSIVE
    },
    ResetKind {
        name: "synsent_bad_synack",
        reason: Some("TCP_INVALID_ACK_SEQUENCE"),
        sk_state: Some("SYN_SENT"),
        answered: Some(SYN | ACK),
        side: Side::Client,
        weight: 0.3,
        ..PASSIVE
    },
    ResetKind {
        name: "fw_nft",
        frames: &[
            "nf_send_reset",
            "nft_reject_ipv4_eval",
            "nft_do_chain",
            "nft_do_chain_inet",
            "nf_hook_slow",
        ],
        weight: 2.2,
        ..REJECT
    },
    ResetKind {
        name: "fw_iptables",
        frames: &["nf_send_reset", "reject_tg", "ipt_do_table", "nf_hook_slow"],
        weight: 0.8,
        ..REJECT
    },
    ResetKind {
        name: "op_sock_diag",
        frames: &[
            "tcp_send_active_reset",
            "tcp_abort",
            "tcp_diag_destroy",
            "inet_diag_handler_cmd",
            "netlink_rcv_skb",
        ],
        below: Below::Syscall,
        reason: Some("TCP_STATE"),
        weight: 0.02,
        ..ACTIVE
    },
    ResetKind {
        name: "op_bpf_destroy",
        frames: &[
            "tcp_send_active_reset",
            "tcp_abort",
            "bpf_prog_cil_sock_destroy",
            "bpf_iter_run_prog",
            "bpf_seq_read",
        ],
        below: Below::Syscall,
        reason: Some("TCP_STATE"),
        weight: 0.05,
        ..ACTIVE
    },
    // What this version's rules do not know: such rows are in every real recording.
    ResetKind {
        name: "unknown",
        frames: &[
            "tcp_send_active_reset",
            "tcp_disconnect",
            "smc_close_active_abort",
            "smc_release",
        ],
        reason: Some("TCP_STATE"),
        weight: 0.12,
        ..ACTIVE
    },
];

impl ResetKind {
    /// Its stack; `way` chooses how the segment arrived.
    pub(crate) fn stack(&self, is_v6: bool, way: usize) -> Stack {
        let frames: Vec<Arc<str>> = self
            .frames
            .iter()
            .chain(self.below.frames(way))
            .map(|frame| Arc::from(on_wire(frame, is_v6)))
            .collect();
        let folded: Vec<&str> = frames.iter().rev().map(|frame| &**frame).collect();
        Stack {
            callee: frames.first().cloned(),
            caller: frames.get(1).cloned(),
            folded: Some(folded.join(";").into()),
            frames,
            ..Stack::default()
        }
    }

    pub(crate) fn context(&self) -> &'static str {
        self.below.context()
    }

    /// Number of ways in which the segment can arrive.
    pub(crate) fn ways(&self) -> usize {
        if self.context() == "packet" { 3 } else { 1 }
    }

    /// iptables rules are for IPv4 only.
    pub(crate) fn is_on_ipv6(&self) -> bool {
        self.name != "fw_iptables"
    }

    /// The cause that its facts prove.
    pub(crate) fn cause(&self, stack: &Stack) -> Option<&'static Cause> {
        classify(&Facts {
            frames: &stack.frames,
            reason: self.reason,
            socket: Socket::of_row(self.has_socket, self.sk_state, self.sk_flags.is_some()),
            sk_state: self.sk_state,
            sk_flags: self.sk_flags,
            answered_flags: self.answered,
            past: None,
            queue_full: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use tcprst_schema::cause::UNKNOWN;

    use super::*;
    use crate::frames::REASONS;

    #[test]
    fn each_kind_proves_its_cause_on_every_way() {
        for kind in KINDS {
            for is_v6 in [false, true] {
                for way in 0..kind.ways() {
                    if is_v6 && !kind.is_on_ipv6() {
                        continue;
                    }
                    let cause = kind.cause(&kind.stack(is_v6, way)).map_or(UNKNOWN, |c| c.name);
                    assert_eq!(cause, kind.name, "IPv6: {is_v6}, way {way}");
                }
            }
        }
    }

    #[test]
    fn each_reason_is_one_of_the_kernels() {
        for reason in KINDS.iter().filter_map(|kind| kind.reason) {
            assert!(REASONS.contains(&reason), "{reason}");
        }
    }
}
