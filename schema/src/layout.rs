//! What the kernel half must know of the running kernel: offsets of structure members and
//! positions of arguments. The recorder finds them by name in the kernel's BTF and sets them
//! as one read-only global before the programs are loaded, so that one object serves every
//! kernel.

use zerocopy::{Immutable, IntoBytes};

/// Offset of a member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// A member of a kernel structure, as the recorder looks it up.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Name in [`KernelLayout`].
    pub field: &'static str,
    /// Kernel structure.
    pub structure: &'static str,
    /// Member; `.` steps into a member that is itself a structure.
    pub path: &'static str,
    /// Without it no reset can be described: loading fails.
    pub required: bool,
}

macro_rules! members {
    ($($field:ident $need:ident $structure:literal $path:literal;)+) => {
        /// Byte offsets of the members in [`MEMBERS`], in that order.
        #[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
        #[repr(C)]
        pub struct Offsets {
            $(#[doc = concat!("`", $structure, ".", $path, "`")] pub $field: u32,)+
        }

        /// Every member that the kernel half reads.
        pub const MEMBERS: &[Member] = &[$(Member {
            field: stringify!($field),
            structure: $structure,
            path: $path,
            required: members!(@$need),
        }),+];

        impl Offsets {
            /// Every member absent.
            pub const NONE: Self = Self { $($field: ABSENT),+ };

            /// Sets the offset of `MEMBERS[index]`; an index beyond does nothing.
            pub fn set(&mut self, index: usize, offset: u32) {
                let fields = [$(&mut self.$field),+];
                if let Some(field) = fields.into_iter().nth(index) {
                    *field = offset;
                }
            }
        }
    };
    (@required) => { true };
    (@optional) => { false };
}

members! {
    // What a change of state reads, in one cache line with what stands before the offsets.
    skc_flags optional "sock_common" "skc_flags";
    sk_protocol optional "sock" "sk_protocol";
    skc_dport required "sock_common" "skc_dport";
    task_flags optional "task_struct" "flags";
    task_nsproxy optional "task_struct" "nsproxy";
    nsproxy_mnt_ns optional "nsproxy" "mnt_ns";
    mnt_ns_inum optional "mnt_namespace" "ns.inum";
    sk_err optional "sock" "sk_err";
    // What a reset reads.
    skc_state required "sock_common" "skc_state";
    skc_family required "sock_common" "skc_family";
    skc_daddr required "sock_common" "skc_daddr";
    skc_rcv_saddr required "sock_common" "skc_rcv_saddr";
    skc_num required "sock_common" "skc_num";
    skc_net required "sock_common" "skc_net.net";
    inet_sport required "inet_sock" "inet_sport";
    sk_socket optional "sock" "sk_socket";
    linger2 optional "tcp_sock" "linger2";
    sk_uid optional "sock" "sk_uid.val";
    sk_cgroup optional "sock" "sk_cgrp_data.cgroup";
    cgroup_kn optional "cgroup" "kn";
    kernfs_id optional "kernfs_node" "id";
    net_inum optional "net" "ns.inum";
    net_cookie optional "net" "net_cookie";
    skb_head required "sk_buff" "head";
    skb_network_header required "sk_buff" "network_header";
    skc_v6_daddr optional "sock_common" "skc_v6_daddr";
    skc_v6_rcv_saddr optional "sock_common" "skc_v6_rcv_saddr";
    is_mptcp optional "tcp_sock" "is_mptcp";
    // Before 5.15 it shares its place with the marks of net_cls and net_prio.
    sk_cgroup_val optional "sock" "sk_cgrp_data.val";
    snd_nxt optional "tcp_sock" "snd_nxt";
    rcv_nxt optional "tcp_sock" "rcv_nxt";
    // The others.
    sk_ack_backlog optional "sock" "sk_ack_backlog";
    sk_max_ack_backlog optional "sock" "sk_max_ack_backlog";
    request_queue_len optional "inet_connection_sock" "icsk_accept_queue.qlen.counter";
    tw_substate optional "inet_timewait_sock" "tw_substate";
    tw_snd_nxt optional "tcp_timewait_sock" "tw_snd_nxt";
    tw_rcv_nxt optional "tcp_timewait_sock" "tw_rcv_nxt";
    skc_reuseport optional "sock_common" "skc_reuseport";
    skc_bound_dev_if optional "sock_common" "skc_bound_dev_if";
    skc_listener optional "sock_common" "skc_listener";
    cgroup_root optional "cgroup" "root";
    cgroup_root_hierarchy optional "cgroup_root" "hierarchy_id";
    skb_tail optional "sk_buff" "tail";
    skb_dev required "sk_buff" "dev";
    skb_sk optional "sk_buff" "sk";
    skb_dst optional "sk_buff" "_skb_refdst";
    dst_dev optional "dst_entry" "dev";
    rt_type optional "rtable" "rt_type";
    rt6_flags optional "rt6_info" "rt6i_flags";
    dev_net required "net_device" "nd_net.net";
    nsproxy_net optional "nsproxy" "net_ns";
    task_pid optional "task_struct" "thread_pid";
    pid_level optional "pid" "level";
    // x86-64: where a function finds its first three arguments.
    regs_arg0 optional "pt_regs" "di";
    regs_arg1 optional "pt_regs" "si";
    regs_arg2 optional "pt_regs" "dx";
    regs_return optional "pt_regs" "ax";
    // At a function's entry: where it lies, and the address that it returns to.
    regs_ip optional "pt_regs" "ip";
    regs_sp optional "pt_regs" "sp";
}

/// The global `LAYOUT` of the object.
/// Its first 64 bytes are what is read with each connection.
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct KernelLayout {
    /// 1 where the owners of sockets are to be remembered.
    pub socket_owner: u32,
    /// How far a hash of 64 bits is shifted to give a bucket of the map `SOCKETS`.
    pub socket_shift: u32,
    /// 1 where the helper `bpf_get_current_task_btf` is there (5.11).
    pub task_btf: u32,
    pub offsets: Offsets,
    /// 1 where the tracepoint `tcp_send_reset` has its third argument, the reason (6.10).
    pub tracepoint_reason: u32,
    /// Position of `reason` in `tcp_send_active_reset`; 0 where it has none.
    pub active_reason_arg: u32,
    /// Position of `reason` in `tcp_v4_send_reset` and `tcp_v6_send_reset`; 0 where none.
    pub passive_reason_arg: u32,
    /// Bytes of stack to take for a [`crate::wire::Event`].
    pub stack_bytes: u32,
    /// Resets a second and CPU whose stacks are walked whole.
    pub full_stacks: u32,
    /// Resets without a socket a second and CPU that are written one by one; 0 for all.
    pub storm_rate: u32,
    /// The same for the map `FLOWS`.
    pub flow_shift: u32,
    /// A random number of which the hash of a flow depends.
    pub seed_high: u32,
    pub seed_low: u32,
    /// Position of what `inet_csk_accept` returns, behind its arguments.
    pub accept_return: u32,
    /// Inode of the network namespace that is the host's; 0 unknown.
    pub host_netns: u32,
    /// Only resets of these namespaces (inodes) and with these ports at either end; 0 is none,
    /// and a list of none lets everything pass.
    pub only_netns: [u32; MAX_FILTERS],
    pub only_ports: [u32; MAX_FILTERS],
}

/// Values that a filter takes.
pub const MAX_FILTERS: usize = 8;

impl KernelLayout {
    /// What the object is built with; the recorder replaces it.
    pub const UNSET: Self = Self {
        offsets: Offsets::NONE,
        tracepoint_reason: 0,
        active_reason_arg: 0,
        passive_reason_arg: 0,
        task_btf: 0,
        stack_bytes: 8,
        full_stacks: 0,
        storm_rate: 0,
        socket_owner: 0,
        socket_shift: 63,
        flow_shift: 63,
        seed_high: 0,
        seed_low: 0,
        accept_return: 0,
        host_netns: 0,
        only_netns: [0; MAX_FILTERS],
        only_ports: [0; MAX_FILTERS],
    };
}
