//! What the kernel half must know of the running kernel: offsets of structure members and
//! positions of arguments. The recorder finds them by name in the kernel's BTF and sets them
//! as one read-only global before the programs are loaded, so that one object serves every
//! kernel.

use zerocopy::{Immutable, IntoBytes};

use crate::wire::NO_REASON;

/// Offset of a member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Number of a reason that the running kernel does not have. No event bears it, and it is not
/// [`NO_REASON`]: an event without a reason must not be taken for one with this.
pub const NO_SUCH_REASON: u32 = i32::MIN.cast_unsigned();
const _: () = assert!(NO_SUCH_REASON != NO_REASON.cast_unsigned());

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
    skc_family required "sock_common" "skc_family";
    skc_state required "sock_common" "skc_state";
    skc_daddr required "sock_common" "skc_daddr";
    skc_rcv_saddr required "sock_common" "skc_rcv_saddr";
    skc_dport required "sock_common" "skc_dport";
    skc_num required "sock_common" "skc_num";
    skc_net required "sock_common" "skc_net.net";
    skc_v6_daddr optional "sock_common" "skc_v6_daddr";
    skc_v6_rcv_saddr optional "sock_common" "skc_v6_rcv_saddr";
    inet_sport required "inet_sock" "inet_sport";
    sk_socket optional "sock" "sk_socket";
    linger2 optional "tcp_sock" "linger2";
    sk_uid optional "sock" "sk_uid.val";
    sk_protocol optional "sock" "sk_protocol";
    skc_reuseport optional "sock_common" "skc_reuseport";
    skc_bound_dev_if optional "sock_common" "skc_bound_dev_if";
    skc_listener optional "sock_common" "skc_listener";
    sk_cgroup optional "sock" "sk_cgrp_data.cgroup";
    // Before 5.15 it shares its place with the marks of net_cls and net_prio.
    sk_cgroup_val optional "sock" "sk_cgrp_data.val";
    cgroup_kn optional "cgroup" "kn";
    kernfs_id optional "kernfs_node" "id";
    cgroup_root optional "cgroup" "root";
    cgroup_root_hierarchy optional "cgroup_root" "hierarchy_id";
    net_inum optional "net" "ns.inum";
    net_cookie optional "net" "net_cookie";
    skb_head required "sk_buff" "head";
    skb_network_header required "sk_buff" "network_header";
    skb_tail optional "sk_buff" "tail";
    skb_dev required "sk_buff" "dev";
    skb_sk optional "sk_buff" "sk";
    skb_dst optional "sk_buff" "_skb_refdst";
    dst_dev optional "dst_entry" "dev";
    rt_type optional "rtable" "rt_type";
    rt6_flags optional "rt6_info" "rt6i_flags";
    dev_net required "net_device" "nd_net.net";
    task_nsproxy optional "task_struct" "nsproxy";
    nsproxy_mnt_ns optional "nsproxy" "mnt_ns";
    nsproxy_net optional "nsproxy" "net_ns";
    task_flags optional "task_struct" "flags";
    task_pid optional "task_struct" "thread_pid";
    pid_level optional "pid" "level";
    mnt_ns_inum optional "mnt_namespace" "ns.inum";
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
#[derive(Clone, Copy, Debug, Immutable, IntoBytes)]
#[repr(C)]
pub struct KernelLayout {
    pub offsets: Offsets,
    /// 1 where the tracepoint `tcp_send_reset` has its third argument, the reason (6.10).
    pub tracepoint_reason: u32,
    /// Position of `reason` in `tcp_send_active_reset`; 0 where it has none.
    pub active_reason_arg: u32,
    /// Position of `reason` in `tcp_v4_send_reset` and `tcp_v6_send_reset`; 0 where none.
    pub passive_reason_arg: u32,
    /// Number of the reason `NO_SOCKET`, which proves its caller; [`NO_SUCH_REASON`] where none.
    pub no_socket_reason: u32,
    /// Bytes of stack to take for a [`crate::wire::LongEvent`].
    pub stack_bytes: u32,
    /// Wake the reader when this many bytes wait in a ring.
    pub wake_bytes: u32,
    /// 1 where the owners of sockets are to be remembered.
    pub socket_owner: u32,
    /// Position of what `inet_csk_accept` returns, behind its arguments.
    pub accept_return: u32,
    /// Inode of the network namespace that is the host's; 0 unknown.
    pub host_netns: u32,
    /// Resets without a socket that become an event, a second and CPU; the others are counted under
    /// a [`crate::wire::StormKey`]. 0 counts none: each becomes an event.
    pub storm_rate: u32,
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
        no_socket_reason: NO_SUCH_REASON,
        stack_bytes: 8,
        wake_bytes: 0,
        socket_owner: 0,
        accept_return: 0,
        host_netns: 0,
        storm_rate: 0,
        only_netns: [0; MAX_FILTERS],
        only_ports: [0; MAX_FILTERS],
    };
}
