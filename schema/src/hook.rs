//! Where the kernel sends a RST from, and the programs that can see it.
//!
//! [`SITES`] are the functions that build a RST. [`HOOKS`] are our programs, best first;
//! for each site the recorder takes the first hook that the running kernel accepts.
//! To add one: a row here, a program of that name under `ebpf/src/hooks/`, a scenario in
//! `xtask simulate`.

/// A kernel function that builds a RST. The number crosses the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Site {
    /// `tcp_send_active_reset`: this host gives a connection up.
    Active = 1,
    /// `tcp_v4_send_reset`: the answer to an IPv4 packet.
    PassiveV4 = 2,
    /// `tcp_v6_send_reset`: the answer to an IPv6 packet.
    PassiveV6 = 3,
    /// `nf_send_reset`: a netfilter REJECT, IPv4.
    RejectV4 = 4,
    /// `nf_send_reset6`: a netfilter REJECT, IPv6.
    RejectV6 = 5,
    /// `nf_reject_skb_v4_tcp_reset`: a REJECT in the bridge or netdev family, IPv4.
    RejectL2V4 = 6,
    /// `nf_reject_skb_v6_tcp_reset`: the same for IPv6.
    RejectL2V6 = 7,
    /// `tcp_reset`: a RST came in. Only where asked for.
    Received = 8,
    /// `__icmp_send`: a refusal that is no RST. Only where asked for.
    IcmpV4 = 9,
    /// `icmp6_send`: the same for IPv6.
    IcmpV6 = 10,
}

/// Which way a reset goes; the column `direction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This host's kernel sent a RST.
    Sent,
    /// This host got one.
    Received,
    /// This host's kernel sent an ICMP error where a client sees a refusal all the same.
    Icmp,
}

impl Direction {
    /// The name in the column.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Sent => "sent",
            Direction::Received => "received",
            Direction::Icmp => "icmp",
        }
    }

    /// That of a site as it crosses the ring; 0 is the tracepoint of sent RSTs.
    pub fn of_site(site: u8) -> Self {
        SITES
            .iter()
            .find(|info| info.site as u8 == site)
            .map_or(Direction::Sent, |info| info.direction)
    }
}

/// A site and its kernel function.
#[derive(Clone, Copy, Debug)]
pub struct SiteInfo {
    pub site: Site,
    /// Kernel function, as in kallsyms.
    pub function: &'static str,
    /// Module that holds it where it is not built in.
    pub module: Option<&'static str>,
    pub direction: Direction,
}

/// Every place of the kernel that builds a RST (a grep of 6.12 finds no other), and after them
/// those that are watched where asked for.
pub const SITES: &[SiteInfo] = &[
    sent(Site::Active, "tcp_send_active_reset", None),
    sent(Site::PassiveV4, "tcp_v4_send_reset", None),
    sent(Site::PassiveV6, "tcp_v6_send_reset", None),
    sent(Site::RejectV4, "nf_send_reset", Some("nf_reject_ipv4")),
    sent(Site::RejectV6, "nf_send_reset6", Some("nf_reject_ipv6")),
    sent(Site::RejectL2V4, "nf_reject_skb_v4_tcp_reset", Some("nf_reject_ipv4")),
    sent(Site::RejectL2V6, "nf_reject_skb_v6_tcp_reset", Some("nf_reject_ipv6")),
    SiteInfo {
        site: Site::Received,
        function: "tcp_reset",
        module: None,
        direction: Direction::Received,
    },
    SiteInfo {
        site: Site::IcmpV4,
        function: "__icmp_send",
        module: None,
        direction: Direction::Icmp,
    },
    SiteInfo {
        site: Site::IcmpV6,
        function: "icmp6_send",
        module: None,
        direction: Direction::Icmp,
    },
];

const fn sent(site: Site, function: &'static str, module: Option<&'static str>) -> SiteInfo {
    SiteInfo { site, function, module, direction: Direction::Sent }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Raw tracepoint of that name.
    RawTracepoint,
    /// fentry of a function of the kernel image: it fires at each call.
    Fentry,
    /// kprobe of a function: it fires at each call.
    Kprobe,
}

impl Attach {
    /// The name used in `doctor` and in the footer.
    pub const fn name(self) -> &'static str {
        match self {
            Attach::RawTracepoint => "raw_tracepoint",
            Attach::Fentry => "fentry",
            Attach::Kprobe => "kprobe",
        }
    }
}

/// What the kernel must have for a hook to cover its sites whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// The `tcp_send_reset` tracepoint with its reason argument (6.10, 3e140491dd80).
    /// Before, it is blind to resets without a full socket.
    TracepointReason,
}

/// One of our programs.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    pub attach: Attach,
    /// Tracepoint or function that it is attached to.
    pub target: &'static str,
    pub sites: &'static [Site],
    pub needs: Needs,
}

/// Every program that sees a RST, best first.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "tcp_send_reset",
        attach: Attach::RawTracepoint,
        target: "tcp_send_reset",
        sites: &[Site::Active, Site::PassiveV4, Site::PassiveV6],
        needs: Needs::TracepointReason,
    },
    Hook {
        program: "fentry_active",
        attach: Attach::Fentry,
        target: "tcp_send_active_reset",
        sites: &[Site::Active],
        needs: Needs::Nothing,
    },
    Hook {
        program: "fentry_v4",
        attach: Attach::Fentry,
        target: "tcp_v4_send_reset",
        sites: &[Site::PassiveV4],
        needs: Needs::Nothing,
    },
    Hook {
        program: "fentry_v6",
        attach: Attach::Fentry,
        target: "tcp_v6_send_reset",
        sites: &[Site::PassiveV6],
        needs: Needs::Nothing,
    },
    Hook {
        program: "kprobe_active",
        attach: Attach::Kprobe,
        target: "tcp_send_active_reset",
        sites: &[Site::Active],
        needs: Needs::Nothing,
    },
    Hook {
        program: "kprobe_v4",
        attach: Attach::Kprobe,
        target: "tcp_v4_send_reset",
        sites: &[Site::PassiveV4],
        needs: Needs::Nothing,
    },
    Hook {
        program: "kprobe_v6",
        attach: Attach::Kprobe,
        target: "tcp_v6_send_reset",
        sites: &[Site::PassiveV6],
        needs: Needs::Nothing,
    },
];

/// The program that remembers the state a socket leaves for `TCP_CLOSE`. It fires on state
/// changes, a few times in the life of a connection, never per packet.
pub const STATE_HOOK: Hook = Hook {
    program: "inet_sock_set_state",
    attach: Attach::RawTracepoint,
    target: "inet_sock_set_state",
    sites: &[],
    needs: Needs::Nothing,
};
