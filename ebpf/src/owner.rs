//! Who owns a socket: the process that connected, accepted or listened, remembered from that
//! moment until the socket dies, and for TIME_WAIT a minute longer.

use aya_ebpf::helpers::generated::bpf_get_current_comm;
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
};
use tcprst_schema::wire::{
    Act, Actor, FROM_NOTHING, FROM_SOCKET, FROM_TIMEWAIT, FlowKey, Gone, ListenKey,
};

use crate::kernel::{Address, layout, read};
use crate::maps::{JUST_DEAD, LISTENERS, OWNERS, TIMEWAIT};
use crate::sock::{self, AF_INET, AF_INET6, Address16, Flow};

/// What is known of a socket's owner.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// Where it is from: `FROM_SOCKET` and similar values.
    pub(crate) from: u8,
    pub(crate) uid: u32,
    pub(crate) cgroup_id: u64,
    pub(crate) actor: Actor,
}

const NOBODY: Actor =
    Actor { tgid: 0, tid: 0, uid: 0, gid: 0, mntns_inum: 0, act: 0, comm: [0; 16] };

impl Owner {
    pub(crate) const NONE: Self =
        Self { from: FROM_NOTHING, uid: u32::MAX, cgroup_id: 0, actor: NOBODY };

    /// That of a whole socket.
    #[inline(always)]
    pub(crate) fn of_socket(sk: Address) -> Self {
        // SAFETY: copied at once. Every socket's life begins with an entry made or taken
        // away, and ends with it taken away: one of another socket at that address is not met.
        let actor = unsafe { OWNERS.get(sk) }.copied().unwrap_or_else(|| just_dead(sk));
        let (uid, cgroup_id) = sock::owner(sk);
        Self { from: FROM_SOCKET, uid, cgroup_id, actor }
    }

    /// That of the socket which the TIME_WAIT socket of this flow stands for.
    #[inline(always)]
    pub(crate) fn of_timewait(net: Address, flow: &Flow) -> Self {
        // SAFETY: copied at once. An entry that gave way to another is another flow's.
        match unsafe { TIMEWAIT.get(flow_key(net, flow)) } {
            Some(gone) => Self {
                from: FROM_TIMEWAIT,
                uid: gone.uid,
                cgroup_id: gone.cgroup_id,
                actor: gone.actor,
            },
            None => Self::NONE,
        }
    }
}

/// What tells a network namespace from others: its cookie, or before 5.12 its inode, which other
/// namespaces may bear later.
#[inline(always)]
fn namespace(net: Address) -> u64 {
    match read::<u64>(net, layout!(offsets.net_cookie)) {
        Some(cookie) if cookie != 0 => cookie,
        _ => u64::from(read::<u32>(net, layout!(offsets.net_inum)).unwrap_or(0)),
    }
}

#[inline(always)]
fn flow_key(net: Address, flow: &Flow) -> FlowKey {
    let flow = flow.as_on_the_wire();
    FlowKey {
        netns: namespace(net),
        src_addr: flow.src_addr,
        dst_addr: flow.dst_addr,
        src_port: flow.src_port,
        dst_port: flow.dst_port,
        padding: 0,
    }
}

/// The key of a listener, and of a new connection's socket before it has its own addresses.
#[inline(always)]
fn listen_key(sk: Address) -> ListenKey {
    let family: u16 = read(sk, layout!(offsets.skc_family)).unwrap_or(0);
    let addr: Address16 = if family as u8 == AF_INET6 {
        read(sk, layout!(offsets.skc_v6_rcv_saddr)).unwrap_or([0; 2])
    } else {
        sock::ipv4(read(sk, layout!(offsets.skc_rcv_saddr)).unwrap_or(0))
    };
    let port = u16::from_be(read(sk, layout!(offsets.inet_sport)).unwrap_or(0));
    let device = read(sk, layout!(offsets.skc_bound_dev_if)).unwrap_or(0);
    ListenKey { netns: namespace(sock::net(sk)), addr, port, family, device }
}

/// The running task as the owner of what it does now; none where it is a thread of the kernel
/// (Multipath TCP's worker connects for somebody else).
#[inline(always)]
fn current(act: Act) -> Option<Actor> {
    /// include/linux/sched.h.
    const PF_KTHREAD: u32 = 0x0020_0000;
    // SAFETY: no arguments, always allowed.
    let task: Address = unsafe { bpf_get_current_task() };
    if read::<u32>(task, layout!(offsets.task_flags)).unwrap_or(0) & PF_KTHREAD != 0 {
        return None;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    let mut actor = Actor {
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        mntns_inum: mount_namespace(task),
        act: act as u32,
        comm: [0; 16],
    };
    // SAFETY: the buffer is as large as said; zeros where it fails.
    unsafe { bpf_get_current_comm((&raw mut actor.comm).cast(), 16) };
    Some(actor)
}

/// Inode of a task's mount namespace; 0 unknown.
#[inline(always)]
pub(crate) fn mount_namespace(task: Address) -> u32 {
    let namespaces: Address = read(task, layout!(offsets.task_nsproxy)).unwrap_or(0);
    let mounts: Address = read(namespaces, layout!(offsets.nsproxy_mnt_ns)).unwrap_or(0);
    read(mounts, layout!(offsets.mnt_ns_inum)).unwrap_or(0)
}

/// The running task connects, listens or accepts.
#[inline(always)]
pub(crate) fn remember(sk: Address, act: Act) {
    match current(act) {
        // Cannot fail for want of room: the entry that was used least recently gives way.
        Some(actor) => drop(OWNERS.insert(sk, actor, 0)),
        None => forget(sk),
    }
}

#[inline(always)]
fn forget(sk: Address) {
    // An error means that it was not known.
    let _ = OWNERS.remove(sk);
}

/// The socket dies. Data for a socket that nobody holds any more (tcp_rcv_state_process) is
/// answered by a reset only after that, in the same call and so on the same CPU.
#[inline(always)]
pub(crate) fn die(sk: Address) {
    // SAFETY: copied at once.
    let Some(actor) = unsafe { OWNERS.get(sk) }.copied() else {
        // Nor is it known by what another socket at its address has left here.
        if let Some(dead) = JUST_DEAD.get_ptr_mut(0) {
            // SAFETY: the entry of this CPU.
            unsafe { (*dead).sk = 0 };
        }
        return;
    };
    if let Some(dead) = JUST_DEAD.get_ptr_mut(0) {
        // SAFETY: the entry of this CPU; the helper takes no argument.
        unsafe { dead.write(Dead { sk, boot_ns: bpf_ktime_get_boot_ns(), actor }) };
    }
    forget(sk);
}

/// The owner of a socket that died just now on this CPU.
#[inline(always)]
fn just_dead(sk: Address) -> Actor {
    /// From `tcp_done` to `tcp_v4_send_reset` it is a few hundred instructions, but an interrupt, or
    /// on a virtual machine other guests, may come in between: 1 ms was not enough once on a busy
    /// one. Whatever dies here meanwhile, known or not, takes the entry's place.
    const DEATH_MEMORY_NS: u64 = 100_000_000;
    match JUST_DEAD.get(0) {
        Some(dead)
            if dead.sk == sk
                && sock::state(sk) == sock::TCP_CLOSE
                // SAFETY: no arguments, always allowed.
                && unsafe { bpf_ktime_get_boot_ns() } - dead.boot_ns < DEATH_MEMORY_NS =>
        {
            dead.actor
        }
        _ => NOBODY,
    }
}

/// The last socket that died on a CPU.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Dead {
    sk: Address,
    boot_ns: u64,
    actor: Actor,
}

/// The running task's socket begins to listen.
#[inline(never)]
fn listen(sk: Address) {
    remember(sk, Act::Listen);
    if let Some(actor) = current(Act::Listen) {
        let _ = LISTENERS.insert(listen_key(sk), actor, 0);
    }
}

/// The socket of a new connection, in the interrupt that made it: until somebody accepts it, it
/// is owned by whoever listens. Its addresses are still those of the listener it was cloned from.
/// With SO_REUSEPORT connections of a port go to several listeners, perhaps of several processes,
/// and which one is not to be seen from the connection: nobody is named.
#[inline(never)]
fn inherit(sk: Address) {
    /// Fifth bit, behind the four of `skc_reuse` (include/net/sock.h, little-endian).
    const REUSEPORT: u8 = 1 << 4;
    let shares = read::<u8>(sk, layout!(offsets.skc_reuseport)).is_none_or(|b| b & REUSEPORT != 0);
    // SAFETY: copied at once.
    match unsafe { LISTENERS.get(listen_key(sk)) } {
        Some(actor) if !shares => drop(OWNERS.insert(sk, actor, 0)),
        _ => forget(sk),
    }
}

/// The socket goes and leaves a TIME_WAIT socket behind, which has no owner of its own.
#[inline(never)]
fn leave(sk: Address) {
    let flow = sock::flow(sk, true);
    let owner = Owner::of_socket(sk);
    let gone = Gone { cgroup_id: owner.cgroup_id, uid: owner.uid, padding: 0, actor: owner.actor };
    let _ = TIMEWAIT.insert(flow_key(sock::net(sk), &flow), gone, 0);
}

/// Follows a socket from state to state.
#[inline(always)]
pub(crate) fn follow(sk: Address, from: i32, to: i32) {
    /// include/net/tcp_states.h.
    const SYN_SENT: i32 = 2;
    const SYN_RECV: i32 = 3;
    const FIN_WAIT2: i32 = 5;
    const CLOSE: i32 = 7;
    const LISTEN: i32 = 10;
    const CLOSING: i32 = 11;
    const TCP: u16 = 6;
    // The sockets of SCTP and Multipath TCP change their states too, and die unseen.
    let is_tcp = || read::<u16>(sk, layout!(offsets.sk_protocol)) == Some(TCP);
    match (from, to) {
        (_, SYN_SENT) if is_tcp() => remember(sk, Act::Connect),
        (_, LISTEN) if is_tcp() => listen(sk),
        (LISTEN, SYN_RECV) => inherit(sk),
        (LISTEN, CLOSE) if is_tcp() => drop(LISTENERS.remove(listen_key(sk))),
        (FIN_WAIT2 | CLOSING, CLOSE) if is_tcp() => leave(sk),
        _ => {}
    }
}

impl Flow {
    /// An IPv4 peer of an IPv6 socket is IPv4 on the wire (RFC 4291, 2.5.5.2).
    #[inline(always)]
    fn as_on_the_wire(&self) -> Self {
        /// The first twelve bytes of such an address; the target is little-endian.
        const MAPPED: u64 = 0xffff_0000;
        const LOW: u64 = 0xffff_ffff;
        let mut flow = *self;
        if flow.family == AF_INET6 && flow.dst_addr[0] == 0 && flow.dst_addr[1] & LOW == MAPPED {
            flow.family = AF_INET;
            flow.src_addr = [flow.src_addr[1] >> 32, 0];
            flow.dst_addr = [flow.dst_addr[1] >> 32, 0];
        }
        flow
    }
}
