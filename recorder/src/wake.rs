//! Wakes a thread that sleeps in poll(2) or epoll(7) until something happens.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};

/// Wakes the thread that sleeps on the [`Alarm`].
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<UnixStream>);

/// Becomes readable when its [`Waker`] is used.
#[derive(Debug)]
pub(crate) struct Alarm(UnixStream);

/// A pair of sockets and not an eventfd: a signal handler can write a single byte to it only.
pub(crate) fn pair() -> Result<(Waker, Alarm)> {
    let make = || {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        Ok((Waker(Arc::new(write)), Alarm(read)))
    };
    make().map_err(|source| Error::System("make a pair of sockets", source))
}

impl Waker {
    /// Wakes the thread; never waits. A full socket already has a byte that wakes it.
    pub(crate) fn wake(&self) {
        let _ = (&*self.0).write(&[0]);
    }

    /// A descriptor for a signal handler to write to.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        let copy = self.0.as_fd().try_clone_to_owned();
        copy.map_err(|source| Error::System("copy a socket", source))
    }
}

impl Alarm {
    /// Whether the waker was used since the last call.
    pub(crate) fn take(&self) -> bool {
        let mut bytes = [0; 64];
        let mut was_used = false;
        while matches!((&self.0).read(&mut bytes), Ok(1..)) {
            was_used = true;
        }
        was_used
    }

    /// Sleeps until the waker is used or the time is over, at most about a minute.
    pub(crate) fn sleep(&self, most: std::time::Duration) {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let millis = u16::try_from(most.as_millis()).unwrap_or(u16::MAX);
        // An interrupted or failed poll only ends the sleep early.
        let _ = poll(&mut fds, PollTimeout::from(millis));
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_waker_ends_the_sleep_once() {
        let (waker, alarm) = pair().expect("two sockets");
        assert!(!alarm.take());
        for _ in 0..100_000 {
            waker.wake();
        }
        let began = Instant::now();
        alarm.sleep(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30), "the waker was used before");
        assert!(alarm.take());
        assert!(!alarm.take(), "all uses are one");
    }
}
