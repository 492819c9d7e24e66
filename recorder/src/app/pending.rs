//! Rows on their way from the rings to the store.

use std::sync::Arc;

use tcprst_schema::row::{Own, Row};

use crate::store::Before;

/// A row that is not in the store yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// What it has in common with others, without its owner.
    pub(super) profile: Arc<Row>,
    pub(super) own: Own,
    /// What was lost and counted on its CPU before it.
    pub(super) before: Before,
}

impl Pending {
    /// The whole row, with the owner of `profile`.
    pub(super) fn row(&self, profile: &Row) -> Row {
        let mut row = profile.clone();
        row.set_own(&self.own);
        row
    }
}

/// Times up to `until`, in order, and their places. Each CPU's events are in order already; the sort
/// finds that and merges them. It moves 16 bytes for each row, not the row.
pub(super) fn in_order(times: impl Iterator<Item = u64>, until: u64) -> Vec<(u64, usize)> {
    let places = times.enumerate().map(|(place, time)| (time, place));
    let mut order: Vec<_> = places.filter(|(time, _)| *time <= until).collect();
    order.sort();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_in_the_order_of_their_time() {
        // Of two CPUs, in chunks; two at the same time stay as they came.
        let times = [10, 20, 30, 5, 25, 30, 40, 7];
        let order = in_order(times.into_iter(), 30);
        assert_eq!(
            order,
            [(5, 3), (7, 7), (10, 0), (20, 1), (25, 4), (30, 2), (30, 5)],
            "what is after the limit waits"
        );
        assert!(in_order([9].into_iter(), 8).is_empty());
    }
}
