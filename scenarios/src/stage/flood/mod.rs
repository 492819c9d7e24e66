//! Many resets in little time.

mod mix;
mod source;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde::{Serialize, Serializer};

use crate::stage::netns::Namespace;

pub use mix::{Mix, ResetKind};
pub use source::{FLOOD_PORT, ResetSource};

/// The result of a flood.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flood {
    pub requested: u64,
    /// The growth of the namespace's `OutRsts`; nothing else should send resets there.
    pub resets: u64,
    pub threads: u64,
    #[serde(rename = "elapsed_seconds", serialize_with = "as_seconds")]
    pub elapsed: Duration,
}

impl Flood {
    pub fn per_second(&self) -> f64 {
        self.resets as f64 / self.elapsed.as_secs_f64()
    }
}

fn as_seconds<S: Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(elapsed.as_secs_f64())
}

/// Causes `count` closed-port resets from `threads` threads.
pub fn flood(ns: &Namespace, count: u64, threads: u64) -> Result<Flood> {
    flood_with(ns, &Mix::closed_port(), count, threads)
}

/// Causes `count` resets of a mix from `threads` threads.
pub fn flood_with(ns: &Namespace, mix: &Mix, count: u64, threads: u64) -> Result<Flood> {
    ensure!(threads > 0, "a flood needs a thread");
    let before = ns.out_rsts()?;
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| count / threads + u64::from(index < count % threads))
            .map(|share| scope.spawn(move || ns.run(|| cause(mix, share))))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let done = worker.join();
            done.unwrap_or_else(|_| Err(anyhow!("a flood thread panicked")))
        })
    })?;
    let elapsed = start.elapsed();
    Ok(Flood { requested: count, resets: ns.out_rsts()? - before, threads, elapsed })
}

fn cause(mix: &Mix, count: u64) -> Result<()> {
    let mut source = ResetSource::new(mix)?;
    (0..count).try_for_each(|_| source.cause_one())
}
