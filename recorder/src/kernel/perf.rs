//! Runs a BPF program at a tracepoint of the perf subsystem. aya can attach only its tracepoint
//! program type there, and a kprobe event needs a program of the type "kprobe".

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// First version of `struct perf_event_attr`, which every kernel accepts.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}

mod ioctl {
    nix::ioctl_none!(enable, b'$', 0);
    nix::ioctl_write_int!(set_bpf, b'$', 8);
}

/// Runs `program` at the event `id`, on every CPU and for every task, until the result is dropped.
pub(crate) fn attach(id: u64, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // The event itself counts on one CPU only, but its programs run for the whole tracepoint.
    let cpus = aya::util::online_cpus().map_err(|(_, error)| error)?;
    let cpu = cpus.first().copied().unwrap_or(0);
    let event = open(id, cpu)?;
    // SAFETY: an event that is open, and a program that is loaded; no memory is passed.
    unsafe {
        ioctl::set_bpf(event.as_raw_fd(), program.as_raw_fd() as libc::c_ulong)?;
        ioctl::enable(event.as_raw_fd())?;
    }
    Ok(event)
}

fn open(id: u64, cpu: u32) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: id,
        rest: [0; 6],
    };
    const ANY_TASK: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    // SAFETY: the kernel reads as many bytes as `size` says, and they outlive the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            ANY_TASK,
            cpu as libc::c_int,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
