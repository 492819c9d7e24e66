//! The rollup of the open segment: resets by minute, profile and port of the service.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StructArray, TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;
use tcprst_schema::profile::spell_out;
use tcprst_schema::rollup::{MINUTE_US, Rollup};

use crate::error::{Error, Result};
use crate::hash::{Map, map};

/// What the resets of one count have in common.
type Key = (i64, u32, Option<u16>);

/// Counts of the rows of a segment.
#[derive(Debug)]
pub(super) struct Counts {
    counts: Map<Key, i64>,
    /// Neighbours are often alike: a run is counted before it is looked up.
    run: Option<(Key, i64)>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { counts: map(), run: None }
    }

    pub(super) fn add(&mut self, time_us: i64, profile: u32, port: Option<u16>) {
        let key = (time_us.div_euclid(MINUTE_US), profile, port);
        match &mut self.run {
            Some((last, count)) if *last == key => *count += 1,
            run => {
                if let Some((last, count)) = run.replace((key, 1)) {
                    *self.counts.entry(last).or_default() += count;
                }
            }
        }
    }

    /// Adds them to a rollup, with the profiles as they are named by now.
    pub(super) fn add_to(self, rollup: &mut Rollup, profiles: &StructArray) -> Result<()> {
        let mut counts = self.counts;
        if let Some((last, count)) = self.run {
            *counts.entry(last).or_default() += count;
        }
        let (keys, counts): (Vec<Key>, Vec<i64>) = counts.into_iter().unzip();
        let batch = batch(&keys, counts, profiles).map_err(Error::Batch)?;
        rollup.add(&batch).map_err(Error::Batch)
    }
}

/// The counts as rows of `resets` that stand for several.
fn batch(
    keys: &[Key],
    counts: Vec<i64>,
    profiles: &StructArray,
) -> std::result::Result<RecordBatch, ArrowError> {
    let times = keys.iter().map(|(minute, ..)| minute * MINUTE_US);
    let time = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let port: Int32Array = keys.iter().map(|(_, _, port)| port.map(i32::from)).collect();
    let numbers = keys.iter().map(|(_, profile, _)| profile.cast_signed());
    let rows = RecordBatch::try_from_iter([
        ("time", Arc::new(time) as ArrayRef),
        ("port", Arc::new(port)),
        ("count", Arc::new(Int64Array::from(counts))),
    ])?;
    spell_out(&rows, &Int32Array::from_iter_values(numbers), profiles)
}
