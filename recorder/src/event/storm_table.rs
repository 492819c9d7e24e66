//! The kernel half's table of counts: what is new in it, and which keys make room for others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use tcprst_schema::wire::{NO_REASON, StormKey};

/// From this number of keys in the kernel's table on, keys that rest are removed: three quarters of
/// its 4096, so that new keys find room.
const CROWDED: usize = 3072;
/// Keys are removed at most this often. A sweep over all ports then adds at most one table of groups
/// to each minute of the rollup, and the rest of it is counted under the port 0.
const EVICTION_INTERVAL: Duration = Duration::from_secs(60);

/// Of these resets only the number is known.
pub(super) const NO_KEY: StormKey = StormKey {
    netns_cookie: 0,
    netns_inum: 0,
    reason: NO_REASON,
    src_port: 0,
    family: 0,
    answered_flags: 0,
    site: 0,
    past: 0,
    padding: [0; 2],
};

/// The kernel half's table as far as it was read.
#[derive(Debug, Default)]
pub(super) struct CountTable {
    /// The counts under each key, and whether it rested since the read before.
    keys: HashMap<StormKey, Key>,
    /// CPU by CPU: counts of keys that were removed, and counts without a key.
    gone: Vec<u64>,
    sums: Vec<u64>,
    /// Counts of the totals that were not in the table at the last read.
    missing: Vec<u64>,
    evicted: Option<Instant>,
}

#[derive(Debug, Default)]
struct Key {
    by_cpu: Vec<u64>,
    rests: bool,
}

impl CountTable {
    /// Whether the totals have more than was read.
    pub(super) fn is_behind(&self, totals: &[u64]) -> bool {
        let known = |cpu: usize| self.sums.get(cpu).copied().unwrap_or(0) + at(&self.gone, cpu);
        totals.iter().enumerate().any(|(cpu, total)| *total > known(cpu))
    }

    /// All counts that were read, CPU by CPU.
    pub(super) fn by_cpu(&self) -> Vec<u64> {
        (0..self.sums.len()).map(|cpu| self.sums[cpu] + at(&self.gone, cpu)).collect()
    }

    /// Takes the entries of the table; returns the counts that are new.
    pub(super) fn take(
        &mut self,
        entries: Vec<(StormKey, Vec<u64>)>,
        totals: &[u64],
        is_last: bool,
    ) -> Vec<(StormKey, u64)> {
        let cpus = entries.iter().map(|(_, by_cpu)| by_cpu.len()).max().unwrap_or(0);
        self.sums = vec![0; cpus.max(totals.len())];
        let mut new = Vec::new();
        for (key, by_cpu) in merged(entries) {
            by_cpu.iter().zip(&mut self.sums).for_each(|(count, sum)| *sum += count);
            let known = self.keys.entry(key).or_default();
            let before = known.by_cpu.iter().sum::<u64>();
            let count = by_cpu.iter().sum::<u64>().saturating_sub(before);
            *known = Key { by_cpu, rests: count == 0 };
            if count > 0 {
                new.push((key, count));
            }
        }
        // A key that was removed while it was counted: its last counts are in the totals alone. Told
        // when they are still missing at the next read, whatever the kernel half counts first.
        self.gone.resize(self.sums.len(), 0);
        let known = self.by_cpu();
        let missing: Vec<u64> = known
            .iter()
            .enumerate()
            .map(|(cpu, sum)| at(totals, cpu).saturating_sub(*sum))
            .collect();
        let mut untold = 0;
        for (cpu, missing) in missing.iter().enumerate() {
            let told = if is_last { *missing } else { (*missing).min(at(&self.missing, cpu)) };
            self.gone[cpu] += told;
            untold += told;
        }
        self.missing = missing;
        if untold > 0 {
            new.push((NO_KEY, untold));
        }
        new
    }

    /// The keys to remove from a crowded table: those that rest, so that no count goes with them.
    pub(super) fn idle(&mut self, now: Instant) -> Vec<StormKey> {
        let is_due = self.evicted.is_none_or(|last| now - last >= EVICTION_INTERVAL);
        if self.keys.len() < CROWDED || !is_due {
            return Vec::new();
        }
        self.evicted = Some(now);
        // The port 0 stands for those that find no room: it stays.
        let is_idle = |(key, known): &(&StormKey, &Key)| key.src_port != 0 && known.rests;
        self.keys.iter().filter(is_idle).map(|(key, _)| *key).collect()
    }

    /// Forgets a key that was removed from the table.
    pub(super) fn forget(&mut self, key: &StormKey) {
        if let Some(Key { by_cpu, .. }) = self.keys.remove(key) {
            for (cpu, count) in by_cpu.into_iter().enumerate() {
                self.sums[cpu] -= count;
                self.gone[cpu] += count;
            }
        }
    }
}

/// The counts of the port 0 can be in two tables.
fn merged(entries: Vec<(StormKey, Vec<u64>)>) -> HashMap<StormKey, Vec<u64>> {
    let mut merged: HashMap<StormKey, Vec<u64>> = HashMap::with_capacity(entries.len());
    for (key, by_cpu) in entries {
        match merged.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(by_cpu);
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().iter_mut().zip(by_cpu).for_each(|(sum, count)| *sum += count);
            }
        }
    }
    merged
}

fn at(counts: &[u64], cpu: usize) -> u64 {
    counts.get(cpu).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(src_port: u16) -> StormKey {
        StormKey { src_port, family: 2, ..NO_KEY }
    }

    #[test]
    fn only_what_is_new_is_taken() {
        let (a, b) = (key(80), key(81));
        let mut table = CountTable::default();
        assert!(!table.is_behind(&[0, 0]));
        assert!(table.is_behind(&[0, 7]));
        assert_eq!(table.take(vec![(a, vec![3, 4])], &[3, 4], false), [(a, 7)]);
        assert_eq!(table.by_cpu(), [3, 4]);
        assert!(!table.is_behind(&[3, 4]));
        let entries = vec![(a, vec![3, 4]), (b, vec![1, 0])];
        assert_eq!(table.take(entries, &[4, 4], false), [(b, 1)]);
        assert_eq!(table.by_cpu(), [4, 4]);
    }

    #[test]
    fn keys_that_rest_make_room_and_count_on_when_they_are_back() {
        let entries = |count| -> Vec<(StormKey, Vec<u64>)> {
            (1..=CROWDED as u16)
                .map(|port| (key(port), vec![1]))
                .chain([(key(9999), vec![count])])
                .collect()
        };
        let start = Instant::now();
        let mut table = CountTable::default();
        let total = CROWDED as u64;
        table.take(entries(1), &[total + 1], false);
        assert!(table.idle(start).is_empty(), "all of them are new");
        table.take(entries(5), &[total + 5], false);
        assert!(table.idle(start + EVICTION_INTERVAL / 2).is_empty(), "too soon");
        let idle = table.idle(start + EVICTION_INTERVAL);
        idle.iter().for_each(|key| table.forget(key));
        assert_eq!(idle.len(), CROWDED, "all but the one that was counted");
        assert_eq!(table.by_cpu(), [total + 5]);
        // One of them is counted again: its count in the kernel starts anew.
        let back = vec![(key(9999), vec![5]), (key(1), vec![2])];
        assert_eq!(table.take(back, &[total + 7], false), [(key(1), 2)]);
        assert_eq!(table.by_cpu(), [total + 7]);
    }

    #[test]
    fn a_key_that_is_in_two_tables_counts_as_one() {
        let mut table = CountTable::default();
        let several = key(0);
        let entries =
            |more| vec![(several, vec![1, 2]), (key(80), vec![5, 0]), (several, vec![3, more])];
        let mut new = table.take(entries(0), &[9, 2], false);
        new.sort_by_key(|(key, _)| key.src_port);
        assert_eq!(new, [(several, 6), (key(80), 5)]);
        assert_eq!(table.take(entries(4), &[9, 6], false), [(several, 4)]);
        assert_eq!(table.by_cpu(), [9, 6]);
    }

    #[test]
    fn counts_that_went_with_their_key_are_told_without_one() {
        let a = key(80);
        let mut table = CountTable::default();
        assert_eq!(table.take(vec![(a, vec![3])], &[5], false), [(a, 3)]);
        assert_eq!(table.by_cpu(), [3]);
        // One of the two has arrived; the other one is missing still.
        assert_eq!(table.take(vec![(a, vec![4])], &[5], false), [(a, 1), (NO_KEY, 1)]);
        assert_eq!(table.by_cpu(), [5]);
        assert!(!table.is_behind(&[5]));
        assert_eq!(
            table.take(vec![(a, vec![4])], &[8], true),
            [(NO_KEY, 3)],
            "no read comes after"
        );
        assert_eq!(table.by_cpu(), [8]);
    }
}
