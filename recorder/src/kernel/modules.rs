//! The loaded modules, from /proc/modules.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use crate::kernel::proc::MODULES;

/// The modules and where they are.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Names and addresses, as they were listed.
    list: String,
    /// Address range and name of each module, sorted. Since 6.4 the length includes parts that are
    /// elsewhere.
    ranges: Vec<(Range<u64>, Arc<str>)>,
    named: HashMap<Arc<str>, Range<u64>>,
}

impl Modules {
    pub(super) fn read() -> Self {
        Self::parse(&fs::read_to_string(MODULES).unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut modules = Self::default();
        for line in text.lines() {
            // Name, length, users, their names, state, address. The users change without modules
            // coming or going, so they are left out of the list.
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [name, length, _, _, _, address, ..] = words[..] else {
                continue;
            };
            modules.list.extend([name, " ", address, "\n"]);
            let start = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap_or(0);
            if start != 0 {
                let range = start..start + length.parse().unwrap_or(0);
                let name: Arc<str> = name.into();
                modules.ranges.push((range.clone(), Arc::clone(&name)));
                modules.named.insert(name, range);
            }
        }
        modules.ranges.sort_by_key(|(range, _)| range.start);
        modules
    }

    /// Whether the same modules are at the same addresses.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.list == other.list
    }

    /// Start and name of the module that holds the address.
    pub(super) fn at(&self, address: u64) -> Option<(u64, &str)> {
        let next = self.ranges.partition_point(|(range, _)| range.start <= address);
        let (range, name) = self.ranges.get(next.checked_sub(1)?)?;
        range.contains(&address).then_some((range.start, &**name))
    }

    /// Whether a symbol is outside its module's range: in the init part, which is freed after
    /// loading.
    pub(super) fn is_initial(&self, module: &str, address: u64) -> bool {
        self.named.get(module).is_some_and(|range| !range.contains(&address))
    }
}
