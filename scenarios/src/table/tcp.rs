//! Resets that TCP itself sends.

use crate::cause::active::{
    close_unread_collected, close_unread_v4, close_unread_v6, disconnect, disconnect_with_data,
    keepalive_timeout_v4, keepalive_timeout_v6, killed_unread, linger0_close_v4, linger0_close_v6,
    linger2, listener_closed, listener_shutdown, ss_kill, ss_kill_listener, user_timeout,
};
use crate::cause::bpf::destroy::bpf_destroy;
use crate::cause::orphan::{linger2_fin_acked, orphan_fin2, orphan_limit, orphan_limit_timer};
use crate::cause::passive::{
    closed_port_v4, closed_port_v6, data_after_close_small_v4, data_after_close_small_v6,
    data_after_close_v4, data_after_close_v6, listener_bad_ack_v4, listener_bad_ack_v6,
    shutdown_both_data, stale_flow_v4, stale_flow_v6, timewait_syn,
};
use crate::scene::{Expect, Scenario, Seen};

/// A task's own act on an established IPv4 connection.
pub(super) const ACTIVE: Expect = Expect {
    seen: Seen::Sent,
    callee: "tcp_send_active_reset",
    caller: &["__tcp_close"],
    reason: Some("TCP_ABORT_ON_CLOSE"),
    sk_state: Some("ESTABLISHED"),
    family: "ipv4",
    context: "task",
    cause: "app_close_unread",
    blame: Some("app"),
    followed: 0,
    task: true,
};

/// The answer to an IPv4 segment.
pub(super) const PASSIVE: Expect = Expect {
    seen: Seen::Sent,
    callee: "tcp_v4_send_reset",
    caller: &["tcp_v4_rcv"],
    reason: Some("NO_SOCKET"),
    sk_state: None,
    family: "ipv4",
    context: "packet",
    cause: "closed_port",
    blame: None,
    followed: 0,
    task: false,
};

/// The same over IPv6.
const PASSIVE_V6: Expect =
    Expect { callee: "tcp_v6_send_reset", caller: &["tcp_v6_rcv"], family: "ipv6", ..PASSIVE };

/// A timer finds that the peer is gone.
const DEAD_PEER: Expect = Expect {
    caller: &["tcp_keepalive_timer"],
    reason: Some("TCP_KEEPALIVE_TIMEOUT"),
    context: "timer",
    cause: "keepalive_dead",
    blame: Some("peer"),
    task: false,
    ..ACTIVE
};

/// Data comes for a socket whose program has closed it.
const DATA_TO_CLOSED: Expect = Expect {
    caller: &["tcp_v4_do_rcv"],
    reason: Some("TCP_ABORT_ON_DATA"),
    sk_state: Some("FIN_WAIT2"),
    cause: "app_recv_shutdown",
    blame: Some("app"),
    ..PASSIVE
};

const LISTENER_CLOSED: Expect = Expect {
    caller: &["tcp_disconnect"],
    reason: Some("TCP_STATE"),
    cause: "app_listener_closed",
    ..ACTIVE
};

const ORPHAN_LIMIT: Expect = Expect {
    reason: Some("TCP_ABORT_ON_MEMORY"),
    sk_state: Some("FIN_WAIT1"),
    cause: "res_orphan_mem",
    blame: Some("res"),
    ..ACTIVE
};

/// The same for the smaller socket that waits in FIN_WAIT2 in place of a whole one.
const DATA_TO_SMALL: Expect =
    Expect { caller: &["tcp_v4_rcv"], reason: Some("TCP_TIMEWAIT_SOCKET"), ..DATA_TO_CLOSED };

/// A listener gets what opens no connection.
pub(super) const LISTENER_BAD_ACK: Expect = Expect {
    caller: &["tcp_v4_do_rcv"],
    reason: Some("TCP_FLAGS"),
    sk_state: Some("LISTEN"),
    cause: "listener_bad_ack",
    blame: Some("peer"),
    ..PASSIVE
};

const LINGER0: Expect = Expect {
    caller: &["tcp_disconnect"],
    reason: Some("TCP_STATE"),
    cause: "app_linger0",
    ..ACTIVE
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "linger0_close",
        about: "A program closes a connection whose SO_LINGER is on with no time.",
        port: 21001,
        expect: LINGER0,
        run: linger0_close_v4,
    },
    Scenario {
        name: "linger0_close_v6",
        about: "The same over IPv6.",
        port: 21002,
        expect: Expect { family: "ipv6", ..LINGER0 },
        run: linger0_close_v6,
    },
    Scenario {
        name: "close_unread",
        about: "A program closes a connection without having read all that came.",
        port: 21003,
        expect: ACTIVE,
        run: close_unread_v4,
    },
    Scenario {
        name: "close_unread_v6",
        about: "The same over IPv6.",
        port: 21004,
        expect: Expect { family: "ipv6", ..ACTIVE },
        run: close_unread_v6,
    },
    Scenario {
        name: "killed_unread",
        about: "A process with unread data is killed.",
        port: 21005,
        expect: Expect { cause: "app_killed_unread", ..ACTIVE },
        run: killed_unread,
    },
    Scenario {
        name: "disconnect",
        about: "A program connects a connected socket to AF_UNSPEC.",
        port: 21006,
        expect: Expect {
            caller: &["tcp_disconnect"],
            reason: Some("TCP_STATE"),
            cause: "app_disconnect",
            ..ACTIVE
        },
        run: disconnect,
    },
    Scenario {
        name: "listener_closed",
        about: "A listener is closed before it has accepted an established connection.",
        port: 21007,
        expect: LISTENER_CLOSED,
        run: listener_closed,
    },
    Scenario {
        name: "linger2",
        about: "A program closes a half-closed connection whose TCP_LINGER2 is negative.",
        port: 21008,
        expect: Expect {
            reason: Some("TCP_ABORT_ON_LINGER"),
            sk_state: Some("FIN_WAIT2"),
            cause: "app_linger2",
            ..ACTIVE
        },
        run: linger2,
    },
    Scenario {
        name: "keepalive_timeout",
        about: "The peer answers no keepalive probe.",
        port: 21009,
        expect: DEAD_PEER,
        run: keepalive_timeout_v4,
    },
    Scenario {
        name: "ss_kill",
        about: "An operator destroys the socket by `ss -K`.",
        port: 21010,
        expect: Expect {
            caller: &["tcp_abort"],
            reason: Some("TCP_STATE"),
            cause: "op_sock_diag",
            blame: Some("op"),
            ..ACTIVE
        },
        run: ss_kill,
    },
    Scenario {
        name: "closed_port",
        about: "A client connects to a port on which nothing listens.",
        port: 21011,
        expect: PASSIVE,
        run: closed_port_v4,
    },
    Scenario {
        name: "closed_port_v6",
        about: "The same over IPv6.",
        port: 21012,
        expect: PASSIVE_V6,
        run: closed_port_v6,
    },
    Scenario {
        name: "data_after_close",
        about: "The peer sends data to a connection that this side has closed.",
        port: 21013,
        expect: DATA_TO_CLOSED,
        run: data_after_close_v4,
    },
    Scenario {
        name: "data_after_close_small",
        about: "The peer sends data to what is only a small socket in FIN_WAIT2 any more.",
        port: 21014,
        expect: DATA_TO_SMALL,
        run: data_after_close_small_v4,
    },
    Scenario {
        name: "timewait_syn",
        about: "The peer reuses its port at once, while this host waits for its FIN.",
        port: 21100,
        expect: Expect { cause: "timewait", ..DATA_TO_SMALL },
        run: timewait_syn,
    },
    Scenario {
        name: "listener_bad_ack",
        about: "An ACK that belongs to no connection reaches a listener.",
        port: 21015,
        expect: LISTENER_BAD_ACK,
        run: listener_bad_ack_v4,
    },
    Scenario {
        name: "stale_flow",
        about: "A segment with data comes for a connection that this host does not know.",
        port: 21016,
        expect: Expect { cause: "stale_flow", blame: Some("peer"), ..PASSIVE },
        run: stale_flow_v4,
    },
    Scenario {
        name: "stale_flow_v6",
        about: "The same over IPv6.",
        port: 21017,
        expect: Expect { cause: "stale_flow", blame: Some("peer"), ..PASSIVE_V6 },
        run: stale_flow_v6,
    },
    Scenario {
        name: "shutdown_both_data",
        about: "The peer sends data to a socket that was shut down both ways and is still open.",
        port: 21018,
        expect: DATA_TO_CLOSED,
        run: shutdown_both_data,
    },
    Scenario {
        name: "linger2_fin_acked",
        about: "The peer acknowledges the FIN of a closed connection whose TCP_LINGER2 is negative.",
        port: 21019,
        expect: Expect { cause: "app_linger2", ..DATA_TO_CLOSED },
        run: linger2_fin_acked,
    },
    Scenario {
        name: "close_unread_collected",
        about: "The last descriptor of a connection with unread data lies in a cycle of Unix sockets, and a worker of the kernel collects it.",
        port: 21086,
        expect: Expect { context: "worker", task: false, ..ACTIVE },
        run: close_unread_collected,
    },
    Scenario {
        name: "orphan_fin2",
        about: "The peer does not close its side, and the wait of the closed side runs out.",
        port: 21020,
        expect: Expect {
            reason: Some("TCP_STATE"),
            sk_state: Some("FIN_WAIT2"),
            cause: "orphan_fin2",
            ..DEAD_PEER
        },
        run: orphan_fin2,
    },
    Scenario {
        name: "user_timeout",
        about: "The peer is silent for longer than TCP_USER_TIMEOUT.",
        port: 21021,
        expect: DEAD_PEER,
        run: user_timeout,
    },
    Scenario {
        name: "orphan_limit",
        about: "A program closes a connection while there are too many orphans: the host's limit (tcp_max_orphans) is none for the moment of the close.",
        port: 21022,
        expect: ORPHAN_LIMIT,
        run: orphan_limit,
    },
    Scenario {
        name: "orphan_limit_timer",
        about: "An orphan sends its FIN again while there are too many: the host's limit (tcp_max_orphans) is none for a few hundredths of a second.",
        port: 21023,
        expect: Expect {
            caller: &["tcp_out_of_resources", "tcp_write_timeout"],
            context: "timer",
            task: false,
            ..ORPHAN_LIMIT
        },
        run: orphan_limit_timer,
    },
    Scenario {
        name: "listener_shutdown",
        about: "A listener is shut down before it has accepted an established connection.",
        port: 21024,
        expect: LISTENER_CLOSED,
        run: listener_shutdown,
    },
    Scenario {
        name: "ss_kill_listener",
        about: "An operator destroys a listener by `ss -K`, and with it the connection that waits there.",
        port: 21025,
        expect: Expect { cause: "op_sock_diag", blame: Some("op"), ..LISTENER_CLOSED },
        run: ss_kill_listener,
    },
    Scenario {
        name: "disconnect_with_data",
        about: "A program connects a socket to AF_UNSPEC that waits for its last ACK and has unsent data.",
        port: 21026,
        expect: Expect {
            caller: &["tcp_disconnect"],
            reason: Some("TCP_DISCONNECT_WITH_DATA"),
            sk_state: Some("LAST_ACK"),
            cause: "app_disconnect",
            ..ACTIVE
        },
        run: disconnect_with_data,
    },
    Scenario {
        name: "keepalive_timeout_v6",
        about: "The peer answers no keepalive probe over IPv6.",
        port: 21027,
        expect: Expect { family: "ipv6", ..DEAD_PEER },
        run: keepalive_timeout_v6,
    },
    Scenario {
        name: "data_after_close_v6",
        about: "The peer sends data over IPv6 to a connection that this side has closed.",
        port: 21028,
        expect: Expect {
            callee: "tcp_v6_send_reset",
            caller: &["tcp_v6_do_rcv"],
            family: "ipv6",
            ..DATA_TO_CLOSED
        },
        run: data_after_close_v6,
    },
    Scenario {
        name: "data_after_close_small_v6",
        about: "The same over IPv6.",
        port: 21029,
        expect: Expect {
            callee: "tcp_v6_send_reset",
            caller: &["tcp_v6_rcv"],
            family: "ipv6",
            ..DATA_TO_SMALL
        },
        run: data_after_close_small_v6,
    },
    Scenario {
        name: "listener_bad_ack_v6",
        about: "An ACK over IPv6 that belongs to no connection reaches a listener.",
        port: 21030,
        expect: Expect {
            callee: "tcp_v6_send_reset",
            caller: &["tcp_v6_do_rcv"],
            family: "ipv6",
            ..LISTENER_BAD_ACK
        },
        run: listener_bad_ack_v6,
    },
    Scenario {
        name: "bpf_destroy",
        about: "A BPF program destroys the socket by bpf_sock_destroy.",
        port: 21038,
        expect: Expect {
            caller: &["tcp_abort"],
            reason: Some("TCP_STATE"),
            cause: "op_bpf_destroy",
            blame: Some("op"),
            ..ACTIVE
        },
        run: bpf_destroy,
    },
];
