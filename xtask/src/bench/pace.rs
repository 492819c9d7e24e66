//! Resets at a given pace, and the greatest pace that a tool holds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use scenarios::{Flood, Mix, Namespace, ResetSource};

/// Resets come in bursts of as many as fall due in this time.
const TICK: Duration = Duration::from_millis(1);
/// Further behind than this, the pace starts again: catching up would be another test.
const PATIENCE: Duration = Duration::from_millis(20);

/// Causes resets of the mix at `rate` a second for the time of `length`, from one thread.
pub(crate) fn paced(ns: &Namespace, mix: &Mix, rate: f64, length: Duration) -> Result<Flood> {
    let before = ns.out_rsts()?;
    let (requested, elapsed) = ns.run(|| cause(mix, rate, length))?;
    Ok(Flood { requested, resets: ns.out_rsts()? - before, threads: 1, elapsed })
}

fn cause(mix: &Mix, rate: f64, length: Duration) -> Result<(u64, Duration)> {
    let mut source = ResetSource::new(mix)?;
    let start = Instant::now();
    let mut anchor = start;
    // Since the anchor, and in all.
    let (mut done, mut sum) = (0, 0);
    while start.elapsed() < length {
        let due = (anchor.elapsed().as_secs_f64() * rate) as u64;
        for _ in done..due {
            source.cause_one()?;
        }
        sum += due - done;
        done = due;
        let behind = anchor.elapsed().saturating_sub(Duration::from_secs_f64(done as f64 / rate));
        if behind > PATIENCE {
            (anchor, done) = (Instant::now(), 0);
        }
        if behind < TICK {
            thread::sleep(TICK - behind);
        }
    }
    Ok((sum, start.elapsed()))
}

/// The greatest pace without loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    /// Resets a second, as they came, not as they were asked for.
    pub(crate) rate: f64,
    /// The flood did its best and nothing was lost: the limit is higher.
    pub(crate) is_ceiling: bool,
}

/// Searches up to `ceiling` resets a second. `trial` tries a pace, and returns the pace that
/// came about and whether nothing was lost.
pub(crate) fn search(
    ceiling: f64,
    mut trial: impl FnMut(f64) -> Result<(f64, bool)>,
) -> Result<Held> {
    /// Where the search starts, as a fraction of the ceiling.
    const FLOOR: f64 = 1.0 / 32.0;
    /// Halves the range this often: to 1/32 of five powers of two, some 11 %.
    const STEPS: u32 = 5;

    let (rate, held) = trial(ceiling)?;
    if held {
        return Ok(Held { rate, is_ceiling: true });
    }
    let (mut low, mut high) = (ceiling * FLOOR, ceiling);
    let mut best = 0.0;
    for _ in 0..STEPS {
        let middle = (low * high).sqrt();
        match trial(middle)? {
            (rate, true) => (low, best) = (middle, rate.max(best)),
            (_, false) => high = middle,
        }
    }
    Ok(Held { rate: best, is_ceiling: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_limit() {
        let limit = |limit: f64| search(1000.0, |rate| Ok((rate, rate <= limit)));
        assert_eq!(limit(5000.0).ok(), Some(Held { rate: 1000.0, is_ceiling: true }));
        let found = limit(400.0).ok().map_or(0.0, |held| held.rate);
        assert!((355.0..=400.0).contains(&found), "{found}");
        assert_eq!(limit(1.0).ok(), Some(Held { rate: 0.0, is_ceiling: false }));
    }
}
