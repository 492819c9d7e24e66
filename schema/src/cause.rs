//! Why a reset was sent: the taxonomy as data.
//!
//! A [`Cause`] is proven by one of its [`Proof`]s; [`crate::classify`] reads them. Where nothing
//! is proven, the cause is [`UNKNOWN`]. `docs/causes.md` is generated from this table.
//!
//! To add a cause: one row in [`CAUSES`] and a scenario in `scenarios/src/table/`.

/// Cause of a reset that no proof explains.
pub const UNKNOWN: &str = "unknown";

/// What [`UNKNOWN`] means.
pub const UNKNOWN_MEANING: &str =
    "A reset that no rule explains: its stack and reason prove none of the causes.";

/// What to do about a reset that no rule explains.
pub const UNKNOWN_CHECK: &str = "`tcprst-analyze flame --cause unknown` shows the stacks. A newer kernel or a third-party \
     module may call from a place that no rule covers: send one such stack to the project.";

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

    /// Who that is, without a capital letter or a full stop.
    pub const fn meaning(self) -> &'static str {
        match self {
            Blame::App => "the application on this host",
            Blame::Peer => "the other side of the connection",
            Blame::Firewall => "a firewall rule of this host",
            Blame::Resource => "a limit of this host: memory, orphans or queues",
            Blame::Operator => "an operator or a BPF program",
            Blame::Network => "the path between the two hosts",
        }
    }
}

/// The socket that a reset is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// There is none.
    None,
    /// A whole `struct sock`.
    Full,
    /// What is left of a connection in TIME_WAIT, or in FIN_WAIT2 after the application's close.
    TimeWait,
    /// A connection request (`struct request_sock`).
    Request,
}

impl Socket {
    /// That of a recorded row: whether there was a socket, and its state.
    ///
    /// Only a whole socket has flags: one in FIN_WAIT2 without them is what stands for it.
    pub fn of_row(has_socket: bool, sk_state: Option<&str>, has_flags: bool) -> Self {
        match sk_state {
            _ if !has_socket => Socket::None,
            Some("TIME_WAIT") => Socket::TimeWait,
            Some("FIN_WAIT2") if !has_flags => Socket::TimeWait,
            Some("NEW_SYN_RECV") => Socket::Request,
            _ => Socket::Full,
        }
    }
}

/// Which segments a proof accepts as the answered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Anything,
    /// SYN alone: the start of a connection.
    FirstSyn,
    /// Any segment but that.
    NotFirstSyn,
    /// SYN, whatever else.
    HasSyn,
    /// ACK without SYN.
    AckNoSyn,
    /// ACK, whatever else.
    HasAck,
}

/// What a proof wants to know of a listener's accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptQueue {
    Anything,
    /// It is known to be full.
    Full,
    /// It is not known to have room.
    NoRoomKnown,
}

/// Names of which one must be there; a `*` at the end matches anything.
pub type AnyOf = &'static [&'static str];

/// Where the kernel begins with another piece of work: it takes up a packet, forwards one, or runs a
/// timer. What lies below such a frame is whatever was interrupted, or what sent the packet (loopback,
/// a bridge that hands it up), and proves nothing.
pub const MARKS: AnyOf = &[
    // Network layer: include/linux/netfilter.h runs the hooks of each.
    "ip_rcv",
    "ip_rcv_core*",
    "ip_list_rcv",
    "ip_sublist_rcv*",
    "ip_local_deliver",
    "ip_local_deliver_finish",
    "ip_forward",
    "ip_mr_forward*",
    "ip_output",
    "ip_mc_output",
    "__ip_local_out",
    "ip_local_out",
    "__ip_queue_xmit",
    "ipv6_rcv",
    "ipv6_list_rcv",
    "ip6_sublist_rcv*",
    "ip6_rcv_core*",
    "ip6_input",
    "ip6_input_finish",
    "ip6_protocol_deliver_rcu",
    "ip_protocol_deliver_rcu",
    "ip6_forward",
    "ip6_output",
    "ip6_xmit",
    // Transport.
    "tcp_v4_rcv",
    "tcp_v6_rcv",
    // Devices and interrupts.
    "__netif_receive_skb*",
    "netif_receive_skb*",
    "process_backlog",
    "net_rx_action",
    "napi_poll",
    "__napi_poll",
    "call_timer_fn",
    "__run_timers",
    "run_timer_softirq",
    "handle_softirqs",
    "__do_softirq",
    "__softirqentry_text_start",
    "do_softirq*",
    "__irq_exit_rcu",
];

/// One way to prove a cause: all of it must hold.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The callee, and after it the key frames in this order. Gaps are allowed, because
    /// compilers inline, but none that has one of [`MARKS`]; only the first entry is tied to its
    /// place.
    pub frames: &'static [AnyOf],
    /// The second entry is the caller itself: where a longer way means something else.
    pub direct: bool,
    /// Frames of which none may be there, up to the first of [`MARKS`].
    pub without: AnyOf,
    /// Reasons that a kernel with reasons must give; empty: any.
    pub reason: AnyOf,
    /// States before the reset; empty: any.
    pub sk_state: AnyOf,
    pub socket: Option<Socket>,
    pub answered: Answered,
    pub queue: AcceptQueue,
    /// What this host remembers of the connection ([`crate::wire::Past`]): one of these; the empty
    /// name is nothing.
    pub past: Option<AnyOf>,
    /// Whether no process held the socket any more.
    pub orphan: Option<bool>,
    /// Whether the application has set a negative TCP_LINGER2.
    pub linger2: Option<bool>,
}

/// One cause.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// The stable name, as in the column `cause`.
    pub name: &'static str,
    /// `None` where nobody's act is proven.
    pub blame: Option<Blame>,
    /// What happened, one sentence.
    pub meaning: &'static str,
    /// What to check next.
    pub check: &'static str,
    pub proofs: &'static [Proof],
}

// Functions that build a RST, get one, or refuse by ICMP.
const ACTIVE: AnyOf = &["tcp_send_active_reset"];
const PASSIVE: AnyOf = &["tcp_v4_send_reset", "tcp_v6_send_reset"];
const REJECT_L3: AnyOf = &["nf_send_reset", "nf_send_reset6"];
const REJECT_L2: AnyOf = &[
    "nf_reject_skb_v4_tcp_reset",
    "nf_reject_skb_v6_tcp_reset",
    // Before 5.11 bridges build their own, with these.
    "nf_reject_ip_tcphdr_put",
    "nf_reject_ip6_tcphdr_put",
];
const RECEIVED: AnyOf = &["tcp_reset"];
const ICMP: AnyOf = &["__icmp_send", "icmp6_send"];
// Functions that call them.
const RECEIVE: AnyOf = &["tcp_v4_rcv", "tcp_v6_rcv"];
const SOCKET_RECEIVE: AnyOf = &["tcp_v4_do_rcv", "tcp_v6_do_rcv"];
const ANY_RECEIVE: AnyOf = &["tcp_v4_rcv", "tcp_v6_rcv", "tcp_v4_do_rcv", "tcp_v6_do_rcv"];
const CLOSE: AnyOf = &["__tcp_close"];
/// Multipath TCP closes its subflows in nobody's name, or in that of its own socket.
const MPTCP: AnyOf = &["mptcp_*", "__mptcp_*", "subflow_*"];
/// Nothing is remembered of the connection, or that the peer itself reset it.
const NO_PAST: AnyOf = &["", "peer_reset"];
/// States after the application's close.
const CLOSED_HALF: AnyOf = &["FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "CLOSING", "LAST_ACK"];

const ANY: Proof = Proof {
    frames: &[],
    direct: false,
    without: &[],
    reason: &[],
    sk_state: &[],
    socket: None,
    answered: Answered::Anything,
    queue: AcceptQueue::Anything,
    past: None,
    orphan: None,
    linger2: None,
};

/// A segment for a connection that has no socket, or only a listener has its port.
const STRAY: Proof = Proof {
    frames: &[PASSIVE, ANY_RECEIVE],
    reason: &["NO_SOCKET", "TCP_FLAGS"],
    answered: Answered::NotFirstSyn,
    ..ANY
};

/// No function of this kernel proves it: the audit names it, by the packet alone.
const BY_AUDIT: &[Proof] = &[];

/// The taxonomy. The order matters: the first cause with a proof that holds is the answer,
/// so the narrower stands first.
pub const CAUSES: &[Cause] = &[
    Cause {
        name: "op_sock_diag",
        blame: Some(Blame::Operator),
        meaning: "Somebody destroyed the socket through sock_diag, as `ss -K` does.",
        check: "Who ran it: the task columns name the process.",
        proofs: &[
            Proof { frames: &[ACTIVE, &["tcp_abort"], &["tcp_diag_destroy"]], ..ANY },
            // A listener is destroyed with the connections that wait in it.
        ],
    },
    Cause {
        name: "op_bpf_destroy",
        blame: Some(Blame::Operator),
        meaning: "A BPF program destroyed the socket.",
        check: "The program's name in the stack; socket load balancers do this.",
        proofs: &[Proof { frames: &[ACTIVE, &["tcp_abort"], &["bpf_prog_*"]], ..ANY }],
    },
    Cause {
        name: "app_listener_closed",
        blame: Some(Blame::App),
        meaning: "A listener was closed while connections waited to be accepted, or were being made.",
        check: "Restarts and rollouts: does the application drain its backlog?",
        proofs: &[
            Proof {
                frames: &[
                    ACTIVE,
                    &["tcp_disconnect"],
                    &["inet_child_forget", "inet_csk_listen_stop"],
                ],
                ..ANY
            },
            // Of Multipath TCP: those that wait are closed at once first.
            Proof {
                frames: &[ACTIVE, &["mptcp_do_fastclose"], &["mptcp_check_listen_stop"]],
                ..ANY
            },
            // The last ACK of a handshake finds no listener, or the one that took its place.
            Proof { past: Some(&["listener_closed"]), ..STRAY },
        ],
    },
    Cause {
        name: "mptcp_fastclose",
        blame: Some(Blame::App),
        meaning: "The application ended a Multipath TCP connection at once: unread data, a linger time of 0, or connect(AF_UNSPEC).",
        check: "Does it read to the end; the socket options.",
        proofs: &[
            Proof {
                frames: &[
                    ACTIVE,
                    &["mptcp_do_fastclose"],
                    &["__mptcp_close", "mptcp_close", "mptcp_disconnect"],
                ],
                ..ANY
            },
            // Data that has come to a subflow and is not the connection's yet.
            Proof {
                frames: &[ACTIVE, CLOSE, &["__mptcp_close_ssk"], &["__mptcp_close", "mptcp_close"]],
                ..ANY
            },
        ],
    },
    Cause {
        name: "mptcp_fastclose_received",
        blame: Some(Blame::Peer),
        meaning: "The peer ended a Multipath TCP connection at once (MP_FASTCLOSE), and its subflows were reset.",
        check: "The application at the peer.",
        // Whatever else the worker resets goes through a function of its own.
        proofs: &[Proof {
            frames: &[ACTIVE, &["mptcp_check_fastclose", "mptcp_worker"]],
            direct: true,
            ..ANY
        }],
    },
    Cause {
        name: "mptcp_join_failed",
        blame: Some(Blame::Network),
        meaning: "The handshake of an additional subflow lost its Multipath TCP options, or they were not valid.",
        check: "Middleboxes on the second path that strip or change TCP options; the reason names the fault.",
        proofs: &[
            Proof { frames: &[PASSIVE, &["subflow_syn_recv_sock"]], direct: true, ..ANY },
            Proof {
                frames: &[ACTIVE, &["mptcp_subflow_reset"], &["subflow_finish_connect"]],
                ..ANY
            },
        ],
    },
    Cause {
        name: "app_linger0",
        blame: Some(Blame::App),
        meaning: "The application closed a socket with SO_LINGER on and a time of 0.",
        check: "The socket options of the application or its client library.",
        proofs: &[Proof { frames: &[ACTIVE, &["tcp_disconnect"], CLOSE], without: MPTCP, ..ANY }],
    },
    Cause {
        name: "app_disconnect",
        blame: Some(Blame::App),
        meaning: "The application disconnected the socket with connect(AF_UNSPEC).",
        check: "The client library: some reuse sockets this way.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_disconnect"], &["__inet_stream_connect"]],
            without: MPTCP,
            ..ANY
        }],
    },
    Cause {
        name: "app_killed_unread",
        blame: Some(Blame::App),
        meaning: "The process ended with data in the socket that it had not read.",
        check: "Why it ended: out of memory, SIGKILL, a crash.",
        // The two other resets of __tcp_close come after sock_orphan().
        proofs: &[Proof {
            frames: &[ACTIVE, CLOSE, &["do_exit"]],
            without: MPTCP,
            reason: &["TCP_ABORT_ON_CLOSE"],
            orphan: Some(false),
            ..ANY
        }],
    },
    Cause {
        name: "app_close_unread",
        blame: Some(Blame::App),
        meaning: "The application closed the socket with data in it that it had not read.",
        check: "Does it read to the end, and drain request bodies that it refuses?",
        proofs: &[Proof {
            frames: &[ACTIVE, CLOSE],
            without: MPTCP,
            reason: &["TCP_ABORT_ON_CLOSE"],
            orphan: Some(false),
            ..ANY
        }],
    },
    Cause {
        name: "app_linger2",
        blame: Some(Blame::App),
        meaning: "The application closed a socket with a negative TCP_LINGER2.",
        check: "The socket options of the application.",
        proofs: &[
            Proof {
                frames: &[ACTIVE, CLOSE],
                without: MPTCP,
                reason: &["TCP_ABORT_ON_LINGER"],
                sk_state: &["FIN_WAIT2"],
                orphan: Some(true),
                linger2: Some(true),
                ..ANY
            },
            // The FIN's ACK came after the close. The reason is that of data after the close
            // (TCP_ABORT_ON_DATA, 6.12 to 7.3), so only the evidence tells.
            Proof {
                frames: &[PASSIVE, SOCKET_RECEIVE],
                sk_state: &["FIN_WAIT2"],
                socket: Some(Socket::Full),
                orphan: Some(true),
                linger2: Some(true),
                ..ANY
            },
        ],
    },
    Cause {
        name: "res_orphan_mem",
        blame: Some(Blame::Resource),
        meaning: "The host ran out of TCP memory or orphan sockets.",
        check: "net.ipv4.tcp_max_orphans, net.ipv4.tcp_mem, TCPAbortOnMemory in nstat.",
        proofs: &[
            Proof {
                frames: &[ACTIVE, CLOSE],
                reason: &["TCP_ABORT_ON_MEMORY"],
                sk_state: &["FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK"],
                orphan: Some(true),
                ..ANY
            },
            // The retransmission timers reset for nothing else; compilers inline the first name.
            Proof { frames: &[ACTIVE, &["tcp_out_of_resources", "tcp_write_timer*"]], ..ANY },
        ],
    },
    Cause {
        name: "orphan_fin2",
        blame: Some(Blame::Peer),
        meaning: "The peer never closed its side, and the wait in FIN_WAIT2 ran out.",
        check: "net.ipv4.tcp_fin_timeout, and why the peer keeps the connection.",
        proofs: &[Proof {
            frames: &[ACTIVE, &["tcp_keepalive_timer"]],
            reason: &["TCP_STATE"],
            sk_state: &["FIN_WAIT2"],
            orphan: Some(true),
            ..ANY
        }],
    },
    Cause {
        name: "keepalive_dead",
        blame: Some(Blame::Peer),
        meaning: "The peer stopped answering keepalive probes.",
        check: "The peer and the path: a NAT or load balancer that forgets idle flows.",
        proofs: &[
            Proof {
                frames: &[ACTIVE, &["tcp_keepalive_timer"]],
                reason: &["TCP_KEEPALIVE_TIMEOUT"],
                sk_state: &["ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "CLOSING", "LAST_ACK"],
                ..ANY
            },
            Proof {
                frames: &[ACTIVE, &["tcp_keepalive_timer"]],
                reason: &["TCP_KEEPALIVE_TIMEOUT"],
                sk_state: &["FIN_WAIT2"],
                orphan: Some(false),
                ..ANY
            },
        ],
    },
    Cause {
        name: "mptcp_join_refused",
        blame: Some(Blame::Peer),
        meaning: "A Multipath TCP connection refused an additional subflow.",
        check: "The limits (`ip mptcp limits`), and middleboxes that change options.",
        proofs: &[Proof {
            frames: &[PASSIVE, &["subflow_v4_route_req", "subflow_v6_route_req"]],
            ..ANY
        }],
    },
    Cause {
        name: "gave_up",
        blame: Some(Blame::Network),
        meaning: "This host had given the connection up because the peer acknowledged nothing any more, and did not tell it; the peer spoke later.",
        check: "The path: a firewall or load balancer that drops one direction. TCP_USER_TIMEOUT, net.ipv4.tcp_retries2, net.ipv4.tcp_orphan_retries.",
        proofs: &[Proof { past: Some(&["gave_up"]), ..STRAY }],
    },
    Cause {
        name: "connect_abandoned",
        blame: Some(Blame::App),
        meaning: "The answer to a connect() came after this host had given it up.",
        check: "Time-outs of connect() that are too short; a client that tries two addresses at once and closes the slower one (happy eyeballs).",
        proofs: &[Proof { past: Some(&["abandoned"]), ..STRAY }],
    },
    Cause {
        name: "fin_wait2_over",
        blame: Some(Blame::App),
        meaning: "The application had closed the connection, the wait for the peer's FIN ran out, and the peer spoke later.",
        check: "net.ipv4.tcp_fin_timeout; a peer that closes late, such as a proxy with idle connections.",
        proofs: &[Proof { past: Some(&["fin_wait2"]), ..STRAY }],
    },
    Cause {
        name: "app_recv_shutdown",
        blame: Some(Blame::App),
        meaning: "The peer sent data after the application had closed the connection.",
        check: "The order of closing: does this side read until the peer is done?",
        proofs: &[
            Proof {
                frames: &[PASSIVE, SOCKET_RECEIVE],
                reason: &["TCP_ABORT_ON_DATA"],
                sk_state: CLOSED_HALF,
                socket: Some(Socket::Full),
                answered: Answered::AckNoSyn,
                ..ANY
            },
            // The kernel has put a smaller socket in its place meanwhile.
            Proof {
                frames: &[PASSIVE, RECEIVE],
                reason: &["TCP_TIMEWAIT_SOCKET"],
                sk_state: &["FIN_WAIT2"],
                socket: Some(Socket::TimeWait),
                answered: Answered::AckNoSyn,
                ..ANY
            },
            // On its way the kernel resets its own side too, as if a RST had come in.
            // A RST that really came in goes through tcp_validate_incoming before.
            Proof {
                frames: &[RECEIVED, &["tcp_rcv_state_process"]],
                direct: true,
                sk_state: CLOSED_HALF,
                ..ANY
            },
        ],
    },
    Cause {
        name: "timewait",
        blame: Some(Blame::App),
        meaning: "A SYN came between the same ends while the connection before waited for the peer's FIN, or a segment for a connection in TIME_WAIT.",
        check: "Who closes first, and a peer that reuses its ports at once.",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["TCP_TIMEWAIT_SOCKET"],
            socket: Some(Socket::TimeWait),
            ..ANY
        }],
    },
    Cause {
        name: "closed_port",
        // A scan asks for ports that nobody promised.
        blame: None,
        meaning: "A connection was asked for where no listener takes it.",
        check: "Is the service ready; are port, address and device (VRF) the ones that it listens on? A BPF program at sk_lookup may refuse in front of a listener: `bpftool link`.",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["NO_SOCKET"],
            socket: Some(Socket::None),
            answered: Answered::FirstSyn,
            ..ANY
        }],
    },
    Cause {
        name: "stale_flow",
        blame: Some(Blame::Peer),
        meaning: "A segment came for a connection that this host does not know.",
        check: "Idle time-outs, load balancers and conntrack between the two.",
        proofs: &[Proof {
            frames: &[PASSIVE, RECEIVE],
            reason: &["NO_SOCKET"],
            socket: Some(Socket::None),
            answered: Answered::NotFirstSyn,
            past: Some(NO_PAST),
            ..ANY
        }],
    },
    Cause {
        name: "accept_overflow",
        blame: Some(Blame::Resource),
        meaning: "The accept queue was full: a handshake was refused (tcp_abort_on_overflow), or its last ACK was dropped in silence, and the client spoke later.",
        check: "ListenOverflows in nstat; the backlog of listen(), net.core.somaxconn, a stuck accept().",
        proofs: &[
            Proof {
                frames: &[PASSIVE, &["tcp_check_req"]],
                direct: true,
                reason: &["INVALID_SYN"],
                answered: Answered::AckNoSyn,
                queue: AcceptQueue::NoRoomKnown,
                ..ANY
            },
            Proof {
                frames: &[PASSIVE, SOCKET_RECEIVE],
                reason: &["TCP_FLAGS"],
                sk_state: &["LISTEN"],
                socket: Some(Socket::Full),
                answered: Answered::AckNoSyn,
                queue: AcceptQueue::Full,
                past: Some(NO_PAST),
                ..ANY
            },
        ],
    },
    Cause {
        name: "embryonic_reset",
        blame: Some(Blame::Peer),
        meaning: "A SYN that fits no handshake came for a connection request.",
        check: "The client's reuse of ports; middleboxes that rewrite sequence numbers.",
        proofs: &[Proof {
            frames: &[PASSIVE, &["tcp_check_req"]],
            direct: true,
            reason: &["INVALID_SYN"],
            answered: Answered::HasSyn,
            ..ANY
        }],
    },
    Cause {
        name: "listener_bad_ack",
        blame: Some(Blame::Peer),
        meaning: "A segment that completes no handshake came for a listener.",
        check: "A load balancer that moved a flow, SYN cookies that did not match, a wrong final ACK.",
        proofs: &[Proof {
            frames: &[PASSIVE, SOCKET_RECEIVE],
            reason: &["TCP_FLAGS"],
            sk_state: &["LISTEN"],
            socket: Some(Socket::Full),
            answered: Answered::HasAck,
            past: Some(NO_PAST),
            ..ANY
        }],
    },
    Cause {
        name: "synsent_bad_synack",
        blame: Some(Blame::Peer),
        meaning: "The answer to this host's SYN acknowledged something else, or echoed a timestamp that was never sent (PAWS, RFC 7323): the kernel's reason says which.",
        check: "A NAT or firewall that reuses ports too soon; an old connection at the peer.",
        proofs: &[Proof {
            frames: &[PASSIVE, SOCKET_RECEIVE],
            sk_state: &["SYN_SENT"],
            socket: Some(Socket::Full),
            answered: Answered::HasAck,
            ..ANY
        }],
    },
    Cause {
        name: "synrecv_bad_ack",
        blame: Some(Blame::Peer),
        meaning: "The last ACK of a handshake acknowledged something else.",
        check: "Middleboxes that rewrite sequence numbers; TCP Fast Open on the path.",
        proofs: &[Proof {
            frames: &[PASSIVE, ANY_RECEIVE],
            sk_state: &["SYN_RECV"],
            socket: Some(Socket::Full),
            answered: Answered::HasAck,
            ..ANY
        }],
    },
    Cause {
        name: "fw_nft_l2",
        blame: Some(Blame::Firewall),
        meaning: "An nftables rule of the bridge or netdev family rejected the segment.",
        check: "nft list ruleset; nft monitor trace.",
        proofs: &[Proof {
            frames: &[REJECT_L2, &["nft_reject_bridge*", "nft_reject_netdev*"]],
            ..ANY
        }],
    },
    Cause {
        name: "fw_br_netfilter",
        blame: Some(Blame::Firewall),
        meaning: "A rule of iptables rejected a segment that a bridge forwards.",
        check: "net.bridge.bridge-nf-call-iptables; iptables-save: rules with --reject-with tcp-reset.",
        proofs: &[Proof { frames: &[REJECT_L3, &["br_nf_*"]], ..ANY }],
    },
    Cause {
        name: "fw_iptables",
        blame: Some(Blame::Firewall),
        meaning: "An iptables rule rejected the segment.",
        check: "iptables-save: rules with --reject-with tcp-reset.",
        proofs: &[Proof { frames: &[&["nf_send_reset"], &["reject_tg"]], ..ANY }],
    },
    Cause {
        name: "fw_ip6tables",
        blame: Some(Blame::Firewall),
        meaning: "An ip6tables rule rejected the segment.",
        check: "ip6tables-save: rules with --reject-with tcp-reset.",
        proofs: &[Proof { frames: &[&["nf_send_reset6"], &["reject_tg6"]], ..ANY }],
    },
    Cause {
        name: "fw_nft",
        blame: Some(Blame::Firewall),
        meaning: "An nftables rule rejected the segment.",
        check: "nft list ruleset; nft monitor trace.",
        proofs: &[Proof { frames: &[REJECT_L3, &["nft_reject_*"]], ..ANY }],
    },
    Cause {
        name: "recv_reset",
        blame: Some(Blame::Peer),
        meaning: "The other side reset the connection.",
        check: "The recording of that side, joined by addresses and ports; an unexpected TTL points to a middlebox.",
        proofs: &[
            Proof { frames: &[RECEIVED, &["tcp_validate_incoming"]], ..ANY },
            Proof { frames: &[RECEIVED], sk_state: &["SYN_SENT"], ..ANY },
        ],
    },
    Cause {
        name: "refused_icmp_bpf",
        blame: Some(Blame::Operator),
        meaning: "A BPF program refused the segment by ICMP.",
        check: "The program's name in the stack.",
        // Only BPF programs can call it, and what calls the callee comes first: below may lie
        // whatever sent the refused segment.
        proofs: &[Proof { frames: &[ICMP, &["bpf_icmp_send"]], direct: true, ..ANY }],
    },
    Cause {
        name: "refused_icmp_fw",
        blame: Some(Blame::Firewall),
        meaning: "A firewall rule refused the segment by ICMP, which a client takes for a reset.",
        check: "iptables-save and nft list ruleset: REJECT without tcp-reset.",
        proofs: &[Proof {
            // The kernel's own nf_send_unreach ends in a jump, and so is no frame.
            frames: &[ICMP, &["nf_send_unreach*", "reject_tg*", "nft_reject_*"]],
            ..ANY
        }],
    },
    Cause {
        name: "refused_icmp_route",
        blame: Some(Blame::Network),
        meaning: "This host has no route for the segment, or one that refuses, and said so by ICMP.",
        check: "`ip route get`; routes of the type unreachable or prohibit.",
        proofs: &[Proof {
            frames: &[
                ICMP,
                &["ip_error", "ip6_pkt_drop*", "ip6_pkt_discard*", "ip6_pkt_prohibit*"],
            ],
            ..ANY
        }],
    },
    Cause {
        name: "refused_icmp_neighbour",
        blame: Some(Blame::Network),
        meaning: "The next hop did not answer (ARP, neighbour discovery), or a tunnel found no way, and this host said so by ICMP.",
        check: "`ip neigh`: FAILED or INCOMPLETE; a pod or host that is gone while its route stays.",
        proofs: &[Proof { frames: &[ICMP, &["ipv4_link_failure*", "ip6_link_failure*"]], ..ANY }],
    },
    Cause {
        name: "crafted",
        blame: Some(Blame::Operator),
        meaning: "A RST left this host that no function of its kernel built.",
        check: "Programs that write packets: raw sockets, tc and XDP programs, intrusion prevention.",
        proofs: BY_AUDIT,
    },
    Cause {
        name: "forwarded",
        blame: Some(Blame::Network),
        meaning: "A RST of another host passed through this one.",
        check: "The host that sent it: the source address, the device that it came in by.",
        proofs: BY_AUDIT,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_cause_has_a_sentence_and_a_callee() {
        for (place, cause) in CAUSES.iter().enumerate() {
            for proof in cause.proofs {
                assert!(!proof.frames.is_empty(), "{}", cause.name);
            }
            assert!(cause.meaning.ends_with('.') && cause.check.len() > 10, "{}", cause.name);
            assert!(CAUSES[place + 1..].iter().all(|other| other.name != cause.name));
            let by_audit = matches!(cause.name, "crafted" | "forwarded");
            assert_eq!(cause.proofs.is_empty(), by_audit, "{}", cause.name);
        }
    }
}
