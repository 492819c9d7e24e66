//! Which files make up a recording.
//!
//! The recorder seals a segment by renaming the finished Parquet file into place and removing
//! its spool afterwards. So spools are read before the sealed files are listed: a segment that
//! is sealed meanwhile is then found twice and never not at all, and the spool gives way.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use arrow::datatypes::SchemaRef;
use tcprst_schema::columns::{COLUMNS, CONTAINER_COLUMNS, LEDGER_COLUMNS, LOSS_COLUMNS};
use tcprst_schema::paths::{self, SegmentName, Table};

use crate::error::Error;
use crate::sealed::{self, Sealed};
use crate::spool::{self, Live};
use crate::table::reader_schema;

/// Folders below a table's own: `date=...`. More than that is a loop or a mistake.
const MAX_DEPTH: usize = 4;

/// A file that is not, or not wholly, part of the answer.
#[derive(Debug)]
pub struct Skipped {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Error texts of libraries can have several lines.
        let reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "skipped {}: {reason}", self.path.display())
    }
}

/// The segments of all given folders at one moment.
#[derive(Debug, Default)]
pub struct Recording {
    pub resets: Vec<Sealed>,
    pub live: Vec<Live>,
    pub losses: Vec<Sealed>,
    pub ledger: Vec<Sealed>,
    pub containers: Vec<Sealed>,
    skipped: Vec<Skipped>,
    /// Names host, time to the microsecond and number: a second file of that name is a copy in
    /// another folder, and must not be counted twice.
    sealed_names: HashSet<(&'static str, SegmentName)>,
}

impl Recording {
    /// Finds and checks the segments of `dirs`.
    pub fn open(dirs: &[PathBuf]) -> Result<Self, Error> {
        let mut recording = Self::default();
        let resets = reader_schema(COLUMNS);
        let losses = reader_schema(LOSS_COLUMNS);
        let ledger = reader_schema(LEDGER_COLUMNS);
        let containers = reader_schema(CONTAINER_COLUMNS);
        // All spools before all sealed files: a folder may hold the copy of another.
        for dir in dirs {
            fs::read_dir(dir).map_err(|source| Error::Folder { path: dir.clone(), source })?;
            recording.add_spools(&paths::spool_dir(dir), &resets)?;
        }
        for dir in dirs {
            let found = recording.sealed(dir, Table::Resets, &resets)?;
            recording.resets.extend(found);
            let found = recording.sealed(dir, Table::Losses, &losses)?;
            recording.losses.extend(found);
            let found = recording.sealed(dir, Table::Ledger, &ledger)?;
            recording.ledger.extend(found);
            let found = recording.sealed(dir, Table::Containers, &containers)?;
            recording.containers.extend(found);
        }
        let Recording { live, sealed_names, .. } = &mut recording;
        let mut live_names = HashSet::new();
        live.retain(|spool| match SegmentName::of_file(&spool.path) {
            Some(name) => {
                let key = (Table::Resets.name(), name);
                !sealed_names.contains(&key) && live_names.insert(key)
            }
            None => true,
        });
        if recording.is_empty() {
            let mut shown = dirs.iter().map(|dir| dir.display().to_string());
            let first = shown.next().unwrap_or_default();
            let dirs = shown.fold(first.clone(), |all, dir| format!("{all}, {dir}"));
            return Err(Error::NothingRecorded { dirs, first });
        }
        Ok(recording)
    }

    /// Files that the answer leaves out.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn is_empty(&self) -> bool {
        self.resets.is_empty()
            && self.live.is_empty()
            && self.losses.is_empty()
            && self.ledger.is_empty()
            && self.containers.is_empty()
            && self.skipped.is_empty()
    }

    fn skip(&mut self, path: &Path, reason: impl fmt::Display) {
        self.skipped.push(Skipped { path: path.to_owned(), reason: reason.to_string() });
    }

    fn add_spools(&mut self, dir: &Path, schema: &SchemaRef) -> Result<(), Error> {
        for path in self.list(dir, paths::SPOOL)? {
            match spool::read(&path, schema) {
                Ok(Some(live)) => {
                    if let Some(damage) = &live.damage {
                        let reason = format!("{} rows read, then damaged: {damage}", live.rows());
                        self.skip(&path, reason);
                    }
                    self.live.push(live);
                }
                Ok(None) => {}
                // Sealed since it was listed.
                Err(spool::Unusable::Open(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => self.skip(&path, reason),
            }
        }
        Ok(())
    }

    fn sealed(
        &mut self,
        dir: &Path,
        table: Table,
        schema: &SchemaRef,
    ) -> Result<Vec<Sealed>, Error> {
        let mut paths = self.list(&dir.join(table.name()), paths::SEALED)?;
        paths.retain(|path| {
            SegmentName::of_file(path)
                .is_none_or(|name| !self.sealed_names.contains(&(table.name(), name)))
        });
        let mut found = Vec::new();
        for (path, segment) in paths.iter().zip(open_all(&paths, schema)) {
            match segment {
                Ok(segment) => {
                    let name = SegmentName::of_file(path).map(|name| (table.name(), name));
                    self.sealed_names.extend(name);
                    found.push(segment);
                }
                // Removed by the recorder's retention since it was listed.
                Err(sealed::Unusable::Open(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => self.skip(path, reason),
            }
        }
        Ok(found)
    }

    /// Files below `top` with this extension, sorted. Without the folder there are none: the
    /// recorder makes each when it first needs it.
    fn list(&mut self, top: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
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
                    self.skip(&folder, error);
                    continue;
                }
            };
            for entry in entries {
                let path = entry.path();
                // `file_type` does not follow links: a link to a folder could be a circle.
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

/// Reads the footers on every core: a month of five minutes each is 8640 files.
fn open_all(paths: &[PathBuf], schema: &SchemaRef) -> Vec<Result<Sealed, sealed::Unusable>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = paths.len().div_ceil(threads).max(1);
    let open_share =
        |paths: &[PathBuf]| paths.iter().map(|path| sealed::open(path, schema)).collect::<Vec<_>>();
    if threads == 1 || paths.len() < 64 {
        return open_share(paths);
    }
    thread::scope(|scope| {
        let workers: Vec<_> =
            paths.chunks(share).map(|paths| scope.spawn(move || open_share(paths))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
