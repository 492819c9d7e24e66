//! Packets that are not a RST of this kernel: ICMP refusals, crafted and forwarded packets, the
//! receiver's end.

use crate::cause::bpf::icmp::icmp_bpf;
use crate::cause::refusal::{
    icmp_dead_neighbour, icmp_dead_neighbour_v6, icmp_reject_iptables, icmp_reject_nft_v6,
    icmp_unreachable_route, icmp_unreachable_route_v6,
};
use crate::cause::wire::{
    crafted_raw_rst, crafted_spoofed, forwarded_rst, received_close_wait, received_linger0,
    received_refused,
};
use crate::scene::{Expect, Scenario, Seen};

/// An ICMP error in place of a reset. The addresses are those that a reset would have had.
const ICMP: Expect = Expect {
    seen: Seen::Icmp,
    callee: "__icmp_send",
    // nf_send_unreach ends with a jump, and so it is not in the stack where that is optimised.
    caller: &["nf_send_unreach", "reject_tg"],
    reason: None,
    sk_state: None,
    family: "ipv4",
    context: "packet",
    cause: "refused_icmp_fw",
    blame: Some("fw"),
    followed: 0,
    task: false,
};

const ICMP_ROUTE: Expect =
    Expect { caller: &["ip_error"], cause: "refused_icmp_route", blame: Some("net"), ..ICMP };

/// By the timer that gives the neighbour up.
const ICMP_NEIGHBOUR: Expect = Expect {
    caller: &["ipv4_send_dest_unreach", "ipv4_link_failure"],
    context: "timer",
    cause: "refused_icmp_neighbour",
    blame: Some("net"),
    ..ICMP
};

/// No function of the kernel builds it, so only the wire shows it.
const CRAFTED: Expect = Expect {
    seen: Seen::Crafted,
    callee: "",
    caller: &[],
    context: "",
    cause: "crafted",
    blame: Some("op"),
    ..ICMP
};

const RECEIVED: Expect = Expect {
    seen: Seen::Received,
    callee: "tcp_reset",
    caller: &["tcp_validate_incoming"],
    sk_state: Some("ESTABLISHED"),
    cause: "recv_reset",
    blame: Some("peer"),
    ..ICMP
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "icmp_reject_iptables",
        about: "A rule of iptables rejects what comes in by an ICMP error.",
        port: 21070,
        expect: ICMP,
        run: icmp_reject_iptables,
    },
    Scenario {
        name: "icmp_reject_nft_v6",
        about: "A rule of nftables rejects what comes in by an ICMPv6 error.",
        port: 21071,
        expect: Expect {
            callee: "icmp6_send",
            caller: &["nf_send_unreach6", "nft_reject_ipv6_eval"],
            family: "ipv6",
            ..ICMP
        },
        run: icmp_reject_nft_v6,
    },
    Scenario {
        name: "icmp_unreachable_route",
        about: "A client's way leads through a router that has no route.",
        port: 21072,
        expect: ICMP_ROUTE,
        run: icmp_unreachable_route,
    },
    Scenario {
        name: "icmp_unreachable_route_v6",
        about: "The same over IPv6.",
        port: 21073,
        expect: Expect {
            callee: "icmp6_send",
            caller: &["ip6_pkt_drop"],
            family: "ipv6",
            ..ICMP_ROUTE
        },
        run: icmp_unreachable_route_v6,
    },
    Scenario {
        name: "icmp_dead_neighbour",
        about: "A router's next hop does not answer ARP.",
        port: 21091,
        expect: ICMP_NEIGHBOUR,
        run: icmp_dead_neighbour,
    },
    Scenario {
        name: "icmp_dead_neighbour_v6",
        about: "A router's next hop does not answer neighbour discovery.",
        port: 21092,
        expect: Expect {
            callee: "icmp6_send",
            caller: &["ip6_link_failure"],
            family: "ipv6",
            ..ICMP_NEIGHBOUR
        },
        run: icmp_dead_neighbour_v6,
    },
    Scenario {
        name: "icmp_bpf",
        about: "A BPF program refuses what comes in by bpf_icmp_send.",
        port: 21074,
        expect: Expect {
            caller: &["bpf_icmp_send"],
            cause: "refused_icmp_bpf",
            blame: Some("op"),
            ..ICMP
        },
        run: icmp_bpf,
    },
    Scenario {
        name: "crafted_raw_rst",
        about: "A program resets a connection of this machine through a raw socket.",
        port: 21080,
        expect: CRAFTED,
        run: crafted_raw_rst,
    },
    Scenario {
        name: "crafted_spoofed",
        about: "A program on a router resets a client in the server's name.",
        port: 21081,
        expect: CRAFTED,
        run: crafted_spoofed,
    },
    Scenario {
        name: "forwarded_rst",
        about: "A router passes on a reset of the server behind it.",
        port: 21082,
        expect: Expect { seen: Seen::Forwarded, cause: "forwarded", blame: Some("net"), ..CRAFTED },
        run: forwarded_rst,
    },
    Scenario {
        name: "received_close_wait",
        about: "The peer resets a connection after it has ended its own direction.",
        port: 21085,
        expect: Expect { sk_state: Some("CLOSE_WAIT"), ..RECEIVED },
        run: received_close_wait,
    },
    Scenario {
        name: "received_linger0",
        about: "A peer resets an established connection.",
        port: 21083,
        expect: RECEIVED,
        run: received_linger0,
    },
    Scenario {
        name: "received_refused",
        about: "A client is refused by a closed port.",
        port: 21084,
        expect: Expect {
            caller: &["tcp_rcv_state_process", "tcp_rcv_synsent_state_process"],
            sk_state: Some("SYN_SENT"),
            ..RECEIVED
        },
        run: received_refused,
    },
];
