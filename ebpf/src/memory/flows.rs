//! What this host remembers of a connection when its socket is gone, by namespace and both ends: who
//! had it, and how it ended, if that was not an orderly close.
//!
//! An orderly close leaves nothing here: a RST for a TIME_WAIT socket is only sent while that waits
//! in FIN_WAIT2 (`tcp_timewait_state_process`). Two flows in one bucket may push a third out: then
//! nothing is known of it. A slot names its flow by a hash of 64 bits with a secret seed, and a later
//! connection of the same ends by its sequence numbers.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_map;
use core::ptr;
use tcprst_schema::wire::{Actor, EventHeader, FROM_FLOW, Past};

use crate::kernel::{Address, Probed, layout};
use crate::packet::Segment;
use crate::sock::{self, Flow, Numbers};
use crate::sockets::{self, GOLDEN};

/// What is remembered of flows whose sockets are gone: [`crate::flows`].
#[btf_map]
static FLOWS: Array<Bucket, 2> = Array::new();

const WAYS: usize = 2;

/// Two cache lines.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Slot {
    /// Hash of the flow, mixed with the time and the owner's process, so that a mixture of what two
    /// CPUs write at once belongs to no flow: see [`crate::sockets`].
    check: u64,
    /// When it ended, nanoseconds since boot.
    when: u64,
    cgroup_id: u64,
    /// The reset that ended it, of [`Past::Reset`].
    seq: u64,
    cpu: u32,
    /// [`Past`].
    past: u32,
    /// The next sequence numbers of both sides.
    numbers: Numbers,
    uid: u32,
    padding: u32,
    actor: Actor,
    rest: [u64; 4],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Bucket {
    slots: [Slot; WAYS],
}

const _: () = assert!(size_of::<Slot>() == 128);

/// A reset that the kernel sends twice for one end has its entry already.
const SAME_END_NS: u64 = 1_000_000_000;

/// A whole socket ends in a way that its peer may not know of.
#[inline(never)]
pub(crate) fn leave(sk: Address, past: u32) {
    let hash = hash(sock::net::<Probed>(sk), &sock::flow(sk, true));
    let (uid, cgroup_id) = sock::owner(sk);
    let Some(slot) = place(hash) else {
        return;
    };
    // SAFETY: no arguments, always allowed.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: a slot of the map, there as long as the map; other CPUs may write it meanwhile,
    // which `check` finds out.
    unsafe {
        // The kernel has reset it, and goes on to end it.
        if is_of(&*slot, hash)
            && (*slot).past == Past::Reset as u32
            && now.wrapping_sub((*slot).when) < SAME_END_NS
        {
            return;
        }
        ptr::write_volatile(&raw mut (*slot).check, 0);
        (*slot).when = now;
        (*slot).cgroup_id = cgroup_id;
        (*slot).seq = 0;
        (*slot).cpu = 0;
        (*slot).past = past;
        (*slot).numbers = Numbers::of_socket(sk);
        (*slot).uid = uid;
        sockets::owner(sk, uid, cgroup_id, &raw mut (*slot).actor);
        let check = check(hash, &*slot);
        ptr::write_volatile(&raw mut (*slot).check, check);
    }
}

/// The event resets a connection: what comes for that from now on is what follows from it.
///
/// # Safety
/// `event` points to a whole header in a map, with flow and owner.
#[inline(never)]
pub(crate) unsafe fn reset(net: Address, numbers: &Numbers, event: *mut EventHeader) {
    // SAFETY: the caller's promise, and as in `leave`.
    unsafe {
        let hash = hash(net, &sock::flow_of(event));
        let Some(slot) = place(hash) else {
            return;
        };
        ptr::write_volatile(&raw mut (*slot).check, 0);
        (*slot).when = (*event).boot_ns;
        (*slot).cgroup_id = (*event).socket_cgroup_id;
        (*slot).seq = (*event).seq;
        (*slot).cpu = (*event).cpu;
        (*slot).past = Past::Reset as u32;
        (*slot).numbers = *numbers;
        (*slot).uid = (*event).socket_uid;
        (*slot).actor = (*event).socket;
        let check = check(hash, &*slot);
        ptr::write_volatile(&raw mut (*slot).check, check);
    }
}

/// Writes what is remembered of the event's flow, and returns its sequence numbers. `segment` is what
/// came for it: one of another connection between the same ends finds nothing.
///
/// # Safety
/// `event` points to a whole header in a map, with its flow.
#[inline(never)]
pub(crate) unsafe fn recall(net: Address, segment: &Segment, event: *mut EventHeader) -> u64 {
    // SAFETY: the caller's promise, and as in `leave`.
    unsafe {
        let hash = hash(net, &sock::flow_of(event));
        let Some(slot) = find(hash) else {
            return 0;
        };
        let (check, numbers) = ((*slot).check, (*slot).numbers);
        if !numbers.is_near(segment) {
            return 0;
        }
        (*event).past = (*slot).past as u8;
        (*event).past_ns = (*slot).when;
        (*event).past_seq = (*slot).seq;
        (*event).past_cpu = (*slot).cpu;
        (*event).owner_from = FROM_FLOW;
        (*event).socket_uid = (*slot).uid;
        (*event).socket_cgroup_id = (*slot).cgroup_id;
        (*event).socket = (*slot).actor;
        // Another CPU may have taken the slot while it was read.
        if ptr::read_volatile(&raw const (*slot).check) != check || !is_of(&*slot, hash) {
            crate::owner::nobody(event);
            (*event).past = 0;
            return 0;
        }
        numbers.word()
    }
}

/// What is remembered of a flow, in one number of [`Past`], for a reset that is only counted.
#[inline(always)]
pub(crate) fn past(net: Address, segment: &Segment) -> u8 {
    let Some(slot) = find(hash(net, &segment.flow)) else {
        return 0;
    };
    // SAFETY: as in `leave`.
    unsafe {
        let numbers = (*slot).numbers;
        if numbers.is_near(segment) { (*slot).past as u8 } else { 0 }
    }
}

/// The slots that a flow may have.
#[inline(always)]
fn slots(hash: u64) -> Option<[*mut Slot; WAYS]> {
    let bucket = FLOWS.get_ptr_mut((hash >> layout!(flow_shift)) as u32)?;
    // SAFETY: a bucket of the map, there as long as the map.
    Some(unsafe { [&raw mut (*bucket).slots[0], &raw mut (*bucket).slots[1]] })
}

/// The slot that a flow has.
#[inline(always)]
fn find(hash: u64) -> Option<*mut Slot> {
    let [first, second] = slots(hash)?;
    // SAFETY: as in `leave`.
    unsafe {
        if is_of(&*first, hash) {
            Some(first)
        } else if is_of(&*second, hash) {
            Some(second)
        } else {
            None
        }
    }
}

/// The slot that a flow has, or may take: the older one.
#[inline(always)]
fn place(hash: u64) -> Option<*mut Slot> {
    let [first, second] = slots(hash)?;
    // SAFETY: as in `leave`.
    unsafe {
        let is_first =
            is_of(&*first, hash) || !is_of(&*second, hash) && (*first).when <= (*second).when;
        Some(if is_first { first } else { second })
    }
}

#[inline(always)]
fn check(hash: u64, slot: &Slot) -> u64 {
    let who = u64::from(slot.actor.tgid) << 32 | u64::from(slot.actor.tid);
    hash ^ (who ^ slot.when.rotate_left(20)).wrapping_mul(GOLDEN)
}

#[inline(always)]
fn is_of(slot: &Slot, hash: u64) -> bool {
    slot.check == check(hash, slot)
}

/// Of namespace and both ends as on a RST from here.
#[inline(always)]
fn hash(net: Address, flow: &Flow) -> u64 {
    let flow = flow.as_on_the_wire();
    let ports = u64::from(flow.src_port) << 16 | u64::from(flow.dst_port);
    let mut hash = u64::from(layout!(seed_high)) << 32 | u64::from(layout!(seed_low));
    for word in [
        sock::namespace(net),
        flow.src_addr[0],
        flow.src_addr[1],
        flow.dst_addr[0],
        flow.dst_addr[1],
        ports,
    ] {
        hash = (hash ^ word).wrapping_mul(GOLDEN);
        hash ^= hash >> 29;
    }
    hash.wrapping_mul(GOLDEN)
}
