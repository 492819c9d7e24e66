//! The maps. Their sizes here are placeholders where the recorder sets its own.

use crate::listeners::{ListenKey, Listening};
use crate::pace::Pace;
use crate::{closing, flows, sockets};
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use tcprst_schema::wire::{CpuTotals, Event, LostKey, StormKey};

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

/// What this CPU has sent in the current second.
#[btf_map]
pub(crate) static PACE: PerCpuArray<Pace, 1> = PerCpuArray::new();

/// Resets that were counted in place of a record for each.
#[btf_map]
pub(crate) static COUNTED: PerCpuHashMap<StormKey, u64, 4096> = PerCpuHashMap::new();

/// Those for which there was no room, by all but the port.
#[btf_map]
pub(crate) static COUNTED_REST: PerCpuHashMap<StormKey, u64, 1024> = PerCpuHashMap::new();

/// By the number of a reason: [`tcprst_schema::implied::Shape`], or 0. The recorder fills it, and
/// clears a reason of which it sees another caller.
#[btf_map]
pub(crate) static IMPLIED: Array<u32, 64> = Array::new();

/// The states that sockets left for `TCP_CLOSE`: [`crate::closing`]. An array, as the next two:
/// an update of an LRU map takes two locks, at each end of each connection.
#[btf_map]
pub(crate) static CLOSED_FROM: Array<u64, { closing::SLOTS }> = Array::new();

/// The processes that sockets belong to (`--socket-owner`): [`crate::sockets`].
#[btf_map]
pub(crate) static SOCKETS: Array<sockets::Bucket, 2> = Array::new();

/// What is remembered of flows whose sockets are gone: [`crate::flows`].
#[btf_map]
pub(crate) static FLOWS: Array<flows::Bucket, 2> = Array::new();

/// Who listens where. Changes with listen() alone, so that locks do no harm. The recorder sets its
/// size: before 6.16 each CPU takes 128 free entries of an LRU map for itself.
#[btf_map]
pub(crate) static LISTENERS: LruHashMap<ListenKey, Listening, 4096> = LruHashMap::new();

/// How often listen() was called.
#[btf_map]
pub(crate) static LISTENS: Array<u64, 1> = Array::new();

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
