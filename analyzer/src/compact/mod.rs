//! Merges small segments into large ones while a recorder and readers keep running.
//!
//! It replaces the whole folder of a day: the merged files and links to the others go into a new
//! folder, and the two folders are exchanged in one step (`renameat2(2)` with `RENAME_EXCHANGE`,
//! Linux 3.15). No reader sees a segment twice or misses one. Segments that the recorder sealed
//! into the old folder in between are moved to the new one before the old one is removed.
//!
//! Only segments with equal metadata are merged: same host, boot, recorder, versions and hooks,
//! and no gap between them. Their rows stay in order of time.

mod merge;
mod rollups;
mod swap;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tcprst_schema::footer::Footer;
use tcprst_schema::paths::{SEALED, SegmentName, spool_dir};
use tcprst_schema::tables::{Content, Table};

use crate::error::CompactError;
use crate::recording::sealed::{self, Sealed};
use crate::recording::step::Step;

/// The lock file of a folder that is being compacted.
const LOCK: &str = ".tcprst-compact.lock";
/// Prefix of work folders; they are below the spool, where no reader looks for sealed files.
const WORK: &str = "compact-";
/// The longest time between two consecutive segments.
const SEAM_US: i64 = 1_000_000;

/// The size of merged segments.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// A segment of this size is large enough; a merged one stays below twice this size.
    pub target_bytes: u64,
}

/// The result for one day of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    pub table: &'static str,
    pub date: String,
    pub files_before: usize,
    pub files_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// Compacts every day of a recording and returns the result for each day that changed.
pub fn compact(dir: &Path, policy: Policy) -> Result<Vec<Compacted>, CompactError> {
    let _lock = lock(dir)?;
    swap::clean_up(dir)?;
    let mut done = Vec::new();
    for table in Table::all().filter(|table| table.row().content == Content::Rows) {
        for (date, folder) in days(&dir.join(table.name()))? {
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

/// The `date=` folders of a table, oldest first.
fn days(top: &Path) -> Result<BTreeMap<String, PathBuf>, CompactError> {
    let entries = match fs::read_dir(top) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(CompactError::io("read", top)(error)),
    };
    let mut days = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(CompactError::io("read", top))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(date) = name.and_then(|name| name.strip_prefix("date="))
            && path.is_dir()
        {
            days.insert(date.to_owned(), path);
        }
    }
    Ok(days)
}

/// A sealed file of the day.
pub(crate) struct Source {
    name: SegmentName,
    segment: Sealed,
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
            sources.push(Source { name, segment });
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
fn merge_all(table: Table, groups: &[Vec<Source>], work: &Path) -> Result<(), CompactError> {
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

/// Runs of at least two segments to merge.
fn grouped(mut sources: Vec<Source>, policy: Policy) -> Vec<Vec<Source>> {
    sources.retain(|source| source.segment.bytes < policy.target_bytes);
    sources.sort_by_key(|source| {
        let footer = &source.segment.footer;
        (source.name.host().to_owned(), footer.recorded_from_us, source.name.clone())
    });
    let mut groups: Vec<(Vec<Source>, u64)> = Vec::new();
    for source in sources {
        let bytes = source.segment.bytes;
        match groups.last_mut() {
            Some((group, sum))
                if *sum + bytes <= policy.target_bytes
                    && group.last().is_some_and(|last| follows(last, &source)) =>
            {
                *sum += bytes;
                group.push(source);
            }
            _ => groups.push((vec![source], bytes)),
        }
    }
    groups.into_iter().map(|(group, _)| group).filter(|group| group.len() > 1).collect()
}

/// Whether the second segment continues the first and has equal metadata.
fn follows(one: &Source, other: &Source) -> bool {
    let (a, b) = (&one.segment.footer, &other.segment.footer);
    let is_same = |a: &Footer, b: &Footer| {
        a.schema_version == b.schema_version
            && a.taxonomy_version == b.taxonomy_version
            && a.recorder == b.recorder
            && a.host == b.host
            && a.boot_id == b.boot_id
            && a.kernel == b.kernel
            && a.sites == b.sites
            && a.reasons == b.reasons
            && a.filtered == b.filtered
            && a.recovered == b.recovered
    };
    one.name.host() == other.name.host()
        && is_same(a, b)
        && b.recorded_from_us - a.recorded_to_us <= SEAM_US
}

/// The parent of a recording's work folders.
fn work_root(dir: &Path) -> PathBuf {
    spool_dir(dir)
}
