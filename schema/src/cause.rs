//! Why a reset was sent: the taxonomy as data, and the one function that reads it.
//!
//! A [`Cause`] is proven by one of its [`Proof`]s. A proof names what must be seen: the callee,
//! key frames of the stack, the kernel's reason, the socket's state before, the flags of the
//! segment that was answered. What a kernel does not say (reasons before 6.10) proves nothing,
//! so a proof that asks for it fails; where nothing is proven, the cause is [`UNKNOWN`].
//!
//! To add a cause: one row in [`CAUSES`] and a scenario in `xtask simulate`.

/// Cause of a reset that no proof explains.
pub const UNKNOWN: &str = "unknown";

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The application on this host.
    App,
    /// The other side of the connection.
    Peer,
    /// A firewall rule of this host.
    Firewall,
    /// A limit of this host: memory, orphans, queues.
    Resource,
    /// An operator or a BPF program.
    Operator,
    /// The path between.
    Network,
}

impl Blame {
    /// The name in the column `blame`.
    pub const fn name(self) -> &'static str {
        match self {
            Blame::App => "app",
            Blame::Peer => "peer",
            Blame::Firewall => "fw",
            Blame::Resource => "res",
            Blame::Operator => "op",
            Blame::Network => "net",
        }
    }
}

/// What is known of a reset. Frames and names are those of the kernel, without suffixes
/// (`.isra.0` and its like) and without the tracer's own frames.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a, F> {
    /// Frames, callee first.
    pub frames: &'a [F],
    /// Reset reason without its prefix; `None` where the kernel has none.
    pub reason: Option<&'a str>,
    /// State of the socket before the reset, without its prefix; `None` without a socket.
    pub sk_state: Option<&'a str>,
    /// TCP flags of the answered segment; `None` where there was none.
    pub answered_flags: Option<u8>,
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Which segments a proof accepts as the answered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Anything,
    /// A first SYN.
    Syn,
    /// Anything but a first SYN.
    NotSyn,
}

/// Names of which one must be there; `*` at the end stands for anything.
pub type AnyOf = &'static [&'static str];

/// One way to prove a cause: all of it must hold.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The callee, and after it the key frames in this order. Gaps are allowed, because
    /// compilers inline; only the first entry is tied to its place.
    pub frames: &'static [AnyOf],
    /// Reset reasons; empty: any, or none.
    pub reason: AnyOf,
    /// States before the reset; empty: any, or no socket.
    pub sk_state: AnyOf,
    pub answered: Answered,
}

/// One cause.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// The stable name, as in the column `cause`.
    pub name: &'static str,
    pub blame: Blame,
    /// What happened, one sentence.
    pub meaning: &'static str,
    /// What to check next.
    pub check: &'static str,
    pub proofs: &'static [Proof],
}

const ACTIVE: AnyOf = &["tcp_send_active_reset"];
const PASSIVE: AnyOf = &["tcp_v4_send_reset", "tcp_v6_send_reset"];
const RECEIVE: AnyOf = &["tcp_v4_rcv", "tcp_v6_rcv"];
const SOCKET_RECEIVE: AnyOf = &["tcp_v4_do_rcv", "tcp_v6_do_rcv"];
const REJECT_L3: AnyOf = &["nf_send_reset", "nf_send_reset6"];
const REJECT_L2: AnyOf = &["nf_reject_skb_v4_tcp_reset", "nf_reject_skb_v6_tcp_reset"];

const ANY: Proof = Proof { frames: &[], reason: &[], sk_state: &[], answered: Answered::Anything };

/// The taxonomy. The order matters: the first cause with a proof that holds is the answer,
/// so the narrower stands first.
pub const CAUSES: &[Cause] = &[
    Cause {
        name: "app_killed_unread",
        blame: Blame::App,
        meaning: "The process ended with data in the socket that it had not read.",
        check: "Why it ended: out of memory, SIGKILL, a crash.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["__tcp_close"], &["do_exit"]],
            reason: &["TCP_ABORT_ON_CLOSE"],
            ..ANY
        }],
    },
    Cause {
        name: "app_close_unread",
        blame: Blame::App,
        meaning: "The application closed the socket with data in it that it had not read.",
        check: "Does it read to the end, and drain request bodies that it refuses?",
        proofs: &[Proof {
            frames: &[ACTIVE, &["__tcp_close"]],
            reason: &["TCP_ABORT_ON_CLOSE"],
            ..ANY
        }],
    },
    Cause {
        name: "app_linger2",
        blame: Blame::App,
        meaning: "The application closed a socket with a negative TCP_LINGER2.",
        check: "The socket options of the application.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["__tcp_close"]],
            reason: &["TCP_ABORT_ON_LINGER"],
            ..ANY
        }],
    },
    Cause {
        name: "app_listener_closed",
        blame: Blame::App,
        meaning: "A listener was closed while connections waited to be accepted.",
        check: "Restarts and rollouts: does the application drain its backlog?",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_disconnect"], &["inet_child_forget", "inet_csk_listen_stop"]],
            ..ANY
        }],
    },
    Cause {
        name: "app_linger0",
        blame: Blame::App,
        meaning: "The application closed a socket with SO_LINGER on and a time of 0.",
        check: "The socket options of the application or its client library.",
        proofs: &[Proof { frames: &[ACTIVE, &["tcp_disconnect"], &["__tcp_close"]], ..ANY }],
    },
    Cause {
        name: "app_disconnect",
        blame: Blame::App,
        meaning: "The application disconnected the socket with connect(AF_UNSPEC).",
        check: "The client library: some reuse sockets this way.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_disconnect"], &["__inet_stream_connect"]],
            ..ANY
        }],
    },
    Cause {
        name: "op_bpf_destroy",
        blame: Blame::Operator,
        meaning: "A BPF program destroyed the socket.",
        check: "The program's name in the stack; socket load balancers do this.",
        proofs: &[Proof { frames: &[ACTIVE, &["tcp_abort"], &["bpf_prog_*"]], ..ANY }],
    },
    Cause {
        name: "op_sock_diag",
        blame: Blame::Operator,
        meaning: "Somebody destroyed the socket through sock_diag, as `ss -K` does.",
        check: "Who ran it: the task columns name the process.",
        proofs: &[Proof { frames: &[ACTIVE, &["tcp_abort"], &["tcp_diag_destroy"]], ..ANY }],
    },
    Cause {
        name: "keepalive_dead",
        blame: Blame::Peer,
        meaning: "The peer stopped answering keepalive probes.",
        check: "The peer and the path: a NAT or load balancer that forgets idle flows.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_keepalive_timer"]],
            reason: &["TCP_KEEPALIVE_TIMEOUT"],
            ..ANY
        }],
    },
    Cause {
        name: "orphan_fin2",
        blame: Blame::Peer,
        meaning: "The peer never closed its side, and the wait in FIN_WAIT2 ran out.",
        check: "net.ipv4.tcp_fin_timeout, and why the peer keeps the connection.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_keepalive_timer"]],
            reason: &["TCP_STATE"],
            sk_state: &["FIN_WAIT2"],
            ..ANY
        }],
    },
    Cause {
        name: "res_orphan_mem",
        blame: Blame::Resource,
        meaning: "The host ran out of TCP memory or orphan sockets.",
        check: "net.ipv4.tcp_max_orphans, net.ipv4.tcp_mem, TCPAbortOnMemory in nstat.",
        proofs: &[
            Proof { frames: &[ACTIVE, &["__tcp_close"]], reason: &["TCP_ABORT_ON_MEMORY"], ..ANY },
            Proof { frames: &[ACTIVE, &["tcp_out_of_resources"]], ..ANY },
        ],
    },
    Cause {
        name: "timewait",
        blame: Blame::App,
        meaning: "A segment came for a connection that had already been closed.",
        check: "Keep-alive races: who closes idle connections first?",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["TCP_TIMEWAIT_SOCKET"],
            sk_state: &["TIME_WAIT"],
            ..ANY
        }],
    },
    Cause {
        name: "closed_port",
        blame: Blame::App,
        meaning: "A connection was asked for on a port that nothing listens on.",
        check: "Is the service ready, and the port right?",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["NO_SOCKET"],
            answered: Answered::Syn,
            ..ANY
        }],
    },
    Cause {
        name: "stale_flow",
        blame: Blame::Peer,
        meaning: "A segment came for a connection that this host does not know.",
        check: "Idle time-outs, load balancers and conntrack between the two.",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["NO_SOCKET"],
            answered: Answered::NotSyn,
            ..ANY
        }],
    },
    Cause {
        name: "listener_bad_ack",
        blame: Blame::Peer,
        meaning: "A segment that opens no connection came for a listener.",
        check: "A load balancer that moved a flow, or SYN cookies that did not match.",
        proofs: &[Proof {
            frames: &[PASSIVE, SOCKET_RECEIVE],
            reason: &["TCP_FLAGS"],
            sk_state: &["LISTEN"],
            answered: Answered::NotSyn,
        }],
    },
    Cause {
        name: "app_recv_shutdown",
        blame: Blame::App,
        meaning: "The peer sent data after the application had closed the connection.",
        check: "The order of closing: does this side read until the peer is done?",
        proofs: &[Proof {
            frames: &[PASSIVE, SOCKET_RECEIVE],
            reason: &["TCP_ABORT_ON_DATA"],
            ..ANY
        }],
    },
    Cause {
        name: "fw_nft_l2",
        blame: Blame::Firewall,
        meaning: "An nftables rule of the bridge or netdev family rejected the segment.",
        check: "nft list ruleset; nft monitor trace.",
        proofs: &[Proof {
            frames: &[REJECT_L2, &["nft_reject_bridge*", "nft_reject_netdev*"]],
            ..ANY
        }],
    },
    Cause {
        name: "fw_iptables",
        blame: Blame::Firewall,
        meaning: "An iptables rule rejected the segment.",
        check: "iptables-save: rules with --reject-with tcp-reset.",
        proofs: &[Proof { frames: &[&["nf_send_reset"], &["reject_tg"]], ..ANY }],
    },
    Cause {
        name: "fw_ip6tables",
        blame: Blame::Firewall,
        meaning: "An ip6tables rule rejected the segment.",
        check: "ip6tables-save: rules with --reject-with tcp-reset.",
        proofs: &[Proof { frames: &[&["nf_send_reset6"], &["reject_tg6"]], ..ANY }],
    },
    Cause {
        name: "fw_nft",
        blame: Blame::Firewall,
        meaning: "An nftables rule rejected the segment.",
        check: "nft list ruleset; nft monitor trace.",
        proofs: &[Proof { frames: &[REJECT_L3, &["nft_reject_*"]], ..ANY }],
    },
];

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

fn any_matches(patterns: AnyOf, name: &str) -> bool {
    patterns.iter().any(|pattern| name_matches(pattern, name))
}

/// An empty list accepts everything, also nothing; any other asks for a value.
fn optional_matches(patterns: AnyOf, value: Option<&str>) -> bool {
    patterns.is_empty() || value.is_some_and(|value| any_matches(patterns, value))
}

impl Proof {
    fn holds<F: AsRef<str>>(&self, facts: &Facts<'_, F>) -> bool {
        self.frames_match(facts.frames)
            && optional_matches(self.reason, facts.reason)
            && optional_matches(self.sk_state, facts.sk_state)
            && self.answered.accepts(facts.answered_flags)
    }

    fn frames_match<F: AsRef<str>>(&self, frames: &[F]) -> bool {
        let mut frames = frames.iter();
        self.frames.iter().enumerate().all(|(place, wanted)| {
            if place == 0 {
                frames.next().is_some_and(|frame| any_matches(wanted, frame.as_ref()))
            } else {
                frames.any(|frame| any_matches(wanted, frame.as_ref()))
            }
        })
    }
}

impl Answered {
    fn accepts(self, flags: Option<u8>) -> bool {
        let first_syn = |flags: u8| flags & (SYN | ACK | RST) == SYN;
        match self {
            Answered::Anything => true,
            Answered::Syn => flags.is_some_and(first_syn),
            Answered::NotSyn => flags.is_some_and(|flags| !first_syn(flags)),
        }
    }
}

/// The cause that the facts prove; `None` where they prove none.
pub fn classify<F: AsRef<str>>(facts: &Facts<'_, F>) -> Option<&'static Cause> {
    CAUSES.iter().find(|cause| cause.proofs.iter().any(|proof| proof.holds(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(
        frames: &[&str],
        reason: Option<&str>,
        sk_state: Option<&str>,
        answered_flags: Option<u8>,
    ) -> Option<&'static str> {
        classify(&Facts { frames, reason, sk_state, answered_flags }).map(|cause| cause.name)
    }

    #[test]
    fn key_frames_tolerate_gaps_but_not_another_order() {
        let close = ["tcp_send_active_reset", "tcp_disconnect", "inlined", "__tcp_close"];
        assert_eq!(cause(&close, Some("TCP_STATE"), None, None), Some("app_linger0"));
        let swapped = ["tcp_send_active_reset", "__tcp_close", "tcp_disconnect"];
        assert_eq!(cause(&swapped, Some("TCP_STATE"), None, None), None);
        assert_eq!(cause(&close[1..], Some("TCP_STATE"), None, None), None);
    }

    #[test]
    fn a_kernel_without_reasons_leaves_the_ambiguous_unknown() {
        let close = ["tcp_send_active_reset", "__tcp_close", "tcp_close"];
        assert_eq!(cause(&close, None, Some("ESTABLISHED"), None), None);
        assert_eq!(
            cause(&close, Some("TCP_ABORT_ON_CLOSE"), Some("ESTABLISHED"), None),
            Some("app_close_unread")
        );
    }

    #[test]
    fn the_answered_segment_tells_closed_ports_from_stale_flows() {
        let frames = ["tcp_v4_send_reset", "tcp_v4_rcv"];
        let no_socket = Some("NO_SOCKET");
        assert_eq!(cause(&frames, no_socket, None, Some(SYN)), Some("closed_port"));
        assert_eq!(cause(&frames, no_socket, None, Some(SYN | ACK)), Some("stale_flow"));
        assert_eq!(cause(&frames, no_socket, None, None), None);
    }

    #[test]
    fn an_exit_is_told_from_a_close() {
        let exit = ["tcp_send_active_reset", "__tcp_close", "tcp_close", "__fput", "do_exit"];
        assert_eq!(cause(&exit, Some("TCP_ABORT_ON_CLOSE"), None, None), Some("app_killed_unread"));
    }

    #[test]
    fn names_are_unique_and_every_cause_has_a_proof_and_a_sentence() {
        for (place, cause) in CAUSES.iter().enumerate() {
            assert!(!cause.proofs.is_empty(), "{}", cause.name);
            assert!(cause.proofs.iter().all(|proof| !proof.frames.is_empty()), "{}", cause.name);
            assert!(cause.meaning.ends_with('.') && cause.check.len() > 10, "{}", cause.name);
            assert!(CAUSES[place + 1..].iter().all(|other| other.name != cause.name));
        }
    }
}
