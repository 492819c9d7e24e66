//! The lock of a recording's folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use tcprst_schema::paths::spool_dir;
use tcprst_schema::writer::create_dir;

use crate::error::{Error, Result};

const FILE: &str = ".tcprst-record.lock";

/// A locked folder. It is unlocked when this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// Creates the folder if it does not exist, and locks it.
pub fn lock(dir: &Path) -> Result<Lock> {
    create_dir(&spool_dir(dir))?;
    let path = dir.join(FILE);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    let mut lock =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, _)| {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Error::Locked { dir: dir.to_owned(), holder: holder.trim().to_owned() }
        })?;
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "pid {}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(Lock { _file: lock })
}
