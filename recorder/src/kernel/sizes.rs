//! Sizes of the kernel half's tables.

/// Bytes of a bucket of `SOCKETS`: two cache lines (ebpf/src/memory/sockets.rs). One of `FLOWS` has four.
const BUCKET: u32 = 128;

/// Two tables of a power of two of buckets, which the kernel half finds by a hash of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableSizes {
    socket_bits: u32,
    flow_bits: u32,
}

impl TableSizes {
    /// The sizes for that much memory for the owners of sockets; without it (`--socket-owner=off`)
    /// the smallest ones.
    pub(crate) fn new(socket_memory: Option<u32>) -> Self {
        let buckets = socket_memory.unwrap_or(0) / BUCKET;
        let socket_bits = buckets.max(2).ilog2();
        // Few connections are remembered after their sockets: those that did not close in order.
        Self { socket_bits, flow_bits: socket_bits.saturating_sub(3).max(1) }
    }

    /// How far a hash is shifted to the right.
    pub(crate) fn socket_shift(&self) -> u32 {
        u64::BITS - self.socket_bits
    }

    pub(crate) fn flow_shift(&self) -> u32 {
        u64::BITS - self.flow_bits
    }
}

/// Buckets of a table whose hashes are shifted so far.
pub(crate) fn buckets(shift: u32) -> u32 {
    1 << (u64::BITS - shift)
}

/// Entries of the LRU maps: listeners, and cgroups in which a program has begun. Before 6.16 each
/// CPU takes 128 free entries for itself; half of the map stays for what is in use.
pub(crate) fn lru_entries(cpus: u32) -> u32 {
    (256 * cpus).max(8192)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_the_table() {
        for memory in [None, Some(0), Some(100), Some(8 << 20), Some((8 << 20) + 1), Some(1 << 30)]
        {
            let sizes = TableSizes::new(memory);
            let sockets = buckets(sizes.socket_shift());
            assert_eq!(u64::MAX >> sizes.socket_shift(), u64::from(sockets) - 1);
            assert!(sockets * BUCKET <= memory.unwrap_or(0).max(2 * BUCKET));
            assert!(buckets(sizes.flow_shift()) <= sockets);
        }
        assert_eq!(buckets(TableSizes::new(Some(8 << 20)).socket_shift()), 65_536);
        assert_eq!(buckets(TableSizes::new(Some(8 << 20)).flow_shift()), 8_192);
        assert_eq!((lru_entries(2), lru_entries(512)), (8192, 131_072));
    }
}
