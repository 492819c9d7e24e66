//! The maps. Their sizes here are placeholders where the recorder sets its own.

use aya_ebpf::btf_maps::{ArrayOfMaps, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use tcprst_schema::wire::{CpuTotals, LostKey};

/// One ring buffer for each CPU: no lock between CPUs, and a flood on one of them cannot
/// push out the events of another. The recorder makes the inner maps, one for each possible CPU.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u64, 4096>, 1> = ArrayOfMaps::new();

/// Seen and lost, CPU by CPU.
#[btf_map]
pub(crate) static TOTALS: PerCpuArray<CpuTotals, 1> = PerCpuArray::new();

/// What the lost events had in common. Where it is full, [`TOTALS`] still counts.
#[btf_map]
pub(crate) static LOST: PerCpuHashMap<LostKey, u64, 1024> = PerCpuHashMap::new();

/// Socket address to the state that it left for `TCP_CLOSE`. The change comes just before the
/// reset in the same call, so that a few thousand entries outlive any queue.
#[btf_map]
pub(crate) static CLOSED_FROM: LruHashMap<u64, u8, 8192> = LruHashMap::new();
