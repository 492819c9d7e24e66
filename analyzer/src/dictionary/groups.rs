//! Numbers for values, and for combinations of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use datafusion::common::HashMap as TextMap;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;

use crate::table::text_type;

/// No number yet.
const NONE: u32 = u32::MAX;
/// The number of null.
const NULL: u32 = 0;
/// Combinations are looked up in a square of this many cells (16 MiB) where they fit in, and are
/// hashed where they do not.
const SQUARE_CELLS: usize = 4 << 20;

/// Whether groups by these expressions can be numbered, and whether that pays.
pub(super) fn can_number(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Result<bool> {
    let types = exprs.iter().map(|expr| expr.data_type(schema)).collect::<Result<Vec<_>>>()?;
    let is_text = |data_type: &DataType| *data_type == text_type();
    Ok(types.iter().any(is_text) && types.iter().all(|t| is_text(t) || is_number(t)))
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Boolean
            | DataType::Timestamp(..)
    )
}

/// The groups so far.
pub(super) struct Groups {
    columns: Vec<Values>,
    /// One fewer than there are columns.
    pairs: Vec<Pairs>,
    /// With one column: the group of each of its numbers.
    alone: Vec<u32>,
    /// Its number in each group.
    singles: Vec<u32>,
    scratch: Vec<u32>,
}

impl Groups {
    pub(super) fn new(exprs: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Result<Self> {
        let columns = exprs
            .iter()
            .map(|expr| Ok(Values::new(expr.data_type(schema)?)))
            .collect::<Result<Vec<_>>>()?;
        let pairs = (1..columns.len()).map(|_| Pairs::default()).collect();
        let (alone, singles, scratch) = Default::default();
        Ok(Self { columns, pairs, alone, singles, scratch })
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.last().map_or(self.singles.len(), |pairs| pairs.parts.len())
    }

    /// Group of each row.
    pub(super) fn number(&mut self, keys: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<()> {
        numbers.clear();
        let Some((first, others)) = keys.split_first() else {
            return Err(DataFusionError::Internal("no group".into()));
        };
        self.columns[0].number(first, &mut self.scratch)?;
        if others.is_empty() {
            let numbered = self.columns[0].count();
            self.alone.resize(numbered.max(self.alone.len()), NONE);
            for number in &self.scratch {
                let group = &mut self.alone[*number as usize];
                if *group == NONE {
                    *group = as_number(self.singles.len())?;
                    self.singles.push(*number);
                }
                numbers.push(*group as usize);
            }
            return Ok(());
        }
        let mut column = Vec::new();
        for (at, key) in others.iter().enumerate() {
            self.columns[at + 1].number(key, &mut column)?;
            let widest = self.columns[at + 1].count();
            self.pairs[at].number(&mut self.scratch, &column, widest)?;
        }
        numbers.extend(self.scratch.iter().map(|group| *group as usize));
        Ok(())
    }

    /// The columns of all groups; it starts anew.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let mut numbers: Vec<Vec<u32>> = Vec::with_capacity(self.columns.len());
        let mut prefix: Vec<u32> = match self.pairs.last() {
            Some(pairs) => (0..pairs.parts.len()).map(as_number).collect::<Result<_>>()?,
            None => std::mem::take(&mut self.singles),
        };
        for pairs in self.pairs.iter().rev() {
            numbers.push(prefix.iter().map(|at| pairs.parts[*at as usize].1).collect());
            prefix = prefix.iter().map(|at| pairs.parts[*at as usize].0).collect();
        }
        numbers.push(prefix);
        numbers.reverse();
        let columns = self.columns.iter_mut().zip(numbers).map(|(values, of)| values.take(&of));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        self.pairs.iter_mut().for_each(|pairs| *pairs = Pairs::default());
        self.alone.clear();
        self.singles.clear();
        Ok(columns)
    }

    pub(super) fn size(&self) -> usize {
        let columns: usize = self.columns.iter().map(Values::size).sum();
        let pairs: usize = self.pairs.iter().map(Pairs::size).sum();
        columns + pairs + (self.alone.capacity() + self.singles.capacity()) * size_of::<u32>()
    }
}

fn as_number(at: usize) -> Result<u32> {
    u32::try_from(at)
        .ok()
        .filter(|number| *number != NONE)
        .ok_or_else(|| DataFusionError::ResourcesExhausted("more than 2^32 groups".into()))
}

/// Numbers for the values of one column.
struct Values {
    data_type: DataType,
    /// DataFusion's map, whose hash of a text takes a third of the standard library's time.
    texts: TextMap<Arc<str>, u32>,
    /// Texts by number, from 1.
    spelled: Vec<Arc<str>>,
    spelled_bytes: usize,
    /// The dictionary that was seen last, and the number of each of its values. All batches of
    /// a row group share one.
    seen: Option<(StringArray, Vec<u32>)>,
    integers: HashMap<i64, u32, BuildHasherDefault<Mix>>,
    counted: Vec<i64>,
}

impl Values {
    fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            texts: TextMap::new(),
            spelled: Vec::new(),
            spelled_bytes: 0,
            seen: None,
            integers: HashMap::default(),
            counted: Vec::new(),
        }
    }

    /// Numbers given so far, with null's.
    fn count(&self) -> usize {
        1 + self.spelled.len() + self.counted.len()
    }

    fn number(&mut self, column: &ArrayRef, numbers: &mut Vec<u32>) -> Result<()> {
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
            // Kept, so that its address stays its own.
            self.seen = Some((values.clone(), of_value));
        }
        let Some((_, of_value)) = &self.seen else { return Ok(()) };
        let keys = column.keys();
        if keys.null_count() == 0 {
            numbers.extend(keys.values().iter().map(|key| of_value[*key as u32 as usize]));
        } else {
            numbers.extend(
                keys.iter().map(|key| key.map_or(NULL, |key| of_value[key as u32 as usize])),
            );
        }
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
        let mut last: Option<(i64, u32)> = None;
        for value in column {
            let number = match (value, last) {
                (None, _) => NULL,
                (Some(value), Some((same, number))) if same == value => number,
                (Some(value), _) => {
                    let next = as_number(self.counted.len() + 1)?;
                    let number = *self.integers.entry(value).or_insert(next);
                    if number == next {
                        self.counted.push(value);
                    }
                    last = Some((value, number));
                    number
                }
            };
            numbers.push(number);
        }
        Ok(())
    }

    /// The values of these numbers; it starts anew.
    fn take(&mut self, numbers: &[u32]) -> Result<ArrayRef> {
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

    fn size(&self) -> usize {
        let text = size_of::<Arc<str>>() * 2 + 3 * size_of::<u64>();
        self.spelled_bytes
            + self.spelled.capacity() * text
            + self.counted.capacity() * 3 * size_of::<i64>()
            + self.seen.as_ref().map_or(0, |(_, numbers)| numbers.capacity() * size_of::<u32>())
    }
}

/// Whether two dictionaries are one and the same in memory.
fn is_same(one: &StringArray, other: &StringArray) -> bool {
    one.len() == other.len()
        && one.offsets().as_ptr() == other.offsets().as_ptr()
        && one.values().as_ptr() == other.values().as_ptr()
        && one.null_count() == other.null_count()
}

/// Numbers for pairs of numbers.
#[derive(Default)]
struct Pairs {
    /// The pair of each number.
    parts: Vec<(u32, u32)>,
    /// Numbers by pair, `width` to a line.
    square: Vec<u32>,
    width: usize,
    hashed: HashMap<u64, u32, BuildHasherDefault<Mix>>,
}

impl Pairs {
    /// Turns `left` into the numbers of its pairs with `right`, whose numbers are below `widest`.
    fn number(&mut self, left: &mut [u32], right: &[u32], widest: usize) -> Result<()> {
        let lines = left.iter().max().map_or(0, |most| *most as usize + 1);
        self.make_room(lines, widest);
        let mut last = (NONE, NONE, NONE);
        for (left, right) in left.iter_mut().zip(right) {
            if (last.0, last.1) != (*left, *right) {
                last = (*left, *right, self.pair(*left, *right)?);
            }
            *left = last.2;
        }
        Ok(())
    }

    fn pair(&mut self, left: u32, right: u32) -> Result<u32> {
        let next = as_number(self.parts.len())?;
        let number = if self.width > 0 {
            let cell = &mut self.square[left as usize * self.width + right as usize];
            if *cell == NONE {
                *cell = next;
            }
            *cell
        } else {
            *self.hashed.entry(u64::from(left) << 32 | u64::from(right)).or_insert(next)
        };
        if number == next {
            self.parts.push((left, right));
        }
        Ok(number)
    }

    /// Makes the square large enough, or gives it up for good.
    fn make_room(&mut self, lines: usize, widest: usize) {
        if self.width == 0 && !self.parts.is_empty() {
            return;
        }
        let width = self.width.max(widest.next_power_of_two());
        let lines = lines.next_power_of_two().max(self.square.len() / self.width.max(1));
        if width == self.width && lines * width <= self.square.len() {
            return;
        }
        if lines * width > SQUARE_CELLS {
            (self.square, self.width) = (Vec::new(), 0);
            let parts = self.parts.iter().zip(0_u32..);
            self.hashed = parts
                .map(|((left, right), number)| (u64::from(*left) << 32 | u64::from(*right), number))
                .collect();
            return;
        }
        self.square = vec![NONE; lines * width];
        self.width = width;
        for ((left, right), number) in self.parts.iter().zip(0_u32..) {
            self.square[*left as usize * width + *right as usize] = number;
        }
    }

    fn size(&self) -> usize {
        self.parts.capacity() * size_of::<(u32, u32)>()
            + self.square.capacity() * size_of::<u32>()
            + self.hashed.capacity() * 2 * size_of::<u64>()
    }
}

/// Mixes one number: the keys are small numbers that nobody chose to collide.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing; the fold brings the good upper bits down to where tables look.
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_i64(&mut self, value: i64) {
        self.write_u64(value.cast_unsigned());
    }
}
