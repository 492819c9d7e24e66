//! Merges small segments into large ones while a recorder and readers keep running.
//!
//! It replaces the whole folder of a day: the merged files and links to the others go into a new
//! folder, and the two folders are exchanged in one step (`renameat2(2)` with `RENAME_EXCHANGE`,
//! Linux 3.15). No reader sees a segment twice or misses one. Segments that the recorder sealed
//! into the old folder in between are moved to the new one before the old one is removed.
//!
//! Only segments with equal metadata are merged: same host, boot, recorder, versions and hooks,
//! and no gap between them. Their rows stay in order of time.

mod groups;
mod merge;
mod rollups;
mod swap;

use std::fs::{self, File, TryLockError};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tcprst_schema::paths::{SEALED, SegmentName};
use tcprst_schema::tables::{Content, Table};

use crate::error::CompactError;
use crate::recording::sealed;
use crate::recording::step::Step;

pub(crate) use groups::Policy;
use groups::{DayFile, grouped};

/// The lock file of a folder that is being compacted.
const LOCK: &str = ".tcprst-compact.lock";

/// The result for one day of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub table: &'static str,
    pub date: String,
    pub files_before: usize,
    pub files_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Compacts every day of a recording and returns the result for each day that changed.
pub(crate) fn compact(dir: &Path, policy: Policy) -> Result<Vec<Compacted>, CompactError> {
    let _lock = lock(dir)?;
    swap::clean_up(dir)?;
    let mut done = Vec::new();
    for table in Table::all().filter(|table| table.row().content == Content::Rows) {
        for (date, folder) in swap::days(&dir.join(table.name()))? {
            let compacted = compact_day(dir, table, &date, &folder, policy);
            if compacted.is_err() {
                // A partial work folder only fills the disk. Report the first error.
                let _ = swap::clean_up(dir);
            }
            done.extend(compacted?);
        }
    }
    // Until its rollup exists, queries read the rows of a merged segment.
    for step in [Step::Minute, Step::Hour, Step::Day] {
        rollups::write(dir, step)?;
    }
    Ok(done)
}

fn lock(dir: &Path) -> Result<File, CompactError> {
    let path = dir.join(LOCK);
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(CompactError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CompactError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(CompactError::io("lock", &path)(source)),
    }
}

fn compact_day(
    dir: &Path,
    table: Table,
    date: &str,
    folder: &Path,
    policy: Policy,
) -> Result<Option<Compacted>, CompactError> {
    let listed = swap::list(folder)?;
    let mut sources = Vec::new();
    for path in &listed {
        // Foreign and damaged files stay in place: queries report them.
        let is_sealed = path.extension().is_some_and(|extension| extension == SEALED);
        if let Some(name) = SegmentName::of_file(path).filter(|_| is_sealed)
            && let Ok(segment) = sealed::open(path)
        {
            sources.push(DayFile { name, segment });
        }
    }
    let groups = grouped(sources, policy);
    if groups.is_empty() {
        return Ok(None);
    }
    let work = swap::work_folder(dir, table, date)?;
    merge_all(table, &groups, &work)?;
    let merged_names: Vec<PathBuf> =
        groups.iter().flatten().map(|source| source.segment.path.clone()).collect();
    let links: Vec<&PathBuf> = listed.iter().filter(|path| !merged_names.contains(path)).collect();
    swap::link_all(&links, &work)?;
    let bytes = |paths: &[PathBuf]| -> u64 {
        paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
    };
    let mut compacted = Compacted {
        table: table.name(),
        date: date.to_owned(),
        files_before: listed.len(),
        bytes_before: bytes(&listed),
        ..Compacted::default()
    };
    swap::exchange(folder, &work, &listed)?;
    let after = swap::list(folder)?;
    compacted.files_after = after.len();
    compacted.bytes_after = bytes(&after);
    Ok(Some(compacted))
}

/// Each core takes the next run, because nearly all of the work is encoding.
fn merge_all(table: Table, groups: &[Vec<DayFile>], work: &Path) -> Result<(), CompactError> {
    let next = AtomicUsize::new(0);
    let merge_some = || {
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            merge::merge(table, group, work)?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(groups.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(merge_some)).collect();
        let mut done = workers.into_iter().map(|worker| worker.join());
        done.try_for_each(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
