//! Whole processes: how long they take and how much memory, with the files in the page cache or
//! not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;
use nix::unistd::sync;

/// One run of a program.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) time: Duration,
    /// Peak of its resident memory, bytes.
    pub(crate) memory: u64,
    pub(crate) stdout: Vec<u8>,
}

/// Runs it to its end.
pub(crate) fn run(mut command: Command) -> Result<Run> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let mut stdout = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout).context("cannot read its result")?;
    }
    let (status, memory) = wait(child.id())?;
    let time = start.elapsed();
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(Run { time, memory, stdout })
}

/// Waits for a child of ours: its status, and the peak of its memory.
fn wait(pid: u32) -> Result<(ExitStatus, u64)> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to values that live throughout the call.
    let waited = unsafe { libc::wait4(pid.cast_signed(), &raw mut status, 0, usage.as_mut_ptr()) };
    ensure!(waited >= 0, "wait for a process: {}", io::Error::last_os_error());
    // SAFETY: all zeros is a valid value, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    Ok((ExitStatus::from_raw(status), usage.ru_maxrss.cast_unsigned() * 1024))
}

/// Takes files out of the page cache.
#[derive(Debug)]
pub(crate) struct PageCache {
    /// Where the kernel does not let us drop all of it: the files, to be dropped one by one.
    files: Option<Vec<PathBuf>>,
}

const DROP: &str = "/proc/sys/vm/drop_caches";

impl PageCache {
    pub(crate) fn for_files(data: &Path) -> Result<Self> {
        sync();
        if OpenOptions::new().write(true).open(DROP).is_ok() {
            return Ok(Self { files: None });
        }
        let mut files = Vec::new();
        list(data, &mut files)?;
        Ok(Self { files: Some(files) })
    }

    /// How it is done, for the conditions.
    pub(crate) fn describe(&self) -> String {
        match self.files {
            None => format!("cold: {DROP} before each run"),
            Some(_) => {
                format!("cold: posix_fadvise on each file before each run, {DROP} being refused")
            }
        }
    }

    pub(crate) fn drop(&self) -> Result<()> {
        let Some(files) = &self.files else {
            return fs::write(DROP, "3").with_context(|| format!("write {DROP}"));
        };
        for path in files {
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
                .with_context(|| format!("drop {} from the page cache", path.display()))?;
        }
        Ok(())
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => list(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}
