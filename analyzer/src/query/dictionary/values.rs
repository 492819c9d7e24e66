//! Numbers for the values of one column.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, StringArray, StringBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::HashMap as TextMap;
use datafusion::error::Result;

use super::groups::{NONE, as_number};
use super::pairs::NumberHasher;
use crate::recording::types::text_type;

/// The number that represents null.
const NULL: u32 = 0;
/// Integers that are found without a lookup in the map: 4 KiB of them.
const RECENT: usize = 256;

/// Numbers for the values of one column.
pub(super) struct Values {
    data_type: DataType,
    /// DataFusion's map: it hashes a text in a third of the standard library's time.
    texts: TextMap<Arc<str>, u32>,
    /// Texts by number, from 1.
    spelled: Vec<Arc<str>>,
    spelled_bytes: usize,
    /// The last dictionary, and the number of each of its values. All batches of a row group
    /// share one dictionary.
    seen: Option<(StringArray, Vec<u32>)>,
    integers: HashMap<i64, u32, BuildHasherDefault<NumberHasher>>,
    /// Recent integers and their numbers, indexed by hash: one comparison instead of a lookup in
    /// the map.
    recent: [(i64, u32); RECENT],
    counted: Vec<i64>,
}

impl Values {
    pub(super) fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            texts: TextMap::new(),
            spelled: Vec::new(),
            spelled_bytes: 0,
            seen: None,
            integers: HashMap::default(),
            recent: [(0, NONE); RECENT],
            counted: Vec::new(),
        }
    }

    /// The count of numbers assigned so far, including the one for null.
    pub(super) fn count(&self) -> usize {
        1 + self.spelled.len() + self.counted.len()
    }

    pub(super) fn number(&mut self, column: &ArrayRef, numbers: &mut Vec<u32>) -> Result<()> {
        numbers.clear();
        numbers.reserve(column.len());
        match column.as_any_dictionary_opt() {
            Some(_) => self.number_texts(column.as_dictionary::<Int32Type>(), numbers),
            None => self.number_integers(column, numbers),
        }
    }

    fn number_texts(
        &mut self,
        column: &DictionaryArray<Int32Type>,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        let values = column.values().as_string::<i32>();
        if !self.seen.as_ref().is_some_and(|(seen, _)| is_same(seen, values)) {
            let of_value = values
                .iter()
                .map(|text| text.map_or(Ok(NULL), |text| self.text(text)))
                .collect::<Result<Vec<_>>>()?;
            // Kept alive, so that no other dictionary reuses its address.
            self.seen = Some((values.clone(), of_value));
        }
        let Some((_, of_value)) = &self.seen else { return Ok(()) };
        let Some(last) = of_value.len().checked_sub(1) else {
            numbers.resize(column.len(), NULL);
            return Ok(());
        };
        let keys = column.keys();
        // The key of a null row is arbitrary, even out of bounds.
        let in_bounds = |key: &i32| of_value[(*key as u32 as usize).min(last)];
        numbers.extend(keys.values().iter().map(in_bounds));
        blank(numbers, keys.nulls());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<u32> {
        if let Some(number) = self.texts.get(text) {
            return Ok(*number);
        }
        let number = as_number(self.spelled.len() + 1)?;
        let text: Arc<str> = text.into();
        self.spelled_bytes += text.len();
        self.spelled.push(Arc::clone(&text));
        self.texts.insert(text, number);
        Ok(number)
    }

    fn number_integers(&mut self, column: &ArrayRef, numbers: &mut Vec<u32>) -> Result<()> {
        let column = cast(column, &DataType::Int64)?;
        let column = column.as_primitive::<Int64Type>();
        // The value of a null row is arbitrary and gets no number.
        let is_valid = |at: usize| column.nulls().is_none_or(|nulls| nulls.is_valid(at));
        for (at, value) in column.values().iter().enumerate() {
            let place = NumberHasher::spread(value.cast_unsigned()) as usize % RECENT;
            let recent = self.recent[place];
            numbers.push(if recent.0 == *value && recent.1 != NONE {
                recent.1
            } else if is_valid(at) {
                let number = self.integer(*value)?;
                self.recent[place] = (*value, number);
                number
            } else {
                NULL
            });
        }
        blank(numbers, column.nulls());
        Ok(())
    }

    fn integer(&mut self, value: i64) -> Result<u32> {
        let next = as_number(self.counted.len() + 1)?;
        let number = *self.integers.entry(value).or_insert(next);
        if number == next {
            self.counted.push(value);
        }
        Ok(number)
    }

    /// The values of these numbers; resets the state.
    pub(super) fn take(&mut self, numbers: &[u32]) -> Result<ArrayRef> {
        let data_type = self.data_type.clone();
        let Self { spelled, counted, .. } = std::mem::replace(self, Self::new(data_type));
        if self.data_type != text_type() {
            let values: Int64Array = numbers
                .iter()
                .map(|number| number.checked_sub(1).map(|at| counted[at as usize]))
                .collect();
            return Ok(cast(&values, &self.data_type)?);
        }
        let mut texts = StringBuilder::new();
        spelled.iter().for_each(|text| texts.append_value(text));
        let keys: Int32Array =
            numbers.iter().map(|number| number.checked_sub(1).map(u32::cast_signed)).collect();
        Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(texts.finish()))?))
    }

    pub(super) fn size(&self) -> usize {
        let text = size_of::<Arc<str>>() * 2 + 3 * size_of::<u64>();
        self.spelled_bytes
            + self.spelled.capacity() * text
            + self.counted.capacity() * 3 * size_of::<i64>()
            + self.seen.as_ref().map_or(0, |(_, numbers)| numbers.capacity() * size_of::<u32>())
    }
}

/// Assigns [`NULL`] to null rows. Nulls are applied as a bit mask: if every other row is null, a
/// branch would be mispredicted for half of them.
fn blank(numbers: &mut [u32], nulls: Option<&NullBuffer>) {
    let Some(nulls) = nulls else { return };
    let chunks = nulls.inner().bit_chunks();
    for (numbers, valid) in numbers.chunks_mut(64).zip(chunks.iter_padded()) {
        for (at, number) in numbers.iter_mut().enumerate() {
            *number &= ((valid >> at & 1) as u32).wrapping_neg();
        }
    }
}

/// Whether two dictionaries are the same memory.
pub(super) fn is_same(one: &StringArray, other: &StringArray) -> bool {
    one.len() == other.len()
        && one.offsets().as_ptr() == other.offsets().as_ptr()
        && one.values().as_ptr() == other.values().as_ptr()
        && one.null_count() == other.null_count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Builder, new_null_array};

    fn numbers(values: &mut Values, column: ArrayRef) -> Vec<u32> {
        let mut numbers = Vec::new();
        values.number(&column, &mut numbers).expect("few values");
        numbers
    }

    /// 200 rows, so that the null bits span more than one word.
    fn every_third_is_null(at: usize) -> Option<usize> {
        (!at.is_multiple_of(3)).then_some(at % 5)
    }

    #[test]
    fn texts_and_nulls_have_numbers_of_their_own() {
        let texts = Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]));
        let mut keys = Int32Builder::new();
        (0..200).for_each(|at| keys.append_option(every_third_is_null(at).map(|key| key as i32)));
        let keys = keys.finish();
        let column = DictionaryArray::try_new(keys.clone(), texts).expect("a dictionary");
        let mut values = Values::new(text_type());
        let found = numbers(&mut values, Arc::new(column.clone()));
        for (at, number) in found.iter().enumerate() {
            let expected = every_third_is_null(at).map_or(NULL, |key| key as u32 + 1);
            assert_eq!(*number, expected, "row {at}");
        }
        // The bits of this slice do not start at a word.
        let sliced = numbers(&mut values, Arc::new(column.slice(7, 130)));
        assert_eq!(sliced, found[7..137]);
        // A dictionary with the same texts in another order.
        let turned = Arc::new(StringArray::from(vec!["e", "d", "c", "b", "a"]));
        let turned = DictionaryArray::try_new(keys, turned).expect("a dictionary");
        let again = numbers(&mut values, Arc::new(turned));
        assert!(again.iter().zip(&found).all(|(one, other)| match other {
            0 => *one == NULL,
            _ => *one == 6 - other,
        }));
        // Only nulls.
        let none = new_null_array(&text_type(), 3);
        assert_eq!(numbers(&mut values, none), [NULL; 3]);
    }

    #[test]
    fn integers_that_share_a_place_are_told_apart() {
        let of_row = |at: usize| every_third_is_null(at).map(|_| (at as i64 * 7919) % 700 - 350);
        let column: Int64Array = (0..4000).map(of_row).collect();
        let mut values = Values::new(DataType::Int64);
        let found = numbers(&mut values, Arc::new(column));
        let mut by_value = HashMap::new();
        for (at, number) in found.iter().enumerate() {
            assert_eq!(*number == NULL, of_row(at).is_none(), "row {at}");
            assert_eq!(*by_value.entry(of_row(at)).or_insert(*number), *number, "row {at}");
        }
        let mut taken: Vec<u32> = by_value.values().copied().collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), by_value.len(), "one number for two values");
        let back = values.take(&found).expect("values");
        let back = back.as_primitive::<Int64Type>();
        assert!(back.iter().enumerate().all(|(at, value)| value == of_row(at)));
    }
}
