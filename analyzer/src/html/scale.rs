//! The timeline's intervals.

/// Round interval widths, in seconds.
const WIDTHS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800, 1_209_600, 2_419_200,
];

/// Maximum number of bars that a reader can distinguish.
const MAX_INTERVALS: i64 = 300;

const SECOND_US: i64 = 1_000_000;

/// Equal intervals that start at multiples of their width since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) width_us: i64,
    /// Number of the first interval since 1970.
    pub(super) first: i64,
    pub(super) count: i64,
}

impl Scale {
    /// The finest scale that covers the window with at most 300 intervals.
    pub(super) fn covering(from_us: i64, to_us: i64) -> Self {
        let seconds = (to_us.saturating_sub(from_us) / SECOND_US).max(1);
        let finest = (seconds - 1) / (MAX_INTERVALS - 1) + 1;
        let width = WIDTHS.into_iter().find(|width| *width >= finest).unwrap_or_else(|| {
            // A clock was wrong by decades: use whole years of 365 days.
            let year = 31_536_000;
            (finest / year + 1) * year
        });
        Self::with_width(width * SECOND_US, from_us, to_us)
    }

    fn with_width(width_us: i64, from_us: i64, to_us: i64) -> Self {
        let first = from_us.div_euclid(width_us);
        // The end of the window is exclusive.
        let last = to_us.saturating_sub(1).max(from_us).div_euclid(width_us);
        Self { width_us, first, count: last - first + 1 }
    }

    /// The number of the interval that contains a time.
    pub(super) fn at(&self, time_us: i64) -> u32 {
        let at = (time_us.div_euclid(self.width_us) - self.first).clamp(0, self.count - 1);
        u32::try_from(at).unwrap_or(0)
    }

    /// The same window in intervals twice as wide.
    pub(super) fn coarser(&self) -> Self {
        let from = self.first * self.width_us;
        Self::with_width(self.width_us * 2, from, from + self.count * self.width_us)
    }

    /// The interval width as SQL.
    pub(super) fn interval(&self) -> String {
        format!("interval '{} seconds'", self.width_us / SECOND_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_no_more_than_300_round_intervals() {
        let day = 86_400 * SECOND_US;
        for (length, width) in
            [(0, 1), (299, 1), (300, 2), (3600, 15), (86_400, 300), (86_400 * 90, 43_200)]
        {
            let scale = Scale::covering(20_000 * day, 20_000 * day + length * SECOND_US);
            assert_eq!(scale.width_us, width * SECOND_US, "{length}");
        }
        for length in (0..3_000_000_000_i64).step_by(777_777) {
            for offset in [0, 1, 12_345_678_901] {
                let from = 19_000 * day + offset;
                let scale = Scale::covering(from, from + length * SECOND_US);
                assert!((1..=MAX_INTERVALS + 1).contains(&scale.count), "{length} {scale:?}");
            }
        }
    }

    #[test]
    fn coarser_intervals_hold_whole_ones() {
        let scale = Scale { width_us: 5 * SECOND_US, first: 7, count: 4 };
        assert_eq!(scale.coarser(), Scale { width_us: 10 * SECOND_US, first: 3, count: 3 });
        assert_eq!((scale.at(35 * SECOND_US), scale.at(54_999_999), scale.at(0)), (0, 3, 0));
    }
}
