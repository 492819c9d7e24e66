//! The drain thread: from the ring buffers into a bounded channel.
//!
//! The send blocks. If the writer falls behind, the rings fill up and the kernel half counts the
//! events that do not fit. Memory stays bounded, and every loss is counted.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use aya::maps::{MapData, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};
use crate::event::decode::Events;
use crate::kernel::probe::Rings;

/// Events in one send: large enough to make the channel cheap, small enough to keep the writer
/// busy while the next chunk fills.
const CHUNK: usize = 512;
/// Chunks in the channel. With [`CHUNK`] and 256 to 450 bytes an event: at most 7 MB.
const CHUNKS: usize = 32;
/// Maximum number of records to read from one ring before the next. In a flood on one CPU its ring
/// never runs empty, and the other rings must not wait for that.
const SWEEP: usize = 8 * CHUNK;
/// Longest sleep. The kernel half wakes this thread when a ring passes its mark; below the mark,
/// events wait up to this long.
const POLL_TIMEOUT_MS: u16 = 100;

/// The running drain thread.
#[derive(Debug)]
pub(crate) struct Drain {
    finish: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts the thread. The chunks of one CPU are in order; those of different CPUs are not.
pub(crate) fn start(rings: Rings) -> Result<(Drain, Receiver<Events>)> {
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
    /// Requests one last sweep, after which the channel closes. Call it after the programs are
    /// detached.
    pub(crate) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// Waits for the end of the thread; call it after the channel is closed.
    pub(crate) fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| {
            Error::System("drain the rings", std::io::Error::other("the drain thread panicked"))
        })
    }
}

fn drain(mut rings: Rings, finish: &AtomicBool, sender: &SyncSender<Events>) {
    loop {
        // Read before the sweep, so that the sweep includes all events from before the request.
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
        // If poll is interrupted or fails, the next sweep only comes early.
        let _ = poll(&mut fds, PollTimeout::from(POLL_TIMEOUT_MS));
    }
}

/// Reads one ring, up to [`SWEEP`] records, and returns how many. Fails if the channel has no
/// receiver any more.
fn sweep(
    ring: &mut RingBuf<MapData>,
    sender: &SyncSender<Events>,
) -> Result<usize, SendError<Events>> {
    let mut chunk = Events::default();
    let mut taken = 0;
    while taken < SWEEP
        && let Some(record) = ring.next()
    {
        taken += 1;
        // A record is never shorter than a header: the kernel half reserves whole records only.
        chunk.push(&record);
        drop(record);
        if chunk.len() == CHUNK {
            let next = Events::like(&chunk);
            sender.send(std::mem::replace(&mut chunk, next))?;
        }
    }
    if chunk.len() > 0 {
        sender.send(chunk)?;
    }
    Ok(taken)
}
