//! `tcprst-analyze verify`: reads every file of a recording completely.
//!
//! A query opens footers and reads the columns that it needs. Only verify decodes each page of each
//! file ([`file`]) and compares statements of files about each other ([`cross_file`]).

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use tcprst_schema::paths::{SEALED, SPOOL, spool_dir};
use tcprst_schema::tables::Table;

use crate::error::Error;
use crate::outcome::Outcome;
use crate::output;
use crate::output::format::Format;
use crate::output::numbers::{counted, thousands};
use crate::output::stderr::tell;

mod cross_file;
mod file;
mod numbers;

use file::{Checked, FileKind, Status};

/// Extension of a spool that the recorder could not recover after it was killed.
const DAMAGED: &str = "damaged";

pub(crate) fn run(
    dirs: &[PathBuf],
    threads: Option<NonZeroUsize>,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    let mut found = Vec::new();
    for dir in dirs {
        fs::read_dir(dir).map_err(|source| Error::Folder { path: dir.clone(), source })?;
        // List spools first: a spool sealed during the listing is then seen twice, never missed.
        list(
            &spool_dir(dir),
            &mut |path| {
                let kind = match path.extension()?.to_str()? {
                    SPOOL => FileKind::Spool,
                    DAMAGED => FileKind::SetAside,
                    _ => return None,
                };
                Some((kind, path.to_owned()))
            },
            &mut found,
        )?;
        for table in Table::all() {
            list(
                &dir.join(table.name()),
                &mut |path| {
                    (path.extension()? == SEALED)
                        .then(|| (FileKind::Sealed(table), path.to_owned()))
                },
                &mut found,
            )?;
        }
    }
    if found.is_empty() {
        let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(Error::NothingRecorded { dirs: dirs.join(", ") });
    }
    let threads = match threads {
        Some(threads) => threads.get(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let mut checked: Vec<Checked> = check_all(&found, threads).into_iter().flatten().collect();
    cross_file::compare(&mut checked);
    output::batch(format, &rows(&checked)?, out)?;

    let count = |status| checked.iter().filter(|file| file.status == status).count();
    let (wrong, broken) = (count(Status::Wrong), count(Status::Broken));
    let sum: i64 = checked.iter().filter_map(|file| file.rows).sum();
    tell(&format_args!(
        "{} with {}: {} ok, {} live, {wrong} wrong, {broken} broken",
        counted(checked.len(), "file"),
        counted(sum, "row"),
        thousands(count(Status::Ok)),
        count(Status::Live),
    ));
    Ok(if wrong + broken == 0 { Outcome::Complete } else { Outcome::Partial })
}

/// Lists files below a folder, sorted; none if the folder does not exist.
fn list(
    top: &Path,
    choose: &mut dyn FnMut(&Path) -> Option<(FileKind, PathBuf)>,
    found: &mut Vec<(FileKind, PathBuf)>,
) -> Result<(), Error> {
    let failed = |path: &Path, source| Error::Folder { path: path.to_owned(), source };
    let entries = match fs::read_dir(top) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(|e| failed(top, e))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(top, source)),
    };
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        // Links are not followed: a link to a folder could form a cycle.
        let kind = fs::symlink_metadata(&path).map(|attributes| attributes.file_type());
        if kind.is_ok_and(|kind| kind.is_dir()) {
            list(&path, choose, found)?;
        } else {
            found.extend(choose(&path));
        }
    }
    Ok(())
}

/// Checks each file; `None` for a file removed since. Shows the progress on a terminal.
fn check_all(found: &[(FileKind, PathBuf)], threads: usize) -> Vec<Option<Checked>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut results = Vec::new();
        while let Some((at, (kind, path))) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            found.get(at).map(|file| (at, file))
        } {
            results.push((at, file::check(*kind, path)));
            done.fetch_add(1, Ordering::Relaxed);
        }
        results
    };
    let mut all: Vec<Option<Checked>> = found.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(found.len())).map(|_| scope.spawn(work)).collect();
        let is_shown = io::stderr().is_terminal();
        let mut ticks = 0_u32;
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(if is_shown { 50 } else { 5 }));
            ticks += 1;
            if is_shown && ticks.is_multiple_of(10) {
                let done = thousands(done.load(Ordering::Relaxed));
                let _ = write!(io::stderr(), "\r\x1b[K{done} of {} files", thousands(found.len()));
            }
        }
        if is_shown && ticks >= 10 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        for worker in workers {
            for (at, result) in worker.join().unwrap_or_else(|e| std::panic::resume_unwind(e)) {
                all[at] = result;
            }
        }
    });
    all
}

fn rows(checked: &[Checked]) -> Result<RecordBatch, ArrowError> {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    let schema = Schema::new(vec![
        text("path", false),
        text("table", false),
        Field::new("rows", DataType::Int64, true),
        text("status", false),
        text("problem", true),
    ]);
    let texts = |value: &dyn Fn(&Checked) -> Option<String>| -> Arc<StringArray> {
        Arc::new(checked.iter().map(value).collect())
    };
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            texts(&|file| Some(file.path.display().to_string())),
            texts(&|file| Some(file.kind.table().name().to_owned())),
            Arc::new(checked.iter().map(|file| file.rows).collect::<Int64Array>()),
            texts(&|file| Some(file.status.name().to_owned())),
            texts(&|file| file.problem()),
        ],
    )
}
