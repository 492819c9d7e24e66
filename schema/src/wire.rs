//! What crosses the ring buffer: one [`EventHeader`], followed by up to
//! [`MAX_FRAMES`] return addresses of the kernel stack.
//!
//! The walk of the stack is most of what a reset costs. Where resets are many, [`SHORT_FRAMES`] are
//! walked, and none where the reason proves the caller.
//! Enumerations cross as integers; the recorder decodes them and keeps unknown values.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames where resets are many. Three of them are the program itself and the tracepoint's
/// glue (`bpf_prog_*`, `bpf_trace_run*`, `__traceiter_*`), which leaves callee, caller
/// and eight more: enough for the key frames of each cause.
pub const SHORT_FRAMES: usize = 13;
/// Frames in a record, and the most that `--stack-depth` can ask for.
pub const MAX_FRAMES: usize = 32;
/// Frames kept in the key of a lost event: the same three of glue, callee, caller, one more.
pub const LOST_FRAMES: usize = 6;

/// The event has a socket (of any kind).
pub const HAS_SOCKET: u8 = 1 << 0;
/// The task fields are those of the task that was running.
pub const HAS_TASK: u8 = 1 << 1;
/// The flow was read from the packet that the reset answers.
pub const FROM_PACKET: u8 = 1 << 2;
/// The socket is a full one (neither TIME_WAIT nor a request socket).
pub const FULL_SOCKET: u8 = 1 << 3;
/// The task was about to end (`PF_EXITING`).
pub const TASK_EXITING: u8 = 1 << 4;
/// The task was a thread of the kernel (`PF_KTHREAD`), which acts for somebody else.
pub const KERNEL_THREAD: u8 = 1 << 5;
/// The listener's accept queue was full (`sk_acceptq_is_full`).
pub const ACCEPT_QUEUE_FULL: u8 = 1 << 6;
/// `accept_queue` and `accept_limit` were read.
pub const IS_LISTENER: u8 = 1 << 7;

/// `walk`: the stack was walked.
pub const WALKED: u8 = 0;
/// `walk`: no stack, because the reason proves callee and caller: [`crate::implied`].
pub const IMPLIED: u8 = 1;

/// In `sk_flags`: the other bits were read. Only a full socket has them.
pub const SK_KNOWN: u8 = 1 << 0;
/// No process holds the socket any more (`sk->sk_socket` is null): it was closed, or was never
/// accepted. Tells the three resets of `__tcp_close` apart on kernels without a reason.
pub const SK_ORPHAN: u8 = 1 << 1;
/// `tcp_sock.linger2` is negative: the application set TCP_LINGER2 so.
pub const SK_LINGER2: u8 = 1 << 2;

/// Names of the bits of `answered_flags`, lowest first (RFC 9293, 3.1; RFC 3168 for the last two).
pub const TCP_FLAG_NAMES: &[&str] = &["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
/// Names of the bits of `sk_flags`; the first says only that the others are known.
pub const SK_FLAG_NAMES: &[&str] = &["", "ORPHAN", "LINGER2"];

/// The bits that a text names, as it stands in a column: names with `|` between. Names that are
/// not in the list, as newer versions may have, are passed over.
pub fn bits_of_text(text: &str, names: &[&str]) -> u8 {
    let bit = |name: &str| names.iter().position(|known| !name.is_empty() && *known == name);
    text.split('|').filter_map(bit).fold(0, |bits, bit| bits | 1 << bit)
}

/// `owner_from`: nothing is known of an owner.
pub const FROM_NOTHING: u8 = 0;
/// The socket itself, or the listener of a request socket.
pub const FROM_SOCKET: u8 = 1;
/// What was remembered of the socket that a TIME_WAIT socket stands for.
pub const FROM_TIMEWAIT: u8 = 2;
/// What was remembered of the flow, whose socket is gone; or of the listener.
pub const FROM_FLOW: u8 = 3;

/// How a connection ended on this host, that a segment came for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Past {
    /// This host reset it.
    Reset = 1,
    /// This host gave it up in silence, because the peer did not acknowledge any more.
    GaveUp = 2,
    /// A connect() that was given up before it had an answer.
    Abandoned = 3,
    /// The application closed it, and the wait for the peer's FIN ran out.
    FinWait = 4,
    /// The peer reset it.
    PeerReset = 5,
    /// The listener was closed while handshakes were under way.
    ListenerClosed = 6,
}

impl Past {
    /// The name in the column `past`; `None` for a number that is none.
    pub fn name_of(past: u8) -> Option<&'static str> {
        match past {
            1 => Some("reset"),
            2 => Some("gave_up"),
            3 => Some("abandoned"),
            4 => Some("fin_wait2"),
            5 => Some("peer_reset"),
            6 => Some("listener_closed"),
            _ => None,
        }
    }
}

/// What a process did to a socket by which it is known as its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Act {
    /// It called connect().
    Connect = 1,
    /// It called listen() on the socket that this one came from.
    Listen = 2,
    /// It called accept().
    Accept = 3,
}

impl Act {
    /// The name in the column `socket_act`; `None` for a number that is none.
    pub fn name_of(act: u32) -> Option<&'static str> {
        match act {
            1 => Some("connect"),
            2 => Some("listen"),
            3 => Some("accept"),
            _ => None,
        }
    }
}

/// The process that acted on a socket. All zero where it is not known.
#[derive(
    Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq,
)]
#[repr(C)]
pub struct Actor {
    /// Process id (the kernel's `tgid`).
    pub tgid: u32,
    /// Thread id (the kernel's `pid`).
    pub tid: u32,
    pub uid: u32,
    pub gid: u32,
    /// Inode of its mount namespace; 0 unknown.
    pub mntns_inum: u32,
    /// [`Act`].
    pub act: u32,
    pub comm: [u8; 16],
}

/// `reason` where the hook has none.
pub const NO_REASON: i32 = -1;

/// The fixed part of an event. Integers are in host byte order, addresses in network order.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct EventHeader {
    /// `bpf_ktime_get_boot_ns`: nanoseconds since boot, suspend included.
    pub boot_ns: u64,
    /// Number of the event on its CPU, from 1, lost ones counted too.
    pub seq: u64,
    /// Events lost on this CPU up to this one.
    pub lost: u64,
    /// Resets counted on this CPU in place of an event ([`StormKey`]), up to this one.
    pub counted: u64,
    /// `net->net_cookie` of the namespace that the reset belongs to; 0 unknown.
    pub netns_cookie: u64,
    /// `bpf_get_current_cgroup_id` of the running task.
    pub task_cgroup_id: u64,
    /// `sk->sk_cgrp_data.cgroup->kn->id`, see `owner_from`; 0 unknown.
    pub socket_cgroup_id: u64,
    /// Inode of the network namespace; 0 unknown.
    pub netns_inum: u32,
    pub cpu: u32,
    /// Process id (the kernel's `tgid`) of the running task.
    pub tgid: u32,
    /// Thread id (the kernel's `pid`) of the running task.
    pub tid: u32,
    pub uid: u32,
    pub gid: u32,
    /// Inode of the running task's mount namespace; 0 unknown.
    pub mntns_inum: u32,
    /// `sk->sk_uid`; `u32::MAX` unknown.
    pub socket_uid: u32,
    /// `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason: i32,
    /// Bytes of the stack that follow, or a negative errno.
    pub stack_bytes: i32,
    /// Source address of the RST. IPv4 in the first four bytes.
    pub src_addr: [u8; 16],
    pub dst_addr: [u8; 16],
    pub comm: [u8; 16],
    /// Who connected, accepted or listened.
    pub socket: Actor,
    pub src_port: u16,
    pub dst_port: u16,
    /// [`crate::hook::Site`], or 0 where the hook covers several and the stack tells.
    pub site: u8,
    /// `AF_INET` (2) or `AF_INET6` (10); 0 unknown.
    pub family: u8,
    /// `skc_state` at the hook; 0 without a socket.
    pub sk_state: u8,
    /// State that the socket left for `TCP_CLOSE`; 0 unknown.
    pub closed_from: u8,
    /// [`HAS_SOCKET`] and similar flags.
    pub flags: u8,
    /// Flags byte of the TCP header that the reset answers (RFC 9293, 3.1).
    pub answered_flags: u8,
    /// [`SK_KNOWN`] and similar flags.
    pub sk_flags: u8,
    /// Type and code of the ICMP error that was sent in place of a RST.
    pub icmp_type: u8,
    pub icmp_code: u8,
    /// Where `socket`, `socket_uid` and `socket_cgroup_id` come from: [`FROM_SOCKET`] and similar values.
    pub owner_from: u8,
    /// [`WALKED`] or [`IMPLIED`].
    pub walk: u8,
    /// [`Past`] of the flow, or 0.
    pub past: u8,
    /// When that was, nanoseconds since boot.
    pub past_ns: u64,
    /// The reset itself, of [`Past::Reset`].
    pub past_seq: u64,
    pub past_cpu: u32,
    /// Connections that wait to be accepted, and how many may, of a listener (`sk_ack_backlog`,
    /// `sk_max_ack_backlog`).
    pub accept_queue: u32,
    pub accept_limit: u32,
    pub padding: u32,
}

/// An event with room for the deepest stack; a record ends with its last frame.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Event {
    pub header: EventHeader,
    pub stack: [u64; MAX_FRAMES],
}

/// Per-CPU totals, the kernel's side of `seen = written + counted + lost`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct CpuTotals {
    /// All of them: those that became an event, were counted, or were lost.
    pub seen: u64,
    pub lost: u64,
    /// Resets of a storm, counted under a [`StormKey`] in place of an event.
    pub counted: u64,
}

/// Key under which the resets of a storm are counted: resets without a socket, beyond a rate.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct StormKey {
    pub netns_cookie: u64,
    pub netns_inum: u32,
    /// `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason: i32,
    /// This host's port; 0 is several, where the table of keys was full.
    pub src_port: u16,
    pub family: u8,
    /// Flags byte of the TCP header that the resets answer.
    pub answered_flags: u8,
    pub site: u8,
    /// [`Past`] of the flows, or 0.
    pub past: u8,
    pub padding: [u8; 2],
}

/// Key under which lost events are counted: enough to say what was lost.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct LostKey {
    pub netns_cookie: u64,
    pub stack: [u64; LOST_FRAMES],
    pub reason: i32,
    pub netns_inum: u32,
    pub src_port: u16,
    pub site: u8,
    pub family: u8,
    pub padding: [u8; 4],
}

/// Bytes of a cgroup's path in a [`LifeEvent`]. Nested systemd slices of Kubernetes take 190.
pub const PATH_BYTES: usize = 512;

/// What a [`LifeEvent`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Life {
    /// A cgroup v2 was made.
    Made = 1,
    /// A cgroup v2 was removed.
    Removed = 2,
    /// A process below the first pid namespace, or in another network namespace than the
    /// recorder's, began a program: the first one of its cgroup there.
    Began = 3,
}

/// What happens to containers; has a ring buffer of its own.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LifeEvent {
    /// `bpf_ktime_get_boot_ns`.
    pub boot_ns: u64,
    /// `cgroup->kn->id`: inode of the cgroup v2 directory.
    pub cgroup_id: u64,
    /// Of [`Life::Began`], as everything below but the path.
    pub netns_cookie: u64,
    pub netns_inum: u32,
    pub mntns_inum: u32,
    pub tgid: u32,
    /// [`Life`].
    pub kind: u32,
    /// Depth of its pid namespace; 0 is the first.
    pub pid_level: u32,
    pub padding: u32,
    /// Of [`Life::Made`] and [`Life::Removed`]: the path below the root of the hierarchy, ends
    /// with a zero.
    pub path: [u8; PATH_BYTES],
}

// The kernel half and the recorder are built apart (the object is committed): a layout that
// differed would decode to nonsense instead of failing.
const _: () = {
    assert!(size_of::<EventHeader>() == 232);
    assert!(core::mem::offset_of!(EventHeader, netns_inum) == 56);
    assert!(core::mem::offset_of!(EventHeader, reason) == 88);
    assert!(core::mem::offset_of!(EventHeader, src_addr) == 96);
    assert!(core::mem::offset_of!(EventHeader, src_port) == 184);
    assert!(core::mem::offset_of!(EventHeader, site) == 188);
    assert!(core::mem::offset_of!(EventHeader, sk_flags) == 194);
    assert!(size_of::<Actor>() == 40);
    assert!(size_of::<LifeEvent>() == 48 + PATH_BYTES);
    assert!(core::mem::offset_of!(EventHeader, past_ns) == 200);
    assert!(size_of::<Event>() == 232 + 8 * MAX_FRAMES);
    assert!(size_of::<CpuTotals>() == 24);
    assert!(size_of::<LostKey>() == 72);
    assert!(size_of::<StormKey>() == 24);
};
