//! Resets in the middle of a handshake.

use super::tcp::{LISTENER_BAD_ACK, PASSIVE};
use crate::cause::handshake::{
    abort_on_overflow, bad_handshake_ack, embryonic_syn, md5_mismatch, syn_cookie_bad,
    synrecv_bad_ack, synsent_bad_synack, synsent_bad_timestamp,
};
use crate::scene::{Expect, Scenario, Seen};

/// A listener ends a handshake that it has begun.
const REFUSED_REQUEST: Expect = Expect {
    caller: &["tcp_check_req"],
    reason: Some("INVALID_SYN"),
    sk_state: Some("LISTEN"),
    cause: "embryonic_reset",
    blame: Some("peer"),
    ..PASSIVE
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "abort_on_overflow",
        about: "The last ACK of a handshake finds the accept queue full, and tcp_abort_on_overflow is on.",
        port: 21031,
        expect: Expect { cause: "accept_overflow", blame: Some("res"), ..REFUSED_REQUEST },
        run: abort_on_overflow,
    },
    Scenario {
        name: "embryonic_syn",
        about: "Another SYN comes in the middle of a handshake.",
        port: 21032,
        expect: REFUSED_REQUEST,
        run: embryonic_syn,
    },
    Scenario {
        name: "bad_handshake_ack",
        about: "The last ACK of a handshake acknowledges what was never sent.",
        port: 21033,
        expect: LISTENER_BAD_ACK,
        run: bad_handshake_ack,
    },
    Scenario {
        name: "syn_cookie_bad",
        about: "The last ACK of a handshake brings a SYN cookie that is wrong.",
        port: 21034,
        expect: LISTENER_BAD_ACK,
        run: syn_cookie_bad,
    },
    Scenario {
        name: "synsent_bad_synack",
        about: "A SYN-ACK acknowledges a SYN that was never sent.",
        port: 21035,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_INVALID_ACK_SEQUENCE"),
            sk_state: Some("SYN_SENT"),
            cause: "synsent_bad_synack",
            blame: Some("peer"),
            ..PASSIVE
        },
        run: synsent_bad_synack,
    },
    Scenario {
        name: "synsent_bad_timestamp",
        about: "A SYN-ACK echoes a timestamp that was never sent.",
        port: 21087,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_RFC7323_PAWS"),
            sk_state: Some("SYN_SENT"),
            cause: "synsent_bad_synack",
            blame: Some("peer"),
            ..PASSIVE
        },
        run: synsent_bad_timestamp,
    },
    Scenario {
        name: "synrecv_bad_ack",
        about: "A connection by TCP Fast Open whose handshake is not done gets an ACK of what was never sent.",
        port: 21036,
        expect: Expect {
            caller: &["tcp_v4_do_rcv"],
            reason: Some("TCP_ACK_UNSENT_DATA"),
            sk_state: Some("SYN_RECV"),
            cause: "synrecv_bad_ack",
            blame: Some("peer"),
            ..PASSIVE
        },
        run: synrecv_bad_ack,
    },
    Scenario {
        name: "md5_mismatch",
        about: "A SYN is signed with a wrong key (TCP_MD5SIG): the kernel ignores it, no reset tells.",
        port: 21037,
        expect: Expect {
            seen: Seen::Nothing,
            callee: "",
            caller: &[],
            reason: None,
            sk_state: None,
            context: "",
            cause: "",
            blame: None,
            ..PASSIVE
        },
        run: md5_mismatch,
    },
];
