//! The state that a socket left for `TCP_CLOSE`: most resets are sent after that change, in the
//! same call.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use core::ptr;

use crate::kernel::Address;
use crate::sockets::GOLDEN;

/// The states that sockets left for `TCP_CLOSE`: an array, because
/// an update of an LRU map takes two locks, at each end of each connection.
#[btf_map]
static CLOSED_FROM: Array<u64, { SLOTS }> = Array::new();

/// The change comes just before the reset on the same CPU, so that a few thousand slots outlive
/// any interrupt in between; together they have 32 KiB.
pub(crate) const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 12;

#[inline(always)]
fn slot(sk: Address) -> Option<*mut u64> {
    CLOSED_FROM.get_ptr_mut((sk.wrapping_mul(GOLDEN) >> (64 - SLOT_BITS)) as u32)
}

/// Keeps the state. One word holds it and the socket: no other CPU can write half of it. An
/// address of the kernel has no more than 57 bits that tell (five levels of page tables), and the
/// upper ones are all set.
#[inline(always)]
pub(crate) fn leave(sk: Address, state: u8) {
    if let Some(slot) = slot(sk) {
        // SAFETY: a slot of the map, there as long as the map.
        unsafe { ptr::write_volatile(slot, sk << 8 | u64::from(state)) };
    }
}

/// The state that was kept; 0 where it is unknown, because another socket took the slot.
#[inline(always)]
pub(crate) fn left(sk: Address) -> u8 {
    let Some(slot) = slot(sk) else {
        return 0;
    };
    // SAFETY: as in `leave`.
    let word = unsafe { ptr::read_volatile(slot) };
    if word >> 8 == sk << 8 >> 8 { word as u8 } else { 0 }
}
