//! Resets that firewall rules send: `nf_send_reset`, `nf_send_reset6`, `nf_reject_skb_*`.

use crate::cause::firewall::{
    br_netfilter, ip6tables_forward, ip6tables_input, iptables_forward, iptables_input,
    iptables_input_bridged, iptables_output, nft_bridge, nft_bridge_v6, nft_inet, nft_inet_forward,
    nft_inet_output, nft_inet_v6, nft_ip, nft_ip6, nft_netdev,
};
use crate::scene::{Expect, Scenario, Seen};

/// A rule's answer to an IPv4 segment. The kernel gives no reason for these.
const IPTABLES: Expect = Expect {
    seen: Seen::Sent,
    callee: "nf_send_reset",
    caller: &["reject_tg"],
    reason: None,
    sk_state: None,
    family: "ipv4",
    context: "packet",
    cause: "fw_iptables",
    blame: Some("fw"),
    followed: 0,
    task: false,
};

const IP6TABLES: Expect = Expect {
    callee: "nf_send_reset6",
    caller: &["reject_tg6"],
    family: "ipv6",
    cause: "fw_ip6tables",
    ..IPTABLES
};

const NFT: Expect = Expect { caller: &["nft_reject_inet_eval"], cause: "fw_nft", ..IPTABLES };

const NFT_V6: Expect = Expect { callee: "nf_send_reset6", family: "ipv6", ..NFT };

const NFT_BRIDGE: Expect = Expect {
    callee: "nf_reject_skb_v4_tcp_reset",
    caller: &["nft_reject_bridge_eval"],
    cause: "fw_nft_l2",
    ..IPTABLES
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "iptables_input",
        about: "A rule of iptables rejects what comes in by a reset.",
        port: 21050,
        expect: IPTABLES,
        run: iptables_input,
    },
    Scenario {
        name: "iptables_output",
        about: "A rule of iptables rejects what this machine's own client sends.",
        port: 21051,
        expect: IPTABLES,
        run: iptables_output,
    },
    Scenario {
        name: "iptables_forward",
        about: "A rule of iptables rejects what this machine routes.",
        port: 21052,
        expect: IPTABLES,
        run: iptables_forward,
    },
    Scenario {
        name: "ip6tables_input",
        about: "A rule of ip6tables rejects what comes in by a reset.",
        port: 21053,
        expect: IP6TABLES,
        run: ip6tables_input,
    },
    Scenario {
        name: "ip6tables_forward",
        about: "A rule of ip6tables rejects what this machine routes.",
        port: 21054,
        expect: IP6TABLES,
        run: ip6tables_forward,
    },
    Scenario {
        name: "nft_inet",
        about: "A rule of nftables for both families rejects what comes in over IPv4.",
        port: 21055,
        expect: NFT,
        run: nft_inet,
    },
    Scenario {
        name: "nft_inet_v6",
        about: "The same over IPv6.",
        port: 21056,
        expect: NFT_V6,
        run: nft_inet_v6,
    },
    Scenario {
        name: "nft_inet_output",
        about: "A rule of nftables rejects what this machine's own client sends.",
        port: 21057,
        expect: NFT,
        run: nft_inet_output,
    },
    Scenario {
        name: "nft_inet_forward",
        about: "A rule of nftables rejects what this machine routes.",
        port: 21058,
        expect: NFT,
        run: nft_inet_forward,
    },
    Scenario {
        name: "nft_ip",
        about: "A rule of nftables for IPv4 alone rejects what comes in.",
        port: 21059,
        expect: Expect { caller: &["nft_reject_ipv4_eval"], ..NFT },
        run: nft_ip,
    },
    Scenario {
        name: "nft_ip6",
        about: "A rule of nftables for IPv6 alone rejects what comes in.",
        port: 21060,
        expect: Expect { caller: &["nft_reject_ipv6_eval"], ..NFT_V6 },
        run: nft_ip6,
    },
    Scenario {
        name: "nft_bridge",
        about: "A rule of nftables on a bridge rejects an IPv4 segment.",
        port: 21061,
        expect: NFT_BRIDGE,
        run: nft_bridge,
    },
    Scenario {
        name: "nft_bridge_v6",
        about: "The same over IPv6.",
        port: 21062,
        expect: Expect { callee: "nf_reject_skb_v6_tcp_reset", family: "ipv6", ..NFT_BRIDGE },
        run: nft_bridge_v6,
    },
    Scenario {
        name: "nft_netdev",
        about: "A rule of nftables on an interface rejects what it receives.",
        port: 21063,
        expect: Expect { caller: &["nft_reject_netdev_eval"], ..NFT_BRIDGE },
        run: nft_netdev,
    },
    Scenario {
        name: "br_netfilter",
        about: "A rule of iptables rejects what a bridge passes on.",
        port: 21064,
        expect: Expect { cause: "fw_br_netfilter", ..IPTABLES },
        run: br_netfilter,
    },
    Scenario {
        name: "iptables_input_bridged",
        about: "A rule of iptables rejects what came for this host over a bridge.",
        port: 21093,
        expect: IPTABLES,
        run: iptables_input_bridged,
    },
];
