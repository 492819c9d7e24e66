//! Waiting on conditions, with an end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(1);

/// The moment at which a scenario has failed.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The time that is left, for the time-out of a socket; never zero, which would mean no
    /// time-out.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Waits until `holds` returns true; fails at the deadline, saying what was awaited.
    pub fn until(self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        self.until_some(what, || Ok(holds()?.then_some(())))
    }

    /// Waits until `look` finds something; fails at the deadline, saying what was awaited.
    pub fn until_some<T>(
        self,
        what: &str,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            // The clock is read before the last look: a slow machine gets one more chance.
            let late = Instant::now() >= self.0;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if late {
                bail!("timed out waiting for {what}");
            }
            thread::sleep(STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_never_holds_ends_with_its_name() {
        let error = Deadline::after(Duration::from_millis(5))
            .until("godot", || Ok(false))
            .expect_err("it never holds");
        assert_eq!(error.to_string(), "timed out waiting for godot");
    }

    #[test]
    fn a_condition_that_holds_is_seen_even_when_late() -> Result<()> {
        Deadline::after(Duration::ZERO).until("now", || Ok(true))
    }
}
