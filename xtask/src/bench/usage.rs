//! CPU time, memory and wake-ups of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The highest since the process started.
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn for_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let bytes = |name| Some(number(&status, name)? << 10);
        let memory = || Some(Self { now: bytes("VmRSS")?, peak: bytes("VmHWM")? });
        memory().with_context(|| format!("no memory in {path}"))
    }
}

/// How often the threads of a process have left a CPU, by themselves or not: each wake-up ends so.
pub(crate) fn context_switches(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        // Threads end at any time.
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        let both = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"];
        sum += both.iter().filter_map(|name| number(&status, name)).sum::<u64>();
    }
    Ok(sum)
}

/// A line of `/proc/PID/status`, without its unit.
fn number(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// CPU time of this process so far: what a flood costs, the kernel's work for it included.
pub(crate) fn own() -> Result<Duration> {
    clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of a running process so far, all its threads included.
pub(crate) fn total_of(pid: u32) -> Result<Duration> {
    clock(clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("find a CPU clock")?)
}

/// The CPU time of all children that have ended and were waited for.
pub(crate) fn of_ended_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn clock(id: ClockId) -> Result<Duration> {
    Ok(Duration::from(clock_gettime(id).context("read a CPU clock")?))
}

fn duration(time: TimeVal) -> Duration {
    let micros = i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_the_whole_name() {
        let status = "VmHWM:\t   89000 kB\nVmRSS:\t   48000 kB\n\
                      voluntary_ctxt_switches:\t70\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(number(status, "VmRSS"), Some(48_000));
        assert_eq!(number(status, "voluntary_ctxt_switches"), Some(70));
        assert_eq!(number(status, "Vm"), None);
    }
}
