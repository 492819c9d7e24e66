//! Resets of Multipath TCP.

use super::super::mptcp::{fastclose, fastclose_received, join_refused};
use super::super::scene::{Expect, Scenario};
use super::tcp::{ACTIVE, PASSIVE};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "mptcp_fastclose",
        about: "A program closes a Multipath TCP connection without having read all that came.",
        port: 21039,
        expect: Expect {
            caller: &["mptcp_do_fastclose"],
            reason: Some("MPTCP_RST_EMPTCP"),
            cause: "mptcp_fastclose",
            ..ACTIVE
        },
        run: fastclose,
    },
    Scenario {
        name: "mptcp_fastclose_received",
        about: "The peer ends a Multipath TCP connection by MP_FASTCLOSE.",
        port: 21040,
        expect: Expect {
            caller: &["mptcp_check_fastclose", "mptcp_worker"],
            reason: Some("MPTCP_RST_EMPTCP"),
            cause: "mptcp_fastclose_received",
            blame: "peer",
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
            blame: "peer",
            ..PASSIVE
        },
        run: join_refused,
    },
];
