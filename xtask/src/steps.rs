//! The progress of a long command on standard error, and the time of each step.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::unistd::{SysconfVar, sysconf};

/// The steps of a command, each with its time.
#[derive(Debug)]
pub(crate) struct Steps {
    start: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Begins at the start of this process. `cargo run` becomes the program that it has built, so
    /// the time that Cargo needed is the first step, under the name `built`.
    pub(crate) fn since_process_start(built: &str) -> Self {
        let age = process_age().unwrap_or_default();
        let start = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        Self { start, done: vec![(built.to_owned(), start.elapsed())] }
    }

    /// Announces a step, runs it and takes its time.
    pub(crate) fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("{} {name}", stamp(self.start.elapsed()));
        let start = Instant::now();
        let result = step();
        self.done.push((name.to_owned(), start.elapsed()));
        result
    }

    /// Prints the seconds of each step and of the whole.
    pub(crate) fn print(&self) {
        let whole = self.start.elapsed();
        eprintln!("{} done; seconds of each step:", stamp(whole));
        for (name, took) in self.done.iter().map(|(name, took)| (name.as_str(), *took)) {
            eprintln!("{:>8.1}  {name}", took.as_secs_f64());
        }
        eprintln!("{:>8.1}  in all", whole.as_secs_f64());
    }
}

/// `[ 3 min 12 s]`
fn stamp(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    format!("[{:>2} min {:>2} s]", seconds / 60, seconds % 60)
}

/// How long ago this process was started, under whatever name; exec does not change it.
fn process_age() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    age(&stat, &uptime, ticks_per_second as f64)
}

fn age(stat: &str, uptime: &str, ticks_per_second: f64) -> Option<Duration> {
    // The name in parentheses may contain blanks. After it, `starttime` is the 20th field.
    let start: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let now: f64 = uptime.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(now - start / ticks_per_second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5000 1 1 1";
        assert_eq!(age(stat, "53.50 100.00\n", 100.0), Some(Duration::from_millis(3500)));
        assert_eq!(age("7 (a) S 1", "53.50 1\n", 100.0), None);
        assert!(process_age().is_some());
    }

    #[test]
    fn a_stamp_has_minutes_and_seconds() {
        assert_eq!(stamp(Duration::from_secs(192)), "[ 3 min 12 s]");
        assert_eq!(stamp(Duration::from_secs(4)), "[ 0 min  4 s]");
    }
}
