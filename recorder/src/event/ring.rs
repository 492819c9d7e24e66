//! The drain thread: from the ring buffers into a bounded channel.
//!
//! It sleeps until the kernel half puts a record into an empty ring: the kernel wakes the reader
//! for the first record after the reader has read all others. While records keep coming, the thread
//! pauses between two sweeps, so that a sweep takes many.
//!
//! The send blocks. If the writer falls behind, the rings fill up and the kernel half counts the
//! events that do not fit. Memory stays bounded, and every loss is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::{Error, Result};
use crate::event::decode::Events;
use crate::kernel::rings::Rings;
use crate::wake::{self, Alarm, Waker};

/// Events in one send: large enough to make the channel cheap, small enough to keep the writer
/// busy while the next chunk fills.
const CHUNK: usize = 512;
/// Chunks in the channel. With [`CHUNK`] and 256 to 450 bytes an event: at most 7 MB.
const CHUNKS: usize = 32;
/// Maximum number of records to read from one ring before the next. In a flood on one CPU its ring
/// never runs empty, and the other rings must not wait for that.
const SWEEP: usize = 8 * CHUNK;
/// Longest pause between two sweeps while records keep coming.
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a flood puts into one ring in a millisecond: 100,000 resets a second of 320 bytes.
/// The pause is so short that they fill half of a ring.
const FLOOD_BYTES_PER_MS: u32 = 32 * 1024;

/// The running drain thread.
#[derive(Debug)]
pub(crate) struct Drain {
    finish: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
}

/// What the thread works with.
struct Reader {
    rings: Rings,
    /// Readable when a ring has records, or the waker was used.
    ready: Epoll,
    alarm: Alarm,
    pause: Duration,
    finish: Arc<AtomicBool>,
    sender: SyncSender<Events>,
}

/// What a sweep through all rings found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Some,
    /// At least one ring may have more.
    More,
}

/// Starts the thread. The events of one CPU are in order; those of different CPUs are not.
pub(crate) fn start(rings: Rings) -> Result<(Drain, Receiver<Events>)> {
    let (sender, receiver) = sync_channel(CHUNKS);
    let finish = Arc::new(AtomicBool::new(false));
    let (waker, alarm) = wake::pair()?;
    let ready = watch(&rings, &alarm)
        .map_err(|error| Error::System("watch the rings", std::io::Error::from(error)))?;
    let pause = pause(rings.bytes());
    let reader = Reader { rings, ready, alarm, pause, finish: Arc::clone(&finish), sender };
    let thread = thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || reader.run())
        .map_err(|source| Error::System("start the drain thread", source))?;
    Ok((Drain { finish, waker, thread }, receiver))
}

fn watch(rings: &Rings, alarm: &Alarm) -> nix::Result<Epoll> {
    let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Which one is ready does not matter: a sweep through empty rings is cheap.
    for ring in rings.iter() {
        ready.add(ring, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    }
    ready.add(alarm, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    Ok(ready)
}

/// The pause between two sweeps, for rings of this size.
fn pause(ring_bytes: u32) -> Duration {
    Duration::from_millis((ring_bytes / 2 / FLOOD_BYTES_PER_MS).into()).min(MAX_PAUSE)
}

impl Drain {
    /// Wakes the thread, which in turn wakes the receiver with an empty chunk.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Requests one last sweep, after which the channel closes. Call it after the programs are
    /// detached.
    pub(crate) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Waits for the end of the thread; call it after the channel is closed.
    pub(crate) fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| {
            Error::System("drain the rings", std::io::Error::other("the drain thread panicked"))
        })
    }
}

impl Reader {
    fn run(mut self) {
        loop {
            // Read before the sweep, so that the sweep includes all events from before the request.
            let last = self.finish.load(Ordering::Acquire);
            let Ok(found) = self.sweep() else { return };
            match found {
                Found::More => continue,
                _ if last => return,
                Found::Some => self.alarm.sleep(self.pause),
                Found::Nothing => self.wait(),
            }
            if self.alarm.take() && self.sender.send(Events::default()).is_err() {
                return;
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) {
        // If it is interrupted or fails, the next sweep only comes early.
        let _ = self.ready.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE);
    }

    /// Reads all rings, up to [`SWEEP`] records of each. Fails if the channel has no receiver any
    /// more.
    fn sweep(&mut self) -> Result<Found, SendError<Events>> {
        let mut found = Found::Nothing;
        for ring in self.rings.iter_mut() {
            // A chunk is of one ring: its events are in the order of their time.
            let mut chunk = Events::default();
            let mut taken = 0;
            while taken < SWEEP
                && let Some(record) = ring.next()
            {
                taken += 1;
                // A record is never shorter than a header: the kernel half reserves whole records
                // only.
                chunk.push(&record);
                drop(record);
                if chunk.len() == CHUNK {
                    let next = Events::like(&chunk);
                    self.sender.send(std::mem::replace(&mut chunk, next))?;
                }
            }
            if chunk.len() > 0 {
                self.sender.send(chunk)?;
            }
            found = match taken {
                0 => found,
                SWEEP => Found::More,
                _ if found == Found::Nothing => Found::Some,
                _ => found,
            };
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_leaves_half_of_a_ring_free_in_a_flood() {
        let millis = [4096, 64 << 10, 1 << 20, 8 << 20, 1 << 31].map(|b| pause(b).as_millis());
        assert_eq!(millis, [0, 1, 16, 100, 100]);
    }
}
