//! Programs of a runtime: daemons, and commands that must succeed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deadline::Deadline;
use crate::stage::netns::Namespace;

/// dockerd takes a second here, and two minutes in an emulated machine that does other things.
const START_LIMIT: Duration = Duration::from_secs(300);
/// Patience with the end of a daemon, which ends its containers first.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A daemon; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it inside `ns` and returns once `is_ready`.
    pub(crate) fn start(
        ns: &Namespace,
        mut command: Command,
        log: &Path,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(File::create(log)?).stderr(File::create(log)?);
        let child = ns.run(|| {
            command
                .spawn()
                .with_context(|| format!("cannot run {program}: `cargo xtask test` installs it"))
        })?;
        let mut daemon = Self { child, log: log.to_owned() };
        Deadline::after(START_LIMIT).until(&program, || {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("{program} ended ({status}): {}", daemon.last_words());
            }
            Ok(is_ready())
        })?;
        Ok(daemon)
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let ended = Deadline::after(END_LIMIT)
            .until("the daemon to end", || Ok(self.child.try_wait()?.is_some()));
        if ended.is_err() {
            // After `stop` it has been waited for, and both are refused.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command in `ns` and gives what it prints.
pub(crate) fn output(ns: &Namespace, command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = ns.run(|| {
        command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {program}: `cargo xtask test` installs it"))
    })?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program}: {}: {}", done.status, said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Unmounts all that is mounted below a folder: killed containers leave their mounts.
pub(crate) fn unmount_below(folder: &Path) {
    for _ in 0..5 {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|point| Path::new(point).starts_with(folder) && Path::new(point) != folder);
        let mut points: Vec<&str> = below.collect();
        if points.is_empty() {
            return;
        }
        points.sort_unstable_by_key(|point| std::cmp::Reverse(point.len()));
        for point in points {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
