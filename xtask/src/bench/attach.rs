//! The surroundings that bpftrace needs, where the machine does not have them.
//!
//! Both act on a thread that starts bpftrace and ends: namespaces and filters belong to a
//! thread, and its children inherit them. Neither changes the kernel program or costs it anything.

use std::io;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::libc::{self, sock_filter, sock_fprog};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

/// Mounts tracefs for this thread and its children alone, where it is not mounted.
pub(crate) fn provide_tracefs() -> Result<()> {
    const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    if USUAL.iter().any(|path| Path::new(path).join("events").exists()) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make mounts private")?;
    mount(Some("tracefs"), USUAL[0], Some("tracefs"), MsFlags::empty(), none)
        .context("mount tracefs")
}

/// Whether root may lock as much memory as it likes. If so it does from here on.
pub(crate) fn may_lock_memory() -> bool {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
}

/// From here on, attempts of this thread and its children to raise RLIMIT_MEMLOCK seem to succeed,
/// and change nothing. bpftrace 0.17 gives up where it may not raise it, though since 5.11
/// the kernel counts maps against the memory cgroup and not against this limit.
///
/// A seccomp filter: unlike strace it stops no system call, so the CPU time stays bpftrace's own.
pub(crate) fn pretend_memlock() -> Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // `struct seccomp_data` on a little-endian machine: the number, then from byte 16 the
    // arguments of prlimit64(pid, resource, new, old), 8 bytes each.
    const NUMBER: u32 = 0;
    const RESOURCE: u32 = 24;
    const NEW_LOW: u32 = 32;
    const NEW_HIGH: u32 = 36;
    /// Fails with error 0, which is to succeed without doing anything.
    const PRETEND: u32 = libc::SECCOMP_RET_ERRNO;

    let statement = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let equal = |k, jt, jf| sock_filter { code: EQUAL, jt, jf, k };
    let mut filter = [
        statement(LOAD, NUMBER),
        equal(libc::SYS_prlimit64 as u32, 0, 6),
        statement(LOAD, RESOURCE),
        equal(libc::RLIMIT_MEMLOCK, 0, 4),
        // Only a call that sets the limit: without a new one it asks for the old.
        statement(LOAD, NEW_LOW),
        equal(0, 0, 3),
        statement(LOAD, NEW_HIGH),
        equal(0, 0, 1),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
        statement(RETURN, PRETEND),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions live throughout the call, which copies them.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    ensure!(done == 0, "set a seccomp filter: {}", io::Error::last_os_error());
    Ok(())
}
