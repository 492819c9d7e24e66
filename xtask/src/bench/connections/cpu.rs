//! CPU time on the whole machine that connections cause, or the recorder beside them.
//!
//! It is the sum of clocks that count nanoseconds, for a difference of 2 % of a quarter of a second
//! is to be seen: the clock of this process, which plays both ends; that of the recorder's process,
//! all its threads included; and those of the ksoftirqd threads. /proc/stat alone counts in steps
//! of 10 ms and has the work of everybody else. A control group has no more than the sum of the
//! same clocks.
//!
//! Over loopback the kernel receives a segment in a softirq in the sender's system call. That time
//! is in the sender's clock, except on kernels that account interrupts apart
//! (CONFIG_IRQ_TIME_ACCOUNTING): there it is taken from /proc/stat, which is then exact but for the
//! steps in which it is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::usage;

/// Pressure by interrupts is known where their time is accounted apart (Linux 6.1 and later).
const APART: &str = "/proc/pressure/irq";
const STAT: &str = "/proc/stat";

#[derive(Debug)]
pub(super) struct Meter {
    recorder: Option<u32>,
    /// `schedstat` of the ksoftirqd threads; none where this PID namespace does not show them.
    ksoftirqd: Vec<PathBuf>,
}

impl Meter {
    pub(super) fn new(recorder: Option<u32>) -> Result<Self> {
        let mut ksoftirqd = Vec::new();
        for entry in fs::read_dir("/proc").context("read /proc")? {
            let process = entry?.path();
            // Processes end at any time.
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            if name.starts_with("ksoftirqd/") {
                ksoftirqd.push(process.join("schedstat"));
            }
        }
        Ok(Self { recorder, ksoftirqd })
    }

    /// All CPU time so far.
    pub(super) fn read(&self) -> Result<Duration> {
        let mut sum = usage::own()?;
        if let Some(pid) = self.recorder {
            sum += usage::total_of(pid)?;
        }
        for path in &self.ksoftirqd {
            sum += run_time(&read(path)?).with_context(|| no_time(path))?;
        }
        if are_interrupts_apart() {
            let stat = Path::new(STAT);
            sum += interrupts(&read(stat)?).with_context(|| no_time(stat))?;
        }
        Ok(sum)
    }
}

/// The clocks that are read, in the words of the report.
pub(super) fn describe() -> &'static str {
    match are_interrupts_apart() {
        true => "both ends, the recorder, ksoftirqd, and all interrupts of the machine",
        false => "both ends with the softirqs in them, the recorder, and ksoftirqd",
    }
}

fn are_interrupts_apart() -> bool {
    Path::new(APART).exists()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn no_time(path: &Path) -> String {
    format!("no CPU time in {}", path.display())
}

/// The first field of `/proc/PID/schedstat`: nanoseconds on a CPU.
fn run_time(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// `irq` and `softirq` of all CPUs, in units of 1/100 s.
fn interrupts(stat: &str) -> Option<Duration> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut fields = all.split_ascii_whitespace().skip(5);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_in_their_files() {
        assert_eq!(run_time("1234567 89 10\n"), Some(Duration::from_nanos(1_234_567)));
        assert_eq!(run_time(""), None);
        let stat = "cpu  352458 313173 49853 86872 765 3 835 476 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(interrupts(stat), Some(Duration::from_millis(8380)));
        assert_eq!(interrupts("cpu0 1 2 3 4 5 6 7\n"), None);
        assert_eq!(interrupts("cpu  1 2 3 4 5 6\n"), None);
    }
}
