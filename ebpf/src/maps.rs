//! The maps. Their sizes here are placeholders where the recorder sets its own.

use crate::owner::Dead;
use aya_ebpf::btf_maps::{ArrayOfMaps, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use tcprst_schema::wire::{Actor, CpuTotals, FlowKey, Gone, ListenKey, LostKey};

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

/// Socket address to the process that owns it (`--socket-owner`). With more connections at once
/// the owners of those that were used least recently are forgotten.
#[btf_map]
pub(crate) static OWNERS: LruHashMap<u64, Actor, 65536> = LruHashMap::new();

/// Who listens where.
#[btf_map]
pub(crate) static LISTENERS: LruHashMap<ListenKey, Actor, 4096> = LruHashMap::new();

/// Owners of connections in TIME_WAIT, which lasts a minute (TCP_TIMEWAIT_LEN).
#[btf_map]
pub(crate) static TIMEWAIT: LruHashMap<FlowKey, Gone, 65536> = LruHashMap::new();

/// Lives of containers; the recorder sets its size.
#[btf_map]
pub(crate) static LIVES: RingBuf<u64, 4096> = RingBuf::new();

/// Those that found no room there.
#[btf_map]
pub(crate) static LIVES_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Cgroup and network namespace in which a program has begun already: a container that starts
/// programs all the time is told of once.
#[btf_map]
pub(crate) static BEGUN: LruHashMap<[u64; 2], u8, 4096> = LruHashMap::new();

/// The socket that died last on this CPU, with its owner.
#[btf_map]
pub(crate) static JUST_DEAD: PerCpuArray<Dead, 1> = PerCpuArray::new();
