//! Innocent processes: whatever a reset interrupts on a busy machine is one of them.

use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::stage::process::{Named, alone};

/// Spins without a system call, but ends with the process that started it.
const SPIN: &str =
    "while kill -0 $PPID; do i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; done";

/// One busy process on each CPU; they are killed when this is dropped.
#[derive(Debug)]
pub struct Busy {
    children: Vec<Child>,
}

impl Busy {
    /// The busy processes' `comm`.
    pub const COMM: &'static str = "innocent";

    pub fn start() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("ask for the CPUs")?;
        let _alone = alone();
        let mut busy = Self { children: vec![] };
        for cpu in 0..CpuSet::count() {
            if !allowed.is_set(cpu)? {
                continue;
            }
            let mut named = Named::new(Self::COMM, "sh")?;
            named
                .command
                .args(["-c", SPIN])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = named.start()?;
            let pid = Pid::from_raw(child.id().try_into()?);
            busy.children.push(child);
            let mut only = CpuSet::new();
            only.set(cpu)?;
            sched_setaffinity(pid, &only).context("pin a busy process")?;
        }
        Ok(busy)
    }

    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.children {
            // An error means that it is gone already, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
