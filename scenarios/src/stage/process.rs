//! Child processes under names of their own.

use std::env;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::deadline::Deadline;
use crate::task::Actor;

/// How long a process may take to start, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Only one thread of this process at a time may play or start a process: between fork and
/// exec a child shares every descriptor, and a `close` in another thread at that time would
/// close nothing, so that the child would be the one that sends the reset.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command whose kernel name (`comm`) is the caller's choice: the kernel takes it from the
/// file's name, so the program is started through a link. `argv[0]` stays the program's own,
/// by which busybox knows what to be.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) command: Command,
    comm: String,
    /// The link must be there until the command has started.
    _folder: TempDir,
}

impl Named {
    pub(crate) fn new(comm: &str, program: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for a link")?;
        let link = folder.path().join(comm);
        symlink(in_path(program)?, &link).context("link a program")?;
        let mut command = Command::new(link);
        command.arg0(program);
        Ok(Self { command, comm: comm.to_owned(), _folder: folder })
    }

    /// Starts the process and returns once it has its name. `Command::spawn` alone returns in
    /// the middle of exec: the child may still be called as we are, and hold our descriptors.
    pub(crate) fn start(mut self) -> Result<Child> {
        let what = format!("start of {}", self.comm);
        let mut child = self.command.spawn().with_context(|| what.clone())?;
        let named = Deadline::after(START_LIMIT)
            .until(&what, || Ok(Actor::process(child.id())?.comm == self.comm));
        if named.is_err() {
            // An error means that it is gone already, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
        named.map(|()| child)
    }
}

fn in_path(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("no {program} in PATH"))
}

/// A process that only holds a descriptor, as its standard input, until it is killed.
#[derive(Debug)]
pub(crate) struct Victim(Child);

impl Victim {
    pub(crate) fn start(holds: Stdio) -> Result<Self> {
        let mut named = Named::new("tcprst-victim", "sleep")?;
        named.command.arg("60").stdin(holds);
        // Consumes the command, and with it our own handle of what the victim holds.
        Ok(Self(named.start()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and the process is gone on return.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.0.kill().context("kill the victim")?;
        self.0.wait().context("wait for the victim")?;
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // An error means that it is gone already, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a child that must succeed.
pub(crate) fn await_success(mut child: Child, what: &str) -> Result<()> {
    let status = child.wait().with_context(|| format!("wait for {what}"))?;
    ensure!(status.success(), "{what}: {status}");
    Ok(())
}
