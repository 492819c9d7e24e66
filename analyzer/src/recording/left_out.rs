//! Resets that an answer from rows leaves out, because they were counted in place of a row each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Counts by segment, so that a segment that is read twice counts once.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Mutex<BTreeMap<PathBuf, u64>>);

impl LeftOut {
    pub(super) fn add(&self, segment: &Path, resets: u64) {
        if resets > 0 {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(segment.to_owned(), resets);
        }
    }

    /// The sum so far. Returned once.
    pub(super) fn take(&self) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all).into_values().sum()
    }
}
