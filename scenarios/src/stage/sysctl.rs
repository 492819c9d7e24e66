//! Kernel settings, changed for a moment.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use crate::scene::Impossible;
use crate::stage::netns::on_own_thread;

/// A setting of the calling thread's network namespace. The earlier value comes back when this
/// is dropped, which must be on a thread of the same namespace.
#[derive(Debug)]
pub(crate) struct Sysctl {
    path: String,
    before: String,
}

impl Sysctl {
    /// `name` as below /proc/sys/net.
    pub(crate) fn set(name: &str, value: &str) -> Result<Self> {
        let path = format!("/proc/sys/net/{name}");
        let before = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let changed = Self { path, before };
        changed.change(value)?;
        Ok(changed)
    }

    pub(crate) fn change(&self, value: &str) -> Result<()> {
        fs::write(&self.path, value).with_context(|| format!("set {} to {value}", self.path))
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        // The namespace belongs to the scenario: an error has no effect on others.
        let _ = self.change(self.before.trim_end());
    }
}

/// The whole host's limit of orphans, below every number of them: while it is set, a program that
/// closes a connection that cannot end at once has too many orphans. The earlier limit comes back
/// when this is dropped, also by a panic; only SIGKILL can leave it behind.
#[derive(Debug)]
pub(crate) struct NoOrphans {
    /// Locked, or two runs at a time would take the other's limit for the host's.
    limit: File,
    before: String,
}

/// Whether scenarios may change what belongs to the whole host.
static HOST_MAY_CHANGE: AtomicBool = AtomicBool::new(false);

/// Lets scenarios lower a limit of the whole host for moments, in which connections of other
/// programs may be reset too. Without this they are impossible. Not for machines that others use.
pub fn allow_host_changes() {
    HOST_MAY_CHANGE.store(true, Ordering::Relaxed);
}

impl NoOrphans {
    pub(crate) fn allowed() -> Result<Self> {
        if !HOST_MAY_CHANGE.load(Ordering::Relaxed) {
            let why = "it lowers tcp_max_orphans of the whole host: asked for by --whole-host";
            return Err(Impossible(why.to_owned()).into());
        }
        // Zero would not do: 5.10 reads a counter that lags behind by some dozens.
        const NONE: &[u8] = b"-1";
        let mut limit = open_orphan_limit()?;
        limit.lock().context("lock tcp_max_orphans")?;
        let mut before = String::new();
        limit.read_to_string(&mut before).context("read tcp_max_orphans")?;
        ensure!(!before.starts_with('-'), "tcp_max_orphans is negative: a killed run left it so");
        let none = Self { limit, before };
        none.limit.write_at(NONE, 0).context("set tcp_max_orphans")?;
        Ok(none)
    }
}

impl Drop for NoOrphans {
    fn drop(&mut self) {
        // The handle is open for writing and the value was the kernel's own.
        let _ = self.limit.write_at(self.before.as_bytes(), 0);
    }
}

/// The limit is the whole host's, and to be seen in the initial network namespace only: the
/// program was started there, but for the threads that play scenarios.
fn open_orphan_limit() -> Result<File> {
    const PATH: &str = "/proc/sys/net/ipv4/tcp_max_orphans";
    on_own_thread(|| {
        // The namespace of the process's first thread, as opposed to the calling thread's.
        let started_in = File::open("/proc/self/ns/net").context("open the first namespace")?;
        setns(&started_in, CloneFlags::CLONE_NEWNET).context("enter the first namespace")?;
        match OpenOptions::new().read(true).write(true).open(PATH) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Impossible(
                "tcp_max_orphans is the whole host's, and this is not its first network namespace"
                    .to_owned(),
            )
            .into()),
            opened => opened.with_context(|| format!("open {PATH}")),
        }
    })
}
