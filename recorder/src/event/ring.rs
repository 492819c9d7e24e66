//! The drain thread: from the ring buffers into a bounded channel.
//!
//! The send blocks. When the writer falls behind, the rings fill up and the kernel half counts
//! what finds no room; memory stays bounded and nothing is lost without being counted.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use aya::maps::{MapData, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};
use crate::event::decode::Event;
use crate::kernel::probe::Rings;

/// Events in one send: large enough to make the channel cheap, small enough to keep the
/// writer busy while the next one fills.
const CHUNK: usize = 512;
/// Chunks in the channel. With [`CHUNK`] and 420 bytes an event: 7 MB at the most.
const CHUNKS: usize = 32;
/// Records taken from one ring before the next has its turn: under a flood on one CPU its ring
/// never runs empty, and those of the others must not wait for that.
const SWEEP: usize = 8 * CHUNK;
/// Longest sleep. The kernel half wakes us when a ring passes its mark; below it, events wait
/// this long.
const NAP_MS: u16 = 100;

/// The running drain thread.
#[derive(Debug)]
pub struct Drain {
    finish: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts it. Chunks are in the order of their CPU; between CPUs there is none.
pub fn start(rings: Rings) -> Result<(Drain, Receiver<Vec<Event>>)> {
    let (sender, receiver) = sync_channel(CHUNKS);
    let finish = Arc::new(AtomicBool::new(false));
    let thread = thread::Builder::new()
        .name("drain".to_owned())
        .spawn({
            let finish = Arc::clone(&finish);
            move || drain(rings, &finish, &sender)
        })
        .map_err(|source| Error::System("start the drain thread", source))?;
    Ok((Drain { finish, thread }, receiver))
}

impl Drain {
    /// Asks for one last sweep; the channel closes after it. To be called when the programs
    /// are detached.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// Waits for the thread, once the channel is closed.
    pub fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| {
            Error::System("drain the rings", std::io::Error::other("the drain thread panicked"))
        })
    }
}

fn drain(mut rings: Rings, finish: &AtomicBool, sender: &SyncSender<Vec<Event>>) {
    loop {
        // Before the sweep: what was put into the rings before the request is then in it.
        let last = finish.load(Ordering::Acquire);
        let mut more = false;
        for ring in &mut rings {
            match sweep(ring, sender) {
                Ok(taken) => more |= taken == SWEEP,
                Err(SendError(_)) => return,
            }
        }
        if more {
            continue;
        }
        if last {
            return;
        }
        let mut fds: Vec<PollFd<'_>> =
            rings.iter().map(|ring| PollFd::new(ring.as_fd(), PollFlags::POLLIN)).collect();
        // An interrupted or failed poll only makes the next sweep come early.
        let _ = poll(&mut fds, PollTimeout::from(NAP_MS));
    }
}

/// Takes what one ring holds, up to [`SWEEP`] records, and says how many. Fails when nobody
/// listens any more.
fn sweep(
    ring: &mut RingBuf<MapData>,
    sender: &SyncSender<Vec<Event>>,
) -> Result<usize, SendError<Vec<Event>>> {
    let mut chunk = Vec::new();
    let mut taken = 0;
    while taken < SWEEP
        && let Some(record) = ring.next()
    {
        taken += 1;
        // Shorter than a header cannot be: the kernel half reserves whole records only.
        chunk.extend(Event::decode(&record));
        drop(record);
        if chunk.len() == CHUNK {
            sender.send(std::mem::take(&mut chunk))?;
        }
    }
    if !chunk.is_empty() {
        sender.send(chunk)?;
    }
    Ok(taken)
}
