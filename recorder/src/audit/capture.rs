//! The capture thread: reads RSTs from the packet socket into the ledger.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::socket::{Received, Sighting, Tap};
use crate::error::{Error, Result};
use crate::stderr::say;

/// Packets read before the ledger is locked.
const BATCH: usize = 512;
/// Longest sleep between two reads.
const POLL_TIMEOUT_MS: u16 = 100;
/// Interval at which the ledger is searched for differences.
const SWEEP: Duration = Duration::from_millis(250);
/// Longest wait for a change of phase: reading a full socket buffer takes less.
const PHASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which packets are compared: those read between the drains at the start and the end of `Open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    Before,
    Open,
    After,
    Done,
}

/// State shared by the two threads.
#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    wanted: AtomicU8,
    reached: AtomicU8,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        self.reached.load(Ordering::Acquire) == Phase::Open as u8
    }
}

/// The running capture thread.
#[derive(Debug)]
pub(super) struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    pub(super) fn start(tap: Tap) -> Result<Self> {
        let shared = Arc::new(Shared {
            ledger: Mutex::default(),
            wanted: AtomicU8::new(Phase::Before as u8),
            reached: AtomicU8::new(Phase::Before as u8),
        });
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || capture(&tap, &shared)
            })
            .map_err(|source| Error::System("start the audit thread", source))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// Starts the comparison: packets that left earlier are not compared.
    pub(super) fn open(&self) {
        self.go_to(Phase::Open);
    }

    /// Ends the comparison: packets that leave from now on are not compared.
    pub(super) fn shut(&self) {
        self.go_to(Phase::After);
    }

    /// Reads the remaining packets and ends the thread.
    pub(super) fn finish(&mut self) {
        self.go_to(Phase::Done);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            say!("the audit thread panicked: its ledger is incomplete");
        }
    }

    fn go_to(&self, phase: Phase) {
        self.shared.wanted.store(phase as u8, Ordering::Release);
        let asked = Instant::now();
        while self.shared.reached.load(Ordering::Acquire) < phase as u8
            && asked.elapsed() < PHASE_TIMEOUT
        {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn capture(tap: &Tap, shared: &Shared) {
    let mut swept = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        // Loaded before the read, which then includes all packets that left before the request.
        let wanted = shared.wanted.load(Ordering::Acquire);
        let mut unreadable = 0;
        let has_more = match take(tap, &mut batch, &mut unreadable) {
            Ok(has_more) => has_more,
            Err(error) => {
                say!("the audit stopped: cannot read its packet socket: {error}");
                shared.ledger().go_blind();
                shared.reached.store(Phase::Done as u8, Ordering::Release);
                return;
            }
        };
        let now = Instant::now();
        let is_edge = !shared.is_open();
        let is_time = now.duration_since(swept) >= SWEEP;
        if !batch.is_empty() || is_time || unreadable > 0 {
            let mut ledger = shared.ledger();
            for sighting in batch.drain(..) {
                ledger.packet(&sighting, is_edge, now);
            }
            ledger.dropped(unreadable);
            if is_time {
                ledger.dropped(tap.take_dropped());
                ledger.sweep(now);
                swept = now;
            }
        }
        if has_more {
            continue;
        }
        if shared.reached.load(Ordering::Acquire) != wanted {
            shared.ledger().dropped(tap.take_dropped());
            shared.reached.store(wanted, Ordering::Release);
        }
        if wanted == Phase::Done as u8 {
            return;
        }
        tap.wait(POLL_TIMEOUT_MS);
    }
}

/// Reads the waiting packets, up to one batch; returns true if there may be more.
fn take(tap: &Tap, batch: &mut Vec<Sighting>, unreadable: &mut u64) -> std::io::Result<bool> {
    for _ in 0..BATCH {
        match tap.receive()? {
            Received::Sighting(sighting) => batch.push(sighting),
            Received::Unreadable => *unreadable += 1,
            Received::Other => {}
            Received::Nothing => return Ok(false),
        }
    }
    Ok(true)
}
