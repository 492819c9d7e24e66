//! Which process a socket belongs to: a table of slots by the socket's address.
//!
//! Each socket's life begins with a write to its slot: by connect(), by listen(), or, for the
//! socket of a new connection, in the interrupt that made it. So nothing is deleted when a socket
//! dies, and the owner of one that has just died is still there. Two sockets in one bucket may push
//! a third out: then its owner is unknown, never another's, because a slot names its socket.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::generated::bpf_get_current_comm;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use aya_ebpf::macros::btf_map;
use core::ptr;
use tcprst_schema::wire::{Act, Actor};

use crate::kernel::{Address, Memory, Probed, layout};
use crate::listeners::{self, Birth};
use crate::task::Task;

/// The processes that sockets belong to (`--socket-owner`): [`crate::sockets`].
#[btf_map]
static SOCKETS: Array<Bucket, 2> = Array::new();

pub(crate) const NOBODY: Actor =
    Actor { tgid: 0, tid: 0, uid: 0, gid: 0, mntns_inum: 0, act: 0, comm: [0; 16] };

/// `act` of a connection that nobody accepted yet, or whose accept() is not seen.
const CHILD: u32 = 0x100;

/// Two slots: the table loses a socket only where three have one bucket.
const WAYS: usize = 2;

/// 2^64 divided by the golden ratio: sockets of one slab differ in few bits.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Slot {
    /// The socket's address, mixed with the numbers below: where two CPUs write one slot at once,
    /// the mixture belongs to no socket.
    check: u64,
    actor: Actor,
    /// Of a child: how often listeners had come and gone when it was made.
    generation: u32,
    /// Of others: the peer's port, as in the socket.
    port: u16,
    padding: [u16; 5],
}

/// The slots of the sockets whose addresses have one hash.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Bucket {
    slots: [Slot; WAYS],
}

const _: () = assert!(size_of::<Slot>() == 64);

#[inline(always)]
fn check(sk: Address, tgid: u32, tid: u32, generation: u32, port: u16) -> u64 {
    let who = u64::from(tgid) << 32 | u64::from(tid);
    let when = u64::from(generation) << 16 | u64::from(port);
    sk ^ (who ^ when.rotate_left(40)).wrapping_mul(GOLDEN)
}

impl Slot {
    #[inline(always)]
    fn is_of(&self, sk: Address) -> bool {
        self.check == check(sk, self.actor.tgid, self.actor.tid, self.generation, self.port)
    }
}

#[inline(always)]
fn bucket(sk: Address) -> Option<*mut Bucket> {
    let hash = sk.wrapping_mul(GOLDEN);
    SOCKETS.get_ptr_mut((hash >> layout!(socket_shift)) as u32)
}

/// The slot that a socket has, or may take.
#[inline(always)]
fn place(sk: Address) -> Option<*mut Slot> {
    let bucket = bucket(sk)?;
    // SAFETY: a bucket of the map, there as long as the map; other CPUs may write it meanwhile,
    // which `check` finds out.
    unsafe {
        let first = &raw mut (*bucket).slots[0];
        let second = &raw mut (*bucket).slots[1];
        if (*first).is_of(sk) {
            return Some(first);
        }
        if (*second).is_of(sk) || (*second).check == 0 {
            return Some(second);
        }
        // Which of the two is used no more is not known. A bit that the index does not depend on.
        let is_first = (*first).check == 0 || (sk >> 12) & 1 == 0;
        Some(if is_first { first } else { second })
    }
}

/// The running task owns the socket from now on; nobody does where it is a thread of the kernel.
/// `id` is the socket's address as a number, which the verifier allows arithmetic with.
#[inline(always)]
pub(crate) fn remember<M: Memory>(sk: Address, id: Address, act: Act) {
    let Some(slot) = place(id) else {
        return;
    };
    let port = M::get::<u16>(sk, layout!(offsets.skc_dport));
    // SAFETY: as in `place`. First no check, then what it is about, then the check. Written in
    // place, because copies of it are a good part of the time.
    unsafe {
        ptr::write_volatile(&raw mut (*slot).check, 0);
        fill(&raw mut (*slot).actor, act);
        (*slot).generation = 0;
        (*slot).port = port;
        let check = check(id, (*slot).actor.tgid, (*slot).actor.tid, 0, port);
        ptr::write_volatile(&raw mut (*slot).check, check);
    }
}

/// The socket of a new connection, in the interrupt that made it: `id` is its address.
#[inline(always)]
pub(crate) fn be_born(id: Address) {
    let Some(slot) = place(id) else {
        return;
    };
    let generation = listeners::generation();
    // SAFETY: as in `remember`.
    unsafe {
        ptr::write_volatile(&raw mut (*slot).check, 0);
        (*slot).actor.tgid = 0;
        (*slot).actor.tid = 0;
        (*slot).actor.act = CHILD;
        (*slot).generation = generation;
        (*slot).port = 0;
        ptr::write_volatile(&raw mut (*slot).check, check(id, 0, 0, generation, 0));
    }
}

/// Writes the process that a whole socket belongs to: who connected, accepted or listened, or for a
/// connection that nobody accepted who listens there. `uid` and `cgroup_id` are the socket's.
///
/// Into a map's memory, of which the verifier keeps no account: with the result on the stack it went
/// through all that follows once for each way in which the result comes about.
///
/// # Safety
/// `actor` points to one in a map that may be written.
#[inline(always)]
pub(crate) unsafe fn owner(sk: Address, uid: u32, cgroup_id: u64, actor: *mut Actor) {
    // SAFETY: the caller's promise, and as in `place`.
    unsafe {
        *actor = NOBODY;
        let Some(bucket) = bucket(sk) else {
            return;
        };
        let first = &raw const (*bucket).slots[0];
        let second = &raw const (*bucket).slots[1];
        let slot = if (*first).is_of(sk) {
            first
        } else if (*second).is_of(sk) {
            second
        } else {
            return;
        };
        *actor = (*slot).actor;
        let (generation, port) = ((*slot).generation, (*slot).port);
        // Another CPU may have taken the slot while it was read.
        let expected = check(sk, (*actor).tgid, (*actor).tid, generation, port);
        let is_child = (*actor).act == CHILD;
        if ptr::read_volatile(&raw const (*slot).check) != expected || is_child {
            *actor = NOBODY;
            if is_child {
                listeners::owner(sk, &Birth { generation, uid, cgroup_id }, actor);
            }
            return;
        }
        // Should the kernel have skipped our program when a life began: the socket then has another
        // peer than the slot says.
        if Probed::read::<u16>(sk, layout!(offsets.skc_dport)) != Some(port) {
            *actor = NOBODY;
        }
    }
}

/// Writes the running task as the owner of what it does now; nobody where it is a thread of the
/// kernel (Multipath TCP's worker connects for somebody else).
///
/// # Safety
/// `actor` points to one that may be written.
#[inline(always)]
pub(crate) unsafe fn fill(actor: *mut Actor, act: Act) {
    let task = Task::current();
    if task.is_kernel_thread() {
        // SAFETY: the caller's promise.
        unsafe { *actor = NOBODY };
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    // SAFETY: the caller's promise; the buffer is as large as said, all zero where it fails.
    unsafe {
        (*actor).tgid = (pid_tgid >> 32) as u32;
        (*actor).tid = pid_tgid as u32;
        (*actor).uid = uid_gid as u32;
        (*actor).gid = (uid_gid >> 32) as u32;
        (*actor).mntns_inum = task.mntns_inum;
        (*actor).act = act as u32;
        bpf_get_current_comm((&raw mut (*actor).comm).cast(), 16);
    }
}
