//! A recording: its files, and what is known about them.
//!
//! The recorder seals a segment by renaming the finished Parquet file into place and removing
//! its spool afterwards. So spools are read before the sealed files are listed: a segment that
//! is sealed in between is seen twice, never missed, and its spool is dropped.
//!
//! Listing opens no file. A table asks for the segments that can match its query, by the times in
//! their names, and only their footers are read, once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use arrow::array::RecordBatch;
use tcprst_schema::paths::{self, SegmentName};
use tcprst_schema::tables::{TABLES, Table};

use crate::error::Error;
use crate::recording::left_out::LeftOut;
use crate::recording::prune::Times;
use crate::recording::sealed::Sealed;
use crate::recording::spool::Live;
use crate::recording::types::reader_schema;

pub(crate) mod files;
mod left_out;
mod metadata;
pub(crate) mod provider;
pub(crate) mod prune;
mod reader;
pub(crate) mod rederive;
pub(crate) mod scan;
pub(crate) mod sealed;
pub(crate) mod spool;
pub(crate) mod step;
pub(crate) mod table;
pub(crate) mod types;

/// Maximum depth of folders below a table's folder, which has `date=...`. More is a mistake.
const MAX_DEPTH: usize = 4;

/// A file that the answer leaves out, completely or in part.
#[derive(Debug)]
pub(crate) struct Skipped {
    path: PathBuf,
    reason: String,
}

impl Skipped {
    fn new(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Error messages of libraries can have several lines.
        let reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "skipped {}: {reason}", self.path.display())
    }
}

/// A sealed file, as listed.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    /// `None` if it is not named like a segment.
    pub name: Option<SegmentName>,
    /// The paths with this name: more than one if another folder holds a copy.
    paths: Vec<PathBuf>,
    /// Its footer, once it was needed; `None` if no copy is usable.
    opened: OnceLock<Option<Arc<Sealed>>>,
}

impl SegmentFile {
    /// Whether the file can have rows of these times. Its name alone decides, in tables whose names
    /// bound the times of their rows.
    fn can_meet(&self, table: Table, times: Times) -> bool {
        match (&self.name, table) {
            (Some(name), table) if table.row().name_bounds_times => {
                times.meet(name.first_time_us(), name.day_end_us())
            }
            _ => true,
        }
    }

    /// Opens the first usable copy and reports what is wrong with the copies before it.
    fn open(&self, table: Table) -> Opened {
        let (mut skipped, mut is_gone) = (Vec::new(), false);
        for path in &self.paths {
            match sealed::open_to_scan(path, table) {
                Ok(segment) => {
                    return Opened { segment: Some(Arc::new(segment)), skipped, is_gone: false };
                }
                // Removed or merged since it was listed.
                Err(sealed::Unusable::Open(error)) if error.kind() == io::ErrorKind::NotFound => {
                    is_gone = true;
                }
                Err(reason) => skipped.push(Skipped::new(path, reason)),
            }
        }
        Opened { segment: None, skipped, is_gone }
    }
}

/// The result of opening a file.
struct Opened {
    segment: Option<Arc<Sealed>>,
    skipped: Vec<Skipped>,
    /// A copy was removed since it was listed.
    is_gone: bool,
}

/// How often a table is listed again because files of it were removed.
const MAX_LISTINGS: usize = 10;

/// The segments of all given folders at one moment.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    dirs: Vec<PathBuf>,
    live: Vec<Live>,
    /// The files of each table, in the order of [`TABLES`].
    sealed: [Mutex<Arc<Vec<SegmentFile>>>; TABLES.len()],
    skipped: Mutex<Vec<Skipped>>,
    /// Counted resets that an answer from rows left out, by their segment.
    left_out: LeftOut,
}

impl Recording {
    /// Finds the segments of `dirs`.
    pub(crate) fn open(dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut recording = Self { dirs: dirs.to_vec(), ..Self::default() };
        // All spools before all sealed files, because one folder may be a copy of another.
        for dir in dirs {
            fs::read_dir(dir).map_err(|source| Error::Folder { path: dir.clone(), source })?;
            recording.add_spools(&paths::spool_dir(dir))?;
        }
        for table in Table::all() {
            recording.list_table(table)?;
        }
        recording.drop_sealed_spools();
        if recording.is_empty() {
            let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            return Err(Error::NothingRecorded { dirs: dirs.join(", ") });
        }
        Ok(recording)
    }

    /// Lists the sealed files of a table.
    fn list_table(&self, table: Table) -> Result<(), Error> {
        let mut found = Vec::new();
        for dir in &self.dirs {
            found.extend(self.list(&dir.join(table.name()), paths::SEALED)?);
        }
        let listed = Arc::new(by_name(found));
        *self.sealed[table as usize].lock().unwrap_or_else(PoisonError::into_inner) = listed;
        Ok(())
    }

    /// Drops spools whose segment is sealed, and second copies of a spool.
    fn drop_sealed_spools(&mut self) {
        let sealed = self.files(Table::Resets);
        let mut taken: HashSet<SegmentName> =
            sealed.iter().filter_map(|file| file.name.clone()).collect();
        self.live.retain(|spool| {
            SegmentName::of_file(&spool.path).is_none_or(|name| taken.insert(name))
        });
    }

    /// The files that the answer leaves out so far. Each is returned once.
    pub(crate) fn take_skipped(&self) -> Vec<Skipped> {
        let mut skipped =
            std::mem::take(&mut *self.skipped.lock().unwrap_or_else(PoisonError::into_inner));
        skipped.sort_by(|one, other| one.path.cmp(&other.path));
        skipped
    }

    /// Whether resets of these times were counted in place of a row each.
    pub(crate) fn has_counted(&self, times: Times) -> bool {
        let segments = self.sealed_within(Table::Resets, times);
        segments.iter().any(|segment| segment.footer.counted > 0)
            || self.live.iter().any(|spool| !spool.counts.is_empty())
    }

    /// Remembers that an answer has the rows of a segment, but not the resets that were counted in
    /// place of a row each.
    pub(crate) fn leave_out_counted(&self, segment: &Sealed) {
        self.left_out.add(&segment.path, segment.footer.counted);
    }

    /// The same for live segments.
    pub(crate) fn leave_out_live_counted(&self) {
        self.live.iter().for_each(|spool| self.left_out.add(&spool.path, spool.counted()));
    }

    /// The counted resets that the answers so far leave out. Returned once.
    pub(crate) fn take_left_out(&self) -> u64 {
        self.left_out.take()
    }

    fn is_empty(&self) -> bool {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        let is_listed = Table::all().any(|table| !self.files(table).is_empty());
        self.live.is_empty() && !is_listed && skipped.is_empty()
    }

    fn skip(&self, skipped: Skipped) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).push(skipped);
    }

    /// The sealed files of a table, as listed.
    pub(crate) fn files(&self, table: Table) -> Arc<Vec<SegmentFile>> {
        Arc::clone(&self.sealed[table as usize].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Segments that a recorder still appends to.
    pub(crate) fn live(&self) -> &[Live] {
        &self.live
    }

    /// The rows of live segments, segment by segment.
    pub(crate) fn live_batches(&self) -> Vec<Vec<RecordBatch>> {
        self.live.iter().map(|spool| spool.batches.clone()).collect()
    }

    /// All usable sealed segments of a table that can have rows of these times, opened.
    pub(crate) fn sealed_within(&self, table: Table, times: Times) -> Vec<Arc<Sealed>> {
        self.sealed_for(table, times, None)
    }

    /// The same, or enough of them for this number of rows: the other footers are not read.
    pub(crate) fn sealed_for(
        &self,
        table: Table,
        times: Times,
        rows: Option<i64>,
    ) -> Vec<Arc<Sealed>> {
        let mut files = self.files(table);
        for _ in 0..MAX_LISTINGS {
            let wanted: Vec<&SegmentFile> =
                files.iter().filter(|file| file.can_meet(table, times)).collect();
            let are_enough = |rows: i64| {
                let chosen = self.chosen(table, times, &files);
                chosen.iter().fold(0_i64, |sum, segment| sum.saturating_add(segment.rows)) >= rows
            };
            // Start with one file, because most have more rows than needed, then double.
            let mut share = rows.map_or(wanted.len(), |_| 1);
            let (mut left, mut are_there) = (&wanted[..], true);
            while are_there && !left.is_empty() {
                let next;
                (next, left) = left.split_at(share.min(left.len()));
                are_there = self.open_all(table, next);
                if rows.is_some_and(are_enough) {
                    break;
                }
                share *= 2;
            }
            // Rows of a removed file may be in another one now. If listing fails, the old list
            // stays.
            if are_there || self.list_table(table).is_err() {
                break;
            }
            files = self.files(table);
        }
        self.chosen(table, times, &files)
    }

    /// The opened segments that a query about these times must read.
    fn chosen(&self, table: Table, times: Times, files: &[SegmentFile]) -> Vec<Arc<Sealed>> {
        // Rows that were read from a spool must not be read again from the file it became.
        let live: HashSet<SegmentName> =
            self.live.iter().filter_map(|spool| SegmentName::of_file(&spool.path)).collect();
        let is_live = |file: &SegmentFile| {
            table == Table::Resets && file.name.as_ref().is_some_and(|name| live.contains(name))
        };
        let opened = || {
            files
                .iter()
                .filter(|file| file.can_meet(table, times) && !is_live(file))
                .filter_map(|file| Some((file, file.opened.get()?.as_ref()?)))
        };
        // While `compact` removes the old files, their rows exist twice.
        let merged: HashSet<&str> =
            opened().flat_map(|(_, segment)| &segment.footer.merged).map(String::as_str).collect();
        let is_merged = |file: &SegmentFile| match &file.name {
            Some(name) if !merged.is_empty() => merged.contains(name.to_string().as_str()),
            _ => false,
        };
        let of_times = |segment: &Sealed| match (table, segment.span()) {
            (table, Some((least, greatest))) if table.row().name_bounds_times => {
                least < times.to_us && times.from_us <= greatest
            }
            _ => true,
        };
        opened()
            .filter(|(file, segment)| !is_merged(file) && of_times(segment))
            .map(|(_, segment)| Arc::clone(segment))
            .collect()
    }

    /// Reads the footers on every core: a month of five-minute segments is 8640 files. Returns false
    /// if some were removed.
    fn open_all(&self, table: Table, files: &[&SegmentFile]) -> bool {
        let files: Vec<&SegmentFile> =
            files.iter().filter(|file| file.opened.get().is_none()).copied().collect();
        let are_there = AtomicBool::new(true);
        let open_share = |files: &[&SegmentFile]| {
            for file in files {
                file.opened.get_or_init(|| {
                    let opened = file.open(table);
                    opened.skipped.into_iter().for_each(|skipped| self.skip(skipped));
                    if opened.is_gone {
                        are_there.store(false, Ordering::Relaxed);
                    }
                    opened.segment
                });
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // Starting a thread takes as long as reading a few footers.
        if threads == 1 || files.len() < 8 {
            open_share(&files);
            return are_there.into_inner();
        }
        let share = files.len().div_ceil(threads);
        let open_share = &open_share;
        thread::scope(|scope| {
            let workers: Vec<_> =
                files.chunks(share).map(|files| scope.spawn(move || open_share(files))).collect();
            for worker in workers {
                worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
        are_there.into_inner()
    }

    fn add_spools(&mut self, dir: &Path) -> Result<(), Error> {
        let schema = reader_schema(Table::Resets);
        for path in self.list(dir, paths::SPOOL)? {
            match spool::read(&path, &schema) {
                Ok(Some(live)) => {
                    if let Some(damage) = &live.damage {
                        let reason = format!("{} rows read, then damaged: {damage}", live.rows());
                        self.skip(Skipped::new(&path, reason));
                    }
                    self.live.push(live);
                }
                Ok(None) => {}
                // Sealed since it was listed.
                Err(spool::SpoolError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => self.skip(Skipped::new(&path, reason)),
            }
        }
        Ok(())
    }

    /// Files below `top` with this extension, sorted. None if the folder does not exist: the
    /// recorder creates each folder when it first needs it.
    fn list(&self, top: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        let mut folders = vec![(top.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let entries = match fs::read_dir(&folder)
                .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) if depth == 0 => return Err(Error::Folder { path: folder, source }),
                Err(error) => {
                    self.skip(Skipped::new(&folder, error));
                    continue;
                }
            };
            for entry in entries {
                let path = entry.path();
                // `file_type` does not follow links: a link to a folder could form a loop.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if depth < MAX_DEPTH {
                        folders.push((path, depth + 1));
                    }
                } else if path.extension().is_some_and(|found| found == extension) {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Groups paths by name. Files of the same name are copies of one segment, which counts once.
fn by_name(paths: Vec<PathBuf>) -> Vec<SegmentFile> {
    let mut files: Vec<SegmentFile> = Vec::with_capacity(paths.len());
    let mut places: HashMap<SegmentName, usize> = HashMap::new();
    for path in paths {
        let name = SegmentName::of_file(&path);
        match name.as_ref().and_then(|name| places.get(name)) {
            Some(at) => files[*at].paths.push(path),
            None => {
                places.extend(name.clone().map(|name| (name, files.len())));
                files.push(SegmentFile { name, paths: vec![path], opened: OnceLock::new() });
            }
        }
    }
    files
}
