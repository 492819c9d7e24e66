//! Functions and their addresses in little memory: 8 bytes a function, and its name.

/// Addresses up to this distance from the first one can be held: the image and its modules lie
/// within 2 GiB of each other, because their code calls one another.
const REACH: u64 = 1 << 31;

/// Functions, sorted by address.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The lowest address that can be held.
    base: u64,
    /// Address above `base`, and the place of the name in `names`.
    functions: Vec<(u32, u32)>,
    /// Each name ends with a line feed, which no name contains.
    names: String,
}

impl Table {
    /// Adds a function; [`Self::sort`] follows. An address out of reach has no name.
    pub(super) fn push(&mut self, address: u64, name: &str) {
        if self.functions.is_empty() {
            self.base = address.saturating_sub(REACH);
        }
        let above = address.checked_sub(self.base).and_then(|above| u32::try_from(above).ok());
        if let (Some(above), Ok(place)) = (above, u32::try_from(self.names.len())) {
            self.functions.push((above, place));
            self.names.push_str(name);
            self.names.push('\n');
        }
    }

    /// Sorts by address and keeps one name for each. `is_kept` tells which addresses stay.
    pub(super) fn sort(&mut self, is_kept: impl Fn(u64) -> bool) {
        let base = self.base;
        self.functions.retain(|(above, _)| is_kept(base + u64::from(*above)));
        // By place too: of several names for an address, the kernel's first stays first.
        self.functions.sort_unstable();
        self.functions.dedup_by_key(|(above, _)| *above);
        self.functions.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Index of the last function that starts at or before the address.
    pub(super) fn before(&self, address: u64) -> Option<usize> {
        let above = address.checked_sub(self.base)?;
        self.functions.partition_point(|(start, _)| u64::from(*start) <= above).checked_sub(1)
    }

    /// Address of a function.
    pub(super) fn start(&self, index: usize) -> Option<u64> {
        self.functions.get(index).map(|(above, _)| self.base + u64::from(*above))
    }

    pub(super) fn name(&self, index: usize) -> &str {
        let place = self.functions.get(index).map_or(self.names.len(), |(_, at)| *at as usize);
        self.names[place..].split('\n').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_address() {
        let mut table = Table::default();
        let base = 0xffff_ffff_8100_0000;
        for (address, name) in
            [(base, "b"), (base + 0x4000_0000, "module"), (base - 16, "a"), (base, "alias")]
        {
            table.push(address, name);
        }
        table.push(0x1000, "out of reach");
        table.push(base + 4, "freed");
        table.sort(|address| address != base + 4);
        let name = |address| table.before(address).map(|index| table.name(index));
        assert_eq!((name(base - 17), name(base - 1)), (None, Some("a")));
        assert_eq!((name(base), name(base + 9)), (Some("b"), Some("b")));
        assert_eq!(name(u64::MAX), Some("module"));
        assert_eq!(table.start(2), Some(base + 0x4000_0000));
        assert_eq!(name(0x1000), None);
    }
}
