//! Resets that TCP itself sends.

use super::super::active::{
    close_unread_v4, close_unread_v6, disconnect, keepalive_timeout, killed_unread,
    linger0_close_v4, linger0_close_v6, linger2, listener_closed, ss_kill,
};
use super::super::passive::{
    closed_port_v4, closed_port_v6, data_after_close, listener_bad_ack, timewait,
};
use super::super::scene::{Expect, Scenario, Seen};

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
    blame: "app",
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
    blame: "app",
    task: false,
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
        expect: Expect {
            caller: &["tcp_disconnect"],
            reason: Some("TCP_STATE"),
            cause: "app_listener_closed",
            ..ACTIVE
        },
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
        expect: Expect {
            caller: &["tcp_keepalive_timer"],
            reason: Some("TCP_KEEPALIVE_TIMEOUT"),
            context: "timer",
            cause: "keepalive_dead",
            blame: "peer",
            task: false,
            ..ACTIVE
        },
        run: keepalive_timeout,
    },
    Scenario {
        name: "ss_kill",
        about: "An operator destroys the socket by `ss -K`.",
        port: 21010,
        expect: Expect {
            caller: &["tcp_abort"],
            reason: Some("TCP_STATE"),
            cause: "op_sock_diag",
            blame: "op",
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
        expect: Expect {
            callee: "tcp_v6_send_reset",
            caller: &["tcp_v6_rcv"],
            family: "ipv6",
            ..PASSIVE
        },
        run: closed_port_v6,
    },
    Scenario {
        name: "data_after_close",
        about: "The peer sends data to a connection that this side has closed.",
        port: 21013,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_ABORT_ON_DATA"),
            sk_state: Some("FIN_WAIT2"),
            cause: "app_recv_shutdown",
            ..PASSIVE
        },
        run: data_after_close,
    },
    Scenario {
        name: "timewait",
        about: "The peer sends data to what is only a TIME_WAIT socket any more.",
        port: 21014,
        expect: Expect {
            reason: Some("TCP_TIMEWAIT_SOCKET"),
            sk_state: Some("TIME_WAIT"),
            cause: "timewait",
            ..PASSIVE
        },
        run: timewait,
    },
    Scenario {
        name: "listener_bad_ack",
        about: "An ACK that belongs to no connection reaches a listener.",
        port: 21015,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_FLAGS"),
            sk_state: Some("LISTEN"),
            cause: "listener_bad_ack",
            blame: "peer",
            ..PASSIVE
        },
        run: listener_bad_ack,
    },
];
