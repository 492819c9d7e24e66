//! The steps by which rollups count.

use tcprst_schema::rollup::{DAY_US, HOUR_US, MINUTE_US};
use tcprst_schema::tables::Table;

/// The steps of a rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Minute,
    Hour,
    Day,
}

impl Step {
    /// The longest first: it has the fewest rows.
    pub(crate) const ALL: [Step; 3] = [Step::Day, Step::Hour, Step::Minute];

    pub(crate) fn length_us(self) -> i64 {
        match self {
            Step::Minute => MINUTE_US,
            Step::Hour => HOUR_US,
            Step::Day => DAY_US,
        }
    }

    pub(crate) fn table(self) -> Table {
        match self {
            Step::Minute => Table::ResetsPerMinute,
            Step::Hour => Table::ResetsPerHour,
            Step::Day => Table::ResetsPerDay,
        }
    }

    /// Units of `date_trunc` that are at least as long as the step.
    pub(crate) fn units(self) -> &'static [&'static str] {
        const UNITS: [&str; 7] = ["minute", "hour", "day", "week", "month", "quarter", "year"];
        &UNITS[self as usize..]
    }

    /// Parts of a time that are constant within the step.
    pub(crate) fn parts(self) -> &'static [&'static str] {
        const PARTS: [&str; 10] =
            ["minute", "hour", "day", "dow", "isodow", "doy", "week", "month", "quarter", "year"];
        &PARTS[self as usize..]
    }
}
