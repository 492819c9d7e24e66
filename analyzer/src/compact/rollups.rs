//! Rollups of merged segments by the minute, and by the hour and the day if these are shorter.
//!
//! A rollup has the name of its segment. Readers use it only if it counts all resets of the segment,
//! so that each rollup can be written and removed independently.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use tcprst_schema::columns::DIMENSIONS;
use tcprst_schema::paths::{SegmentName, spool_dir};
use tcprst_schema::rollup::{HOUR_US, Rollup};
use tcprst_schema::tables::Table;
use tcprst_schema::writer::{PartialFile, create_dir};

use super::merge::each_batch;
use super::swap::{self, days};
use crate::error::CompactError;
use crate::recording::sealed::{self, Sealed};
use crate::recording::step::Step;

/// Writes missing rollups of one step, and removes those without a segment.
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
            let Some((first, last)) = segment.span() else { continue };
            if last - first < least_span_us(step) {
                continue;
            }
            let target = name.sealed(dir, step.table());
            if counts(&target) != Some(segment.footer.in_rollup()) {
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

/// The minimum length of a segment: below it, longer steps save almost no rows.
fn least_span_us(step: Step) -> i64 {
    match step {
        Step::Minute => 0,
        Step::Hour => HOUR_US / 2,
        Step::Day => 2 * HOUR_US,
    }
}

/// The number of resets that a rollup counts.
fn counts(path: &Path) -> Option<u64> {
    sealed::open(path).ok().map(|rollup| rollup.footer.written)
}

/// Adds the rows of a file to a rollup.
fn count(rollup: &mut Rollup, file: &Sealed, columns: Option<&[&str]>) -> Result<(), CompactError> {
    each_batch(file, columns, |batch| {
        rollup.add(&batch).map_err(|error| CompactError::read(&file.path, &error))
    })
}

fn write_one(
    dir: &Path,
    step: Step,
    name: &SegmentName,
    segment: &Sealed,
) -> Result<(), CompactError> {
    let mut rollup = Rollup::with_step(step.length_us());
    let parts = if step == Step::Minute { parts(dir, name, segment) } else { Vec::new() };
    if parts.is_empty() && step == Step::Minute && segment.footer.counted > 0 {
        // Its rows are not all of its resets.
        return Ok(());
    }
    if parts.is_empty() {
        let own = ["time", "count", "counted"];
        let columns: Vec<&str> = DIMENSIONS.iter().copied().chain(own).collect();
        count(&mut rollup, segment, Some(&columns))?;
    }
    for part in &parts {
        count(&mut rollup, part, None)?;
    }
    let rows = rollup.finish().map_err(|error| CompactError::read(&segment.path, &error))?;
    // A copied recording may lack the folder of unfinished files.
    create_dir(&spool_dir(dir))?;
    let mut file = PartialFile::create(name.partial(dir, step.table()), step.table())?;
    file.append(&rows)?;
    let footer = segment.footer.for_companion(segment.footer.in_rollup());
    Ok(file.seal(&footer, &name.sealed(dir, step.table()))?)
}

/// The rollups of the parts of a merged segment, if they count all its resets: they are much
/// smaller than the rows.
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
    if counted == segment.footer.in_rollup() { parts } else { Vec::new() }
}
