//! Resets that answer a segment of a connection which this host has no socket for any more.

use super::tcp::{ACTIVE, PASSIVE};
use crate::cause::past::{
    FOLLOWERS, accept_queue_full, close_unread_followed, close_unread_followed_listener,
    connect_abandoned, fin_wait2_over, gave_up, gave_up_orphan, listener_closed_midway,
};
use crate::scene::{Expect, Scenario};

const GAVE_UP: Expect = Expect { cause: "gave_up", blame: Some("net"), ..PASSIVE };

const FOLLOWED: Expect = Expect { followed: FOLLOWERS, ..ACTIVE };

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "close_unread_followed",
        about: "A program closes a connection with unread data, and more of the peer's data is on its way.",
        port: 21101,
        expect: FOLLOWED,
        run: close_unread_followed,
    },
    Scenario {
        name: "close_unread_followed_listener",
        about: "The same while the listener is there still.",
        port: 21102,
        expect: FOLLOWED,
        run: close_unread_followed_listener,
    },
    Scenario {
        name: "gave_up",
        about: "The peer acknowledges nothing until TCP_USER_TIMEOUT is over, and then speaks.",
        port: 21094,
        expect: GAVE_UP,
        run: gave_up,
    },
    Scenario {
        name: "gave_up_orphan",
        about: "The FIN of a closed connection is never acknowledged, and then the peer speaks.",
        port: 21095,
        expect: GAVE_UP,
        run: gave_up_orphan,
    },
    Scenario {
        name: "fin_wait2_over",
        about: "The peer closes after the wait for its FIN is over (tcp_fin_timeout).",
        port: 21096,
        expect: Expect { cause: "fin_wait2_over", blame: Some("app"), ..PASSIVE },
        run: fin_wait2_over,
    },
    Scenario {
        name: "connect_abandoned",
        about: "The SYN-ACK comes after the client has given up.",
        port: 21097,
        expect: Expect { cause: "connect_abandoned", blame: Some("app"), ..PASSIVE },
        run: connect_abandoned,
    },
    Scenario {
        name: "listener_closed_midway",
        about: "The listener is closed between its SYN-ACK and the last ACK.",
        port: 21098,
        expect: Expect { cause: "app_listener_closed", blame: Some("app"), ..PASSIVE },
        run: listener_closed_midway,
    },
    Scenario {
        name: "accept_queue_full",
        about: "The last ACK is dropped because the accept queue is full, and the client speaks later.",
        port: 21099,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_FLAGS"),
            sk_state: Some("LISTEN"),
            cause: "accept_overflow",
            blame: Some("res"),
            ..PASSIVE
        },
        run: accept_queue_full,
    },
];
