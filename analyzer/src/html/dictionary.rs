//! Values of one dimension as numbers, and the choice of values to show one by one.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

/// Numbers for values, in order of first appearance, and the count of each.
#[derive(Debug)]
pub(super) struct Dictionary<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
    totals: Vec<u64>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new(), totals: Vec::new() }
    }
}

/// A value for the page: itself, null, or the number of values counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum DictionaryEntry<T> {
    Value(T),
    Other { other: usize },
}

/// The part of a dictionary that the page keeps.
#[derive(Debug)]
pub(super) struct Folded<T> {
    /// The most frequent first; the last may represent all others.
    pub(super) entries: Vec<DictionaryEntry<T>>,
    /// Maps the dictionary's number to that of the entry.
    pub(super) to_entry: Vec<u32>,
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The number of a value; adds `count` to its total.
    pub(super) fn number(&mut self, value: T, count: u64) -> u32 {
        let number = *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            self.totals.push(0);
            u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
        });
        self.totals[number as usize] += count;
        number
    }

    /// The entry of a value, if the dictionary has it.
    pub(super) fn entry(&self, folded: &Folded<T>, value: &T) -> Option<u32> {
        self.numbers.get(value).map(|number| folded.to_entry[*number as usize])
    }

    /// Keeps `most` values and folds the rarest into one entry.
    pub(super) fn fold(&self, most: usize) -> Folded<T> {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|number| (std::cmp::Reverse(self.totals[*number]), *number));
        let kept = if order.len() <= most + 1 { order.len() } else { most };
        let mut to_entry = vec![u32::try_from(kept).unwrap_or(u32::MAX); self.values.len()];
        let mut entries = Vec::with_capacity(kept + 1);
        for (entry, number) in order.iter().take(kept).enumerate() {
            to_entry[*number] = u32::try_from(entry).unwrap_or(u32::MAX);
            entries.push(DictionaryEntry::Value(self.values[*number].clone()));
        }
        if kept < order.len() {
            entries.push(DictionaryEntry::Other { other: order.len() - kept });
        }
        Folded { entries, to_entry }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_are_counted_together() {
        let mut ports = Dictionary::<Option<i64>>::default();
        for (port, count) in [(Some(80), 5), (None, 7), (Some(22), 1), (Some(443), 9)] {
            ports.number(port, count);
        }
        ports.number(Some(80), 1);
        let folded = ports.fold(2);
        assert_eq!(serde_json::to_string(&folded.entries).unwrap(), r#"[443,null,{"other":2}]"#);
        assert_eq!(folded.to_entry, [2, 1, 2, 0]);
        assert_eq!(ports.entry(&folded, &Some(80)), Some(2));
        assert_eq!(ports.entry(&folded, &Some(81)), None);
        // One alone is not "others".
        assert_eq!(ports.fold(3).entries.len(), 4);
        assert_eq!(ports.fold(0).entries, [DictionaryEntry::Other { other: 4 }]);
    }
}
