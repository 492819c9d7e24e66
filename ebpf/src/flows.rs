//! What is remembered of a connection when its socket is gone, by namespace and both ends.
//!
//! A RST for a TIME_WAIT socket is only sent while that waits in FIN_WAIT2
//! (`tcp_timewait_state_process`), so that an orderly close leaves nothing here. Two flows in one
//! bucket may push a third out: then its owner is unknown. A slot names its flow by a hash of 64
//! bits with a secret seed.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use core::ptr;
use tcprst_schema::wire::Actor;

use crate::kernel::{Address, Probed, layout};
use crate::sock::{self, Flow};
use crate::sockets::{self, GOLDEN};

/// What is remembered of flows whose sockets are gone: [`crate::flows`].
#[btf_map]
static FLOWS: Array<Bucket, 2> = Array::new();

const WAYS: usize = 2;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Slot {
    /// Hash of the flow, mixed with its owner's process: see [`crate::sockets`].
    check: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) uid: u32,
    padding: u32,
    pub(crate) actor: Actor,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Bucket {
    slots: [Slot; WAYS],
}

const _: () = assert!(size_of::<Slot>() == 64);

/// A TIME_WAIT socket that waits in FIN_WAIT2 takes the place of a whole one.
#[inline(never)]
pub(crate) fn leave(sk: Address) {
    let hash = hash(sock::net::<Probed>(sk), &sock::flow(sk, true));
    let (uid, cgroup_id) = sock::owner(sk);
    let Some(bucket) = FLOWS.get_ptr_mut((hash >> layout!(flow_shift)) as u32) else {
        return;
    };
    // SAFETY: a bucket of the map, there as long as the map; other CPUs may write it meanwhile,
    // which `check` finds out.
    unsafe {
        let first = &raw mut (*bucket).slots[0];
        let second = &raw mut (*bucket).slots[1];
        let is_first = is_of(&*first, hash)
            || !is_of(&*second, hash) && ((*first).check == 0 || hash & 1 == 0);
        let slot = if is_first { first } else { second };
        ptr::write_volatile(&raw mut (*slot).check, 0);
        (*slot).cgroup_id = cgroup_id;
        (*slot).uid = uid;
        sockets::owner(sk, uid, cgroup_id, &raw mut (*slot).actor);
        let check = check(hash, &(*slot).actor);
        ptr::write_volatile(&raw mut (*slot).check, check);
    }
}

/// What is remembered of a flow that left.
#[inline(always)]
pub(crate) fn left(net: Address, flow: &Flow) -> Option<Slot> {
    let hash = hash(net, flow);
    let bucket = FLOWS.get_ptr_mut((hash >> layout!(flow_shift)) as u32)?;
    // SAFETY: as in `leave`.
    let slot = unsafe {
        match (is_of(&(*bucket).slots[0], hash), is_of(&(*bucket).slots[1], hash)) {
            (true, _) => &raw const (*bucket).slots[0],
            (_, true) => &raw const (*bucket).slots[1],
            _ => return None,
        }
    };
    // SAFETY: as in `leave`.
    let copy = unsafe { ptr::read_volatile(slot) };
    // SAFETY: as in `leave`.
    let again = unsafe { ptr::read_volatile(&raw const (*slot).check) };
    (is_of(&copy, hash) && again == copy.check).then_some(copy)
}

#[inline(always)]
fn check(hash: u64, actor: &Actor) -> u64 {
    hash ^ (u64::from(actor.tgid) << 32 | u64::from(actor.tid)).wrapping_mul(GOLDEN)
}

#[inline(always)]
fn is_of(slot: &Slot, hash: u64) -> bool {
    slot.check == check(hash, &slot.actor)
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
