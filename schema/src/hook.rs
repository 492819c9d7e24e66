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
}

/// A site and its kernel function.
#[derive(Clone, Copy, Debug)]
pub struct SiteInfo {
    pub site: Site,
    /// Kernel function, as in kallsyms.
    pub function: &'static str,
    /// Module that holds it where it is not built in.
    pub module: Option<&'static str>,
}

/// Every place of the kernel that builds a RST (a grep of 6.12 finds no other).
pub const SITES: &[SiteInfo] = &[
    SiteInfo { site: Site::Active, function: "tcp_send_active_reset", module: None },
    SiteInfo { site: Site::PassiveV4, function: "tcp_v4_send_reset", module: None },
    SiteInfo { site: Site::PassiveV6, function: "tcp_v6_send_reset", module: None },
    SiteInfo { site: Site::RejectV4, function: "nf_send_reset", module: Some("nf_reject_ipv4") },
    SiteInfo { site: Site::RejectV6, function: "nf_send_reset6", module: Some("nf_reject_ipv6") },
    SiteInfo {
        site: Site::RejectL2V4,
        function: "nf_reject_skb_v4_tcp_reset",
        module: Some("nf_reject_ipv4"),
    },
    SiteInfo {
        site: Site::RejectL2V6,
        function: "nf_reject_skb_v6_tcp_reset",
        module: Some("nf_reject_ipv6"),
    },
];

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
