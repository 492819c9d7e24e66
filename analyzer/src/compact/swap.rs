//! Replaces a folder in one step.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tcprst_schema::paths::{SEALED, SegmentName, spool_dir};
use tcprst_schema::tables::Table;
use tcprst_schema::writer::sync_dir;

use crate::error::CompactError;
use crate::recording::sealed;

/// Prefix of work folders; they are below the spool, where no reader looks for sealed files.
const WORK: &str = "compact-";

/// Files of a folder, sorted.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, CompactError> {
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(CompactError::io("read", folder))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// A folder for the new files of a day, named after the table and the day.
pub(super) fn work_folder(dir: &Path, table: Table, date: &str) -> Result<PathBuf, CompactError> {
    let path = work_root(dir).join(format!("{WORK}{}-date={date}", table.name()));
    fs::create_dir_all(&path).map_err(CompactError::io("create", &path))?;
    Ok(path)
}

/// Hard-links files into another folder.
pub(super) fn link_all(paths: &[&PathBuf], folder: &Path) -> Result<(), CompactError> {
    for path in paths {
        let Some(name) = path.file_name() else { continue };
        match fs::hard_link(path, folder.join(name)) {
            Ok(()) => {}
            // The recorder's retention has removed the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CompactError::io("link", path)(error)),
        }
    }
    Ok(())
}

/// Puts `new` in the place of `day` and removes the old files; `listed` are the files whose rows
/// `new` contains.
pub(super) fn exchange(day: &Path, new: &Path, listed: &[PathBuf]) -> Result<(), CompactError> {
    sync_dir(new)?;
    renameat2(AT_FDCWD, day, AT_FDCWD, new, RenameFlags::RENAME_EXCHANGE).map_err(|error| {
        match error {
            // renameat2(2): the file system or the kernel does not support the flag.
            Errno::EINVAL | Errno::ENOSYS => CompactError::NoExchange { path: day.to_owned() },
            error => CompactError::io("exchange", day)(error.into()),
        }
    })?;
    let parents = [day.parent(), new.parent()];
    parents.into_iter().flatten().try_for_each(sync_dir)?;
    // From here on `new` is the old folder.
    let known: HashSet<_> = listed.iter().filter_map(|path| path.file_name()).collect();
    for path in list(new)? {
        if path.file_name().is_some_and(|name| known.contains(name)) {
            fs::remove_file(&path).map_err(CompactError::io("remove", &path))?;
        } else {
            move_into(&path, day)?;
        }
    }
    sync_dir(day)?;
    fs::remove_dir(new).map_err(CompactError::io("remove", new))
}

fn move_into(path: &Path, folder: &Path) -> Result<(), CompactError> {
    let Some(name) = path.file_name() else { return Ok(()) };
    fs::rename(path, folder.join(name)).map_err(CompactError::io("move", path))
}

/// Finishes the work of a crashed run: a leftover folder is either new and was not exchanged, or
/// old and was not removed. In both cases, files missing in its day move there; others are removed.
pub(super) fn clean_up(dir: &Path) -> Result<(), CompactError> {
    let root = work_root(dir);
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CompactError::io("read", &root)(error)),
    };
    let folders: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .map_err(CompactError::io("read", &root))?;
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let name = folder.file_name().and_then(|name| name.to_str());
        let Some((table, date)) = name
            .and_then(|name| name.strip_prefix(WORK))
            .and_then(|name| name.split_once("-date="))
        else {
            continue;
        };
        let day = dir.join(table).join(format!("date={date}"));
        let mut known: HashSet<String> = HashSet::new();
        for path in if day.is_dir() { list(&day)? } else { Vec::new() } {
            known.extend(SegmentName::of_file(&path).map(|name| name.to_string()));
            if let Ok(segment) = sealed::open(&path) {
                known.extend(segment.footer.merged);
            }
        }
        for path in list(folder)? {
            let name = SegmentName::of_file(&path).map(|name| name.to_string());
            // A file without a footer is incomplete.
            let is_whole =
                path.extension().is_some_and(|e| e == SEALED) && sealed::open(&path).is_ok();
            if name.is_some_and(|name| known.contains(&name)) || !is_whole {
                fs::remove_file(&path).map_err(CompactError::io("remove", &path))?;
            } else {
                move_into(&path, &day)?;
            }
        }
        fs::remove_dir(folder).map_err(CompactError::io("remove", folder))?;
    }
    Ok(())
}

/// The `date=` folders of a table, oldest first.
pub(super) fn days(top: &Path) -> Result<BTreeMap<String, PathBuf>, CompactError> {
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

/// The parent of a recording's work folders.
fn work_root(dir: &Path) -> PathBuf {
    spool_dir(dir)
}
