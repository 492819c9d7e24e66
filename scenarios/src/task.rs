//! The task that acts.

use std::fs;

use anyhow::{Context, Result};
use nix::unistd::{getpid, gettid};

/// A task as the kernel names it: `comm` is the thread's, not the process's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub pid: u32,
    pub tid: u32,
    pub comm: String,
}

impl Actor {
    /// The calling thread.
    pub(crate) fn this_thread() -> Result<Self> {
        Ok(Self {
            pid: getpid().as_raw().unsigned_abs(),
            tid: gettid().as_raw().unsigned_abs(),
            comm: comm_at("/proc/thread-self/comm")?,
        })
    }

    /// The main thread of a running process.
    pub(crate) fn process(pid: u32) -> Result<Self> {
        Ok(Self { pid, tid: pid, comm: comm_at(&format!("/proc/{pid}/comm"))? })
    }
}

fn comm_at(path: &str) -> Result<String> {
    let comm = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(comm.trim_end_matches('\n').to_owned())
}
