//! Resets at a given pace.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use scenarios::{Flood, Mix, Namespace, ResetSource};

/// Resets come in bursts of as many as fall due in this time.
const TICK: Duration = Duration::from_millis(1);
/// Further behind than this, the pace starts again: catching up would be another test.
const PATIENCE: Duration = Duration::from_millis(20);

/// Causes resets of the mix at `rate` a second for the time of `length`, from so many threads.
pub(crate) fn paced(
    ns: &Namespace,
    mix: &Mix,
    rate: f64,
    length: Duration,
    threads: u64,
) -> Result<Flood> {
    let before = ns.out_rsts()?;
    let start = Instant::now();
    let requested = thread::scope(|scope| {
        let share = rate / threads as f64;
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || ns.run(|| cause(mix, share, length))))
            .collect();
        workers.into_iter().try_fold(0, |sum, worker| {
            let done = worker.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
            done.map(|requested| sum + requested)
        })
    })?;
    let elapsed = start.elapsed();
    Ok(Flood { requested, resets: ns.out_rsts()? - before, threads, elapsed })
}

fn cause(mix: &Mix, rate: f64, length: Duration) -> Result<u64> {
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
    Ok(sum)
}
