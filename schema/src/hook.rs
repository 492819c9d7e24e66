//! Where the kernel sends a RST from, and the programs that can see it.
//!
//! [`SITES`] are the functions that build a RST. [`HOOKS`] are our programs, best first;
//! for each site the recorder takes the first hook that the running kernel accepts.
//! To add one: a row here, a program of that name under `ebpf/src/hooks/`, a scenario in
//! `scenarios/src/table/`.

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

    /// The option that asks for it; what this host sends is always recorded.
    pub const fn option(self) -> Option<&'static str> {
        match self {
            Direction::Sent => None,
            Direction::Received => Some("--received"),
            Direction::Icmp => Some("--icmp"),
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
    sent(Site::PassiveV6, "tcp_v6_send_reset", Some("ipv6")),
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
        module: Some("ipv6"),
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
    /// Tracepoint of that name, with arguments whose types the verifier knows.
    BtfTracepoint,
    /// fentry of a function of the kernel image: it fires at each call.
    Fentry,
    /// kprobe of a function of the image or of a module: it fires at each call.
    Kprobe,
    /// fexit of a function of the image: it fires at each return.
    Fexit,
    /// kretprobe of a function of the image: it fires at each return.
    Kretprobe,
}

impl Attach {
    /// The name used in `doctor` and in the footer.
    pub const fn name(self) -> &'static str {
        match self {
            Attach::RawTracepoint => "raw_tracepoint",
            Attach::BtfTracepoint => "tp_btf",
            Attach::Fentry => "fentry",
            Attach::Kprobe => "kprobe",
            Attach::Fexit => "fexit",
            Attach::Kretprobe => "kretprobe",
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
    /// The functions `nf_reject_skb_v{4,6}_tcp_reset` (5.11).
    SharedReject,
    /// That they are not there: the reject of a bridge builds its RST itself.
    OwnReject,
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
    /// What speaks for it, and against it.
    pub why: &'static str,
}

const EACH_CALL: &str = "fires at each call of the function; calls that send nothing are left out";
const REJECTS: &str = "no tracepoint sees netfilter; fires at each call, also where there is no route back or the checksum is wrong";
const BEFORE_LIMIT: &str = "fires at each call, also for errors that the rate limit then drops";

const fn fentry(program: &'static str, target: &'static str, sites: &'static [Site]) -> Hook {
    let attach = Attach::Fentry;
    Hook { program, attach, target, sites, needs: Needs::Nothing, why: EACH_CALL }
}

const fn kprobe(program: &'static str, target: &'static str, sites: &'static [Site]) -> Hook {
    let attach = Attach::Kprobe;
    Hook { program, attach, target, sites, needs: Needs::Nothing, why: EACH_CALL }
}

/// Netfilter lies in modules that come and go: only a kprobe waits for them.
const fn reject(
    program: &'static str,
    target: &'static str,
    sites: &'static [Site],
    needs: Needs,
) -> Hook {
    Hook { program, attach: Attach::Kprobe, target, sites, needs, why: REJECTS }
}

/// Every program that sees a RST, best first.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "tcp_send_reset",
        attach: Attach::RawTracepoint,
        target: "tcp_send_reset",
        sites: &[Site::Active, Site::PassiveV4, Site::PassiveV6],
        needs: Needs::TracepointReason,
        why: "fires only for RSTs that are really built, and gives the kernel's reason (6.10)",
    },
    fentry("fentry_active", "tcp_send_active_reset", &[Site::Active]),
    fentry("fentry_v4", "tcp_v4_send_reset", &[Site::PassiveV4]),
    fentry("fentry_v6", "tcp_v6_send_reset", &[Site::PassiveV6]),
    kprobe("kprobe_active", "tcp_send_active_reset", &[Site::Active]),
    kprobe("kprobe_v4", "tcp_v4_send_reset", &[Site::PassiveV4]),
    kprobe("kprobe_v6", "tcp_v6_send_reset", &[Site::PassiveV6]),
    reject("kprobe_nf_v4", "nf_send_reset", &[Site::RejectV4], Needs::Nothing),
    reject("kprobe_nf_v6", "nf_send_reset6", &[Site::RejectV6], Needs::Nothing),
    reject("kprobe_l2_v4", "nf_reject_skb_v4_tcp_reset", &[Site::RejectL2V4], Needs::SharedReject),
    reject("kprobe_l2_v6", "nf_reject_skb_v6_tcp_reset", &[Site::RejectL2V6], Needs::SharedReject),
    reject("kprobe_bridge_v4", "nf_reject_ip_tcphdr_put", &[Site::RejectL2V4], Needs::OwnReject),
    reject("kprobe_bridge_v6", "nf_reject_ip6_tcphdr_put", &[Site::RejectL2V6], Needs::OwnReject),
    Hook {
        program: "tcp_receive_reset",
        attach: Attach::RawTracepoint,
        target: "tcp_receive_reset",
        sites: &[Site::Received],
        needs: Needs::Nothing,
        why: "fires when a RST is accepted for a socket, before that is closed",
    },
    Hook {
        program: "icmp_send",
        attach: Attach::RawTracepoint,
        target: "icmp_send",
        sites: &[Site::IcmpV4],
        needs: Needs::Nothing,
        why: "fires only for errors that are really sent (6.11)",
    },
    Hook { why: BEFORE_LIMIT, ..fentry("fentry_icmp_v4", "__icmp_send", &[Site::IcmpV4]) },
    Hook { why: BEFORE_LIMIT, ..fentry("fentry_icmp_v6", "icmp6_send", &[Site::IcmpV6]) },
    Hook { why: BEFORE_LIMIT, ..kprobe("kprobe_icmp_v4", "__icmp_send", &[Site::IcmpV4]) },
    Hook { why: BEFORE_LIMIT, ..kprobe("kprobe_icmp_v6", "icmp6_send", &[Site::IcmpV6]) },
];

/// The program that remembers the state a socket leaves for `TCP_CLOSE`, and, with
/// `--socket-owner`, who connects and listens. It fires on state changes, a few times in the life
/// of a connection, never per packet.
pub const STATE_HOOK: Hook = Hook {
    attach: Attach::BtfTracepoint,
    ..tracepoint("inet_sock_set_state", "fires when a socket changes its state")
};

/// With `--socket-owner`: who accepts a connection, best first. Without one of them an accepted
/// connection is owned by the process that listens.
pub const ACCEPT_HOOKS: &[Hook] = &[
    Hook {
        attach: Attach::Fexit,
        why: "fires once for each accepted connection",
        ..kprobe("fexit_accept", "inet_csk_accept", &[])
    },
    Hook {
        attach: Attach::Kretprobe,
        why: "fires once for each accepted connection",
        ..kprobe("kretprobe_accept", "inet_csk_accept", &[])
    },
];

/// The lives of containers: their cgroups, and the first program in each.
pub const LIFE_HOOKS: &[Hook] = &[
    tracepoint("cgroup_mkdir", "fires when a cgroup is made"),
    tracepoint("cgroup_rmdir", "fires when a cgroup is removed"),
    tracepoint("sched_process_exec", "fires when a process begins a program"),
];

const fn tracepoint(name: &'static str, why: &'static str) -> Hook {
    Hook {
        program: name,
        attach: Attach::RawTracepoint,
        target: name,
        sites: &[],
        needs: Needs::Nothing,
        why,
    }
}
