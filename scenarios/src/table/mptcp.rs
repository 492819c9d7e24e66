//! Resets of Multipath TCP.

use super::tcp::{ACTIVE, PASSIVE};
use crate::cause::mptcp::{
    disconnect, fastclose, fastclose_received, join_refused, join_stripped, linger0,
};
use crate::scene::{Expect, Scenario};

/// A program ends a connection at once, whatever is still on its way.
const FASTCLOSE: Expect = Expect {
    caller: &["mptcp_do_fastclose"],
    reason: Some("TCP_ABORT_ON_CLOSE"),
    cause: "mptcp_fastclose",
    ..ACTIVE
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "mptcp_fastclose",
        about: "A program closes a Multipath TCP connection without having read all that came.",
        port: 21039,
        expect: FASTCLOSE,
        run: fastclose,
    },
    Scenario {
        name: "mptcp_linger0",
        about: "A program closes a Multipath TCP connection whose SO_LINGER is on with no time.",
        port: 21042,
        expect: FASTCLOSE,
        run: linger0,
    },
    Scenario {
        name: "mptcp_disconnect",
        about: "A program connects a connected Multipath TCP socket to AF_UNSPEC.",
        port: 21043,
        expect: FASTCLOSE,
        run: disconnect,
    },
    Scenario {
        name: "mptcp_fastclose_received",
        about: "The peer ends a Multipath TCP connection by MP_FASTCLOSE.",
        port: 21040,
        expect: Expect {
            caller: &["mptcp_check_fastclose", "mptcp_worker"],
            reason: Some("MPTCP_RST_EUNSPEC"),
            context: "worker",
            cause: "mptcp_fastclose_received",
            blame: Some("peer"),
            task: false,
            ..ACTIVE
        },
        run: fastclose_received,
    },
    Scenario {
        name: "mptcp_join_refused",
        about: "The peer wants to join a Multipath TCP connection that this host does not know.",
        port: 21041,
        expect: Expect {
            caller: &["subflow_v4_route_req"],
            reason: Some("MPTCP_RST_EMPTCP"),
            sk_state: Some("LISTEN"),
            cause: "mptcp_join_refused",
            blame: Some("peer"),
            ..PASSIVE
        },
        run: join_refused,
    },
    Scenario {
        name: "mptcp_join_stripped",
        about: "The last ACK of another subflow comes without its options, as behind a middlebox.",
        port: 21088,
        expect: Expect {
            caller: &["subflow_syn_recv_sock"],
            reason: Some("MPTCP_RST_EMPTCP"),
            sk_state: Some("LISTEN"),
            cause: "mptcp_join_failed",
            blame: Some("net"),
            ..PASSIVE
        },
        run: join_stripped,
    },
];
