//! The maps that several modules use; others stand where they are used. Their sizes are placeholders
//! where the recorder sets its own.

use aya_ebpf::btf_maps::{ArrayOfMaps, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use tcprst_schema::wire::{CpuTotals, Event, LostKey};

/// One ring buffer for each CPU: no lock between CPUs, and a flood on one of them cannot
/// push out the events of another. The recorder makes the inner maps, one for each possible CPU.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u64, 4096>, 1> = ArrayOfMaps::new();

/// Where a record is made, for each context that may interrupt another: a task, a softirq, an
/// interrupt, and one more.
#[btf_map]
pub(crate) static BUFFERS: PerCpuArray<Event, 4> = PerCpuArray::new();

/// How many of them are in use on this CPU.
#[btf_map]
pub(crate) static NESTING: PerCpuArray<u32, 1> = PerCpuArray::new();

/// Seen and lost, CPU by CPU.
#[btf_map]
pub(crate) static TOTALS: PerCpuArray<CpuTotals, 1> = PerCpuArray::new();

/// What the lost events had in common. Where it is full, [`TOTALS`] still counts.
#[btf_map]
pub(crate) static LOST: PerCpuHashMap<LostKey, u64, 1024> = PerCpuHashMap::new();

/// Lives of containers; the recorder sets its size.
#[btf_map]
pub(crate) static LIVES: RingBuf<u64, 4096> = RingBuf::new();

/// Those that found no room there.
#[btf_map]
pub(crate) static LIVES_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Cgroup and network namespace in which a program has begun already: a container that starts
/// programs all the time is told of once. The recorder sets its size, as of `LISTENERS`.
#[btf_map]
pub(crate) static BEGUN: LruHashMap<[u64; 2], u8, 4096> = LruHashMap::new();

/// Adds one in one instruction, that no interrupt can cut in two.
///
/// # Safety
/// `counter` points to a counter in a map.
#[inline(always)]
pub(crate) unsafe fn count(counter: *mut u64) {
    // `AtomicU64` has no `fetch_add` on this target, whose first version could not return the
    // old value. Nobody asks for it here, and the instruction without it is one of 5.10.
    // SAFETY: the caller's promise; nothing else is done with it but this and plain reads.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}
