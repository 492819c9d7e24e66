//! Medians, quartiles and spreads.

/// The middle of what was measured; none where nothing was.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// The lowest and the highest value; none where nothing was measured.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values = sorted(values);
    Some((*values.first()?, *values.last()?))
}

/// The distribution of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) median: f64,
    pub(crate) upper_quartile: f64,
}

impl Summary {
    /// None where nothing was measured.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        Some(Self {
            min: *values.first()?,
            lower_quartile: quantile(&values, 0.25)?,
            median: quantile(&values, 0.5)?,
            upper_quartile: quantile(&values, 0.75)?,
        })
    }
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value at a place from 0 to 1, in proportion between the two nearest: quantiles of type 7,
/// the default of R and numpy.
fn quantile(sorted: &[f64], place: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = place * last as f64;
    let below = at.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 200.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 3.0, 200.0]), Some(3.5));
    }

    #[test]
    fn a_spread_is_from_the_lowest_to_the_highest() {
        assert_eq!(spread([]), None);
        assert_eq!(spread([2.0]), Some((2.0, 2.0)));
        assert_eq!(spread([3.0, -1.0, 2.0]), Some((-1.0, 3.0)));
    }

    #[test]
    fn quartiles_lie_between_the_nearest_values() {
        assert_eq!(Summary::new([]), None);
        let one = Summary { min: 7.0, lower_quartile: 7.0, median: 7.0, upper_quartile: 7.0 };
        assert_eq!(Summary::new([7.0]), Some(one));
        let five = Summary { min: 1.0, lower_quartile: 2.0, median: 3.0, upper_quartile: 4.0 };
        assert_eq!(Summary::new([5.0, 3.0, 1.0, 2.0, 4.0]), Some(five));
        let four = Summary { min: 0.0, lower_quartile: 3.0, median: 6.0, upper_quartile: 9.0 };
        assert_eq!(Summary::new([12.0, 4.0, 8.0, 0.0]), Some(four));
    }
}
