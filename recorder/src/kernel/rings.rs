//! The ring buffers of events: how large, and which CPU writes into which.
//!
//! Each CPU that is online at the start has a ring of its own, so that there is no lock between CPUs
//! and a flood on one cannot push out the events of another. The memory is a total: it does not grow
//! with the number of CPUs. A CPU that is offline at the start shares the ring of another, so that
//! nothing is lost when it comes online; the kernel's ring takes several writers.

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf};

use crate::error::{Error, Result};

const NAME: &str = "RINGS";
/// Smallest ring: some 250 resets. With more CPUs than rings of this size, several share one.
pub(crate) const MIN_BYTES: u64 = 64 * 1024;
/// Largest ring: positions and lengths in the kernel's ring are of 32 bits, and pages are mapped
/// twice.
const MAX_BYTES: u64 = 1 << 30;

/// Memory for the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingMemory {
    /// All rings together.
    Total(u64),
    /// The ring of each CPU that is online; a power of two.
    PerCpu(u32),
}

/// Number and size of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    rings: u32,
    bytes: u32,
}

impl RingMemory {
    fn plan(self, online: u32) -> Plan {
        let online = online.max(1);
        match self {
            Self::PerCpu(bytes) => Plan { rings: online, bytes },
            Self::Total(total) => {
                let most = u32::try_from(total / MIN_BYTES).unwrap_or(u32::MAX).max(1);
                let rings = online.min(most);
                let share = (total / u64::from(rings)).clamp(MIN_BYTES, MAX_BYTES);
                // The kernel demands a power of two.
                Plan { rings, bytes: 1 << share.ilog2() }
            }
        }
    }
}

/// CPUs that are online.
fn online() -> Result<Vec<u32>> {
    aya::util::online_cpus().map_err(|(_, source)| Error::System("list the CPUs", source))
}

/// Number of CPUs that may ever be online.
pub(crate) fn possible_cpus() -> Result<u32> {
    aya::util::nr_cpus()
        .map(|cpus| cpus as u32)
        .map_err(|(_, source)| Error::System("count the CPUs", source))
}

/// The ring of each possible CPU. `online` is in rising order.
fn ring_of_each(possible: u32, online: &[u32], rings: u32) -> Vec<u32> {
    (0..possible)
        .map(|cpu| online.binary_search(&cpu).map_or(cpu, |place| place as u32) % rings.max(1))
        .collect()
}

/// The rings as the kernel half writes them. They are mapped later: mapped pages count as resident,
/// twice, and attaching needs memory too.
pub(super) struct RingMaps {
    rings: Vec<MapData>,
    bytes: u32,
}

/// The rings, as the drain thread reads them.
pub(crate) struct Rings {
    rings: Vec<RingBuf<MapData>>,
    bytes: u32,
}

impl std::fmt::Debug for Rings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings")
            .field("rings", &self.rings.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

impl RingMaps {
    /// Makes the rings and gives each possible CPU its ring in `outer`, the map `RINGS`.
    pub(super) fn make(outer: Option<&mut Map>, memory: RingMemory) -> Result<Self> {
        let online = online()?;
        let Plan { rings, bytes } = memory.plan(online.len() as u32);
        let outer = outer.ok_or(Error::Missing(NAME))?;
        let mut outer = ArrayOfMaps::<_, MapData>::try_from(outer).map_err(error)?;
        let rings: Vec<MapData> =
            (0..rings).map(|_| make(bytes)).collect::<Result<_, _>>().map_err(error)?;
        let of_each = ring_of_each(possible_cpus()?, &online, rings.len() as u32);
        for (cpu, ring) in of_each.into_iter().enumerate() {
            outer.set(cpu as u32, &rings[ring as usize], 0).map_err(error)?;
        }
        Ok(Self { rings, bytes })
    }

    /// Maps them for the reader.
    pub(super) fn map(self) -> Result<Rings> {
        let rings = self.rings.into_iter().map(|ring| RingBuf::try_from(Map::RingBuf(ring)));
        let rings = rings.collect::<Result<_, _>>().map_err(error)?;
        Ok(Rings { rings, bytes: self.bytes })
    }
}

fn error(source: MapError) -> Error {
    Error::Map { name: NAME, source }
}

impl Rings {
    /// Bytes of each ring.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RingBuf<MapData>> {
        self.rings.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut RingBuf<MapData>> {
        self.rings.iter_mut()
    }
}

fn make(bytes: u32) -> Result<MapData, MapError> {
    const RINGBUF: u32 = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
    MapData::create(aya_obj::Map::new_from_params(RINGBUF, 0, 0, bytes, 0), "tcprst_ring", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn all_rings_together_stay_within_the_total() {
        let plans = [
            (2, 16 * MIB, 2, 8 * MIB),
            (3, 16 * MIB, 3, 4 * MIB),
            (64, 16 * MIB, 64, MIB / 4),
            (256, 16 * MIB, 256, MIB / 16),
            (1024, 16 * MIB, 256, MIB / 16),
            (4, MIB / 16, 1, MIB / 16),
            (1, 16 * MIB, 1, 16 * MIB),
            (0, 16 * MIB, 1, 16 * MIB),
        ];
        for (online, total, rings, bytes) in plans {
            let plan = RingMemory::Total(total).plan(online);
            assert_eq!(plan, Plan { rings, bytes: bytes as u32 }, "{online} CPUs, {total}");
            assert!(u64::from(plan.rings) * u64::from(plan.bytes) <= total);
        }
        let plan = RingMemory::PerCpu(4096).plan(3);
        assert_eq!(plan, Plan { rings: 3, bytes: 4096 });
    }

    #[test]
    fn every_possible_cpu_has_a_ring() {
        assert_eq!(ring_of_each(4, &[0, 1, 2, 3], 4), [0, 1, 2, 3]);
        assert_eq!(ring_of_each(6, &[0, 1], 2), [0, 1, 0, 1, 0, 1], "offline ones share");
        assert_eq!(ring_of_each(4, &[1, 3], 2), [0, 0, 0, 1]);
        assert_eq!(ring_of_each(4, &[0, 1, 2, 3], 2), [0, 1, 0, 1], "more CPUs than rings");
    }
}
