//! Numbers for pairs of numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem::size_of;

use datafusion::error::Result;

use super::groups::{NONE, as_number};

/// Combinations are looked up in a table of this many cells (16 MiB) if they fit, and are hashed
/// otherwise.
const SQUARE_CELLS: usize = 4 << 20;

/// Numbers for pairs of numbers.
#[derive(Default)]
pub(super) struct Pairs {
    /// The pair of each number.
    pub(super) parts: Vec<(u32, u32)>,
    /// Numbers by pair, in lines of `width` cells.
    square: Vec<u32>,
    width: usize,
    hashed: HashMap<u64, u32, BuildHasherDefault<NumberHasher>>,
}

impl Pairs {
    /// Replaces `left` with the numbers of its pairs with `right`; those are below `widest`.
    pub(super) fn number(&mut self, left: &mut [u32], right: &[u32], widest: usize) -> Result<()> {
        let lines = left.iter().max().map_or(0, |most| *most as usize + 1);
        self.make_room(lines, widest);
        if self.width == 0 {
            let mut last = (NONE, NONE, NONE);
            for (left, right) in left.iter_mut().zip(right) {
                if (last.0, last.1) != (*left, *right) {
                    last = (*left, *right, self.pair(*left, *right)?);
                }
                *left = last.2;
            }
            return Ok(());
        }
        for (left, right) in left.iter_mut().zip(right) {
            *left = match self.square[*left as usize * self.width + *right as usize] {
                NONE => self.pair(*left, *right)?,
                number => number,
            };
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

    /// Enlarges the table, or switches to hashing permanently.
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

    pub(super) fn size(&self) -> usize {
        self.parts.capacity() * size_of::<(u32, u32)>()
            + self.square.capacity() * size_of::<u32>()
            + self.hashed.capacity() * 2 * size_of::<u64>()
    }
}

/// A hasher of one number: the keys are small numbers, and none is chosen to collide.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl NumberHasher {
    pub(super) fn spread(value: u64) -> u64 {
        // Fibonacci hashing; the fold moves the good upper bits down to where hash tables look.
        let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    }
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = Self::spread(self.0 ^ value);
    }

    fn write_i64(&mut self, value: i64) {
        self.write_u64(value.cast_unsigned());
    }
}
