//! CPU time.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// The CPU time of a running process, in steps of 10 ms.
    pub(crate) fn for_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        parse(&stat).with_context(|| format!("no CPU times in {path}"))
    }

    /// The CPU time of all children that have ended and were waited for.
    pub(crate) fn for_ended_children() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
        Ok(Self { user: duration(usage.user_time()), system: duration(usage.system_time()) })
    }
}

impl Sub for Cpu {
    type Output = Self;
    /// Never negative: what is subtracted may have been rounded up.
    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// CPU time of this process so far: what a flood costs, the kernel's work for it included.
pub(crate) fn own() -> Result<Duration> {
    clock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of a running process so far: finer than [`Cpu::for_process`], but not split.
pub(crate) fn total_of(pid: u32) -> Result<Duration> {
    clock(clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("find a CPU clock")?)
}

fn clock(id: ClockId) -> Result<Duration> {
    Ok(Duration::from(clock_gettime(id).context("read a CPU clock")?))
}

fn duration(time: TimeVal) -> Duration {
    let micros = i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Fields 14 and 15 of proc_pid_stat(5), in units of 1/100 s; the name in field 2 may hold
/// anything, so counting starts behind its last bracket.
fn parse(stat: &str) -> Option<Cpu> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || Some(Duration::from_millis(10 * fields.next()?.parse::<u64>().ok()?));
    Some(Cpu { user: ticks()?, system: ticks()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "77 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0";
        let expected =
            Cpu { user: Duration::from_millis(2500), system: Duration::from_millis(310) };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("77 (a) S 1"), None);
    }
}
