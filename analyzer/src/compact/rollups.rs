//! Rollups of what was merged, by the minute, and by the hour and the day where that is shorter.
//!
//! They stand beside their segment under its name and count as much as it has rows, else no
//! reader uses them: each can be written, and removed, by itself.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use tcprst_schema::columns::DIMENSIONS;
use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{SegmentName, Table};
use tcprst_schema::rollup::{HOUR_US, Rollup};
use tcprst_schema::writer::PartialFile;

use super::merge::each_batch;
use super::{CompactError, days, swap};
use crate::rollup::Step;
use crate::sealed::{self, Sealed};

/// Writes what is missing in one table of them, and removes what has lost its segment.
pub(super) fn write(dir: &Path, step: Step) -> Result<(), CompactError> {
    let source = match step {
        Step::Minute => Table::Resets,
        Step::Hour | Step::Day => Table::ResetsPerMinute,
    };
    let mut names = HashSet::new();
    for folder in days(&dir.join(source.name()))?.values() {
        for path in swap::list(folder)? {
            let (Some(name), Ok(segment)) = (SegmentName::of_file(&path), sealed::open(&path))
            else {
                continue;
            };
            let Some((first, last)) = segment.times else { continue };
            if last - first < least_span_us(step) {
                continue;
            }
            let target = name.sealed(dir, step.table());
            if counts(&target) != Some(segment.footer.written) {
                write_one(dir, step, &name, &segment)?;
            }
            names.insert(name);
        }
    }
    for folder in days(&dir.join(step.table().name()))?.values() {
        for path in swap::list(folder)? {
            if SegmentName::of_file(&path).is_some_and(|name| !names.contains(&name)) {
                fs::remove_file(&path).map_err(CompactError::io("remove", &path))?;
            }
        }
    }
    Ok(())
}

/// Of a shorter segment they would have about as many rows as the shorter steps have.
fn least_span_us(step: Step) -> i64 {
    match step {
        Step::Minute => 0,
        Step::Hour => HOUR_US / 2,
        Step::Day => 2 * HOUR_US,
    }
}

/// How many resets a rollup counts.
fn counts(path: &Path) -> Option<u64> {
    sealed::open(path).ok().map(|rollup| rollup.footer.written)
}

fn write_one(
    dir: &Path,
    step: Step,
    name: &SegmentName,
    segment: &Sealed,
) -> Result<(), CompactError> {
    let mut rollup = Rollup::by(step.length_us());
    let parts = if step == Step::Minute { parts(dir, name, segment) } else { Vec::new() };
    if parts.is_empty() {
        let columns: Vec<&str> = DIMENSIONS.iter().copied().chain(["time", "count"]).collect();
        each_batch(segment, Some(&columns), |batch| Ok(rollup.add(&batch)?))?;
    }
    for part in &parts {
        each_batch(part, None, |batch| Ok(rollup.add(&batch)?))?;
    }
    let rows = rollup.finish().map_err(|error| CompactError::read(&segment.path, &error))?;
    let mut file = PartialFile::create(name.partial(dir, step.table()), step.table())?;
    file.append(&rows)?;
    let footer = Footer { seen: 0, lost: 0, ..segment.footer.clone() };
    Ok(file.seal(&footer, &name.sealed(dir, step.table()))?)
}

/// The rollups of what was merged into a segment, where they count all of it: they are a
/// fraction of its rows.
fn parts(dir: &Path, name: &SegmentName, segment: &Sealed) -> Vec<Sealed> {
    let merged = segment.footer.merged.iter().filter_map(|name| name.parse().ok());
    let parts: Vec<Sealed> = [name.clone()]
        .into_iter()
        .chain(merged)
        .filter_map(|name: SegmentName| {
            sealed::open(&name.sealed(dir, Table::ResetsPerMinute)).ok()
        })
        .collect();
    let counted: u64 = parts.iter().map(|part| part.footer.written).sum();
    if counted == segment.footer.written { parts } else { Vec::new() }
}
