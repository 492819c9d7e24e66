//! Parquet's RLE and bit-packing hybrid, in which pages hold numbers of values and levels.

/// Appends numbers of so many bits: long runs as runs, everything else packed.
pub(crate) fn hybrid(values: &[u32], width: u8, out: &mut Vec<u8>) {
    /// Shorter runs are packed: a run ends the packed groups before it.
    const SHORTEST_RUN: usize = 32;
    let (mut at, mut packed_from) = (0, 0);
    while at < values.len() {
        let value = values[at];
        let equal = values[at..].iter().take_while(|other| **other == value).count();
        if equal >= SHORTEST_RUN {
            packed(&values[packed_from..at], width, out);
            run(value, equal, width, out);
            at += equal;
            packed_from = at;
        } else {
            // Packed values come in groups of eight.
            at = values.len().min(at + 8);
        }
    }
    packed(&values[packed_from..], width, out);
}

/// One run.
pub(crate) fn run(value: u32, length: usize, width: u8, out: &mut Vec<u8>) {
    varint(length << 1, out);
    out.extend(&value.to_le_bytes()[..usize::from(width).div_ceil(8)]);
}

/// The last group is filled up with zeros, which readers do not read.
fn packed(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint(values.len().div_ceil(8) << 1 | 1, out);
    // Eight values have as many bytes as one of them has bits.
    let mut groups = values.chunks(8);
    if width <= 16 {
        let whole = values.chunks_exact(8);
        groups = whole.remainder().chunks(8);
        for group in whole {
            let values = group.iter().rev();
            let bits = values.fold(0_u128, |bits, value| bits << width | u128::from(*value));
            out.extend(&bits.to_le_bytes()[..usize::from(width)]);
        }
    }
    for group in groups {
        let end = out.len() + usize::from(width);
        let (mut bits, mut filled) = (0_u64, 0);
        for value in group {
            bits |= u64::from(*value) << filled;
            filled += u32::from(width);
            while filled >= 8 {
                out.push(bits as u8);
                bits >>= 8;
                filled -= 8;
            }
        }
        if filled > 0 {
            out.push(bits as u8);
        }
        out.resize(end, 0);
    }
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the hybrid back, as the format describes it.
    fn read(mut bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let mut header = 0;
            for place in 0.. {
                let (first, rest) = bytes.split_first().expect("a header");
                bytes = rest;
                header |= usize::from(first & 0x7f) << (7 * place);
                if first & 0x80 == 0 {
                    break;
                }
            }
            let width = usize::from(width);
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8));
                bytes = rest;
                let value = value.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, header >> 1));
            } else {
                let (packed, rest) = bytes.split_at((header >> 1) * width);
                bytes = rest;
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                values.extend((0..(header >> 1) * 8).map(|value| {
                    (0..width).fold(0, |sum, place| sum | bit(value * width + place) << place)
                }));
            }
        }
        assert!(bytes.is_empty());
        values.truncate(count);
        values
    }

    #[test]
    fn runs_and_packed_values_come_back() {
        for width in [0, 1, 2, 3, 7, 8, 9, 12, 16, 17, 24, 32] {
            let most = u32::MAX.checked_shr(32 - u32::from(width)).unwrap_or(0);
            for (count, run) in [(0, 1), (1, 1), (7, 1), (8, 2), (100, 33), (1001, 3), (5000, 700)]
            {
                let values: Vec<u32> =
                    (0..count).map(|at| (at / run * 2_654_435_761_usize) as u32 & most).collect();
                let mut bytes = Vec::new();
                hybrid(&values, width, &mut bytes);
                assert_eq!(read(&bytes, width, count), values, "{width} bits, {count} values");
            }
        }
    }

    #[test]
    fn a_long_run_is_short() {
        let mut bytes = Vec::new();
        hybrid(&[5; 100_000], 3, &mut bytes);
        assert_eq!(bytes.len(), 4);
    }
}
