//! A new network namespace, with nothing in it but loopback.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::getsockopt;
use nix::unistd::getpid;
use socket2::{Domain, Socket, Type};

use crate::stage::options::NetnsCookie;
use crate::stage::proc_net;

/// The name of the threads that act in a namespace, and so the `comm` of what they do.
pub const SCENE_COMM: &str = "tcprst-scene";

/// A network namespace; it lives as long as this handle.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
    inode: u64,
    cookie: u64,
}

impl Namespace {
    /// Makes a namespace and brings its loopback up. Needs root.
    pub fn new() -> Result<Self> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            let handle = File::open("/proc/thread-self/ns/net").context("open own namespace")?;
            let inode = handle.metadata()?.ino();
            loopback_up().context("bring loopback up")?;
            let probe = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            let cookie = match getsockopt(&probe, NetnsCookie) {
                // Before 5.14 the kernel does not give it.
                Err(Errno::ENOPROTOOPT) => 0,
                cookie => cookie.context("ask for the netns cookie")?,
            };
            Ok(Self { handle, inode, cookie })
        })
    }

    /// The inode of `/proc/PID/ns/net`.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The kernel's number of the namespace, unique since boot; 0 where it does not give it.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Another handle of the same namespace.
    pub fn another(&self) -> Result<Self> {
        Ok(Self { handle: self.handle.try_clone()?, inode: self.inode, cookie: self.cookie })
    }

    /// Where other programs find the namespace, as long as this handle lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", getpid(), self.handle.as_raw_fd())
    }

    /// Runs `work` on a new thread inside the namespace and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_own_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Moves the calling thread into the namespace and leaves it there: only for threads made for
    /// it.
    pub fn enter(&self) -> Result<()> {
        setns(&self.handle, CloneFlags::CLONE_NEWNET).context("enter the network namespace")
    }

    /// `Tcp: OutRsts`: the resets sent in this namespace, netfilter's not counted.
    pub fn out_rsts(&self) -> Result<u64> {
        self.run(proc_net::out_rsts)
    }
}

/// A namespace belongs to a thread, so whatever changes it needs a thread to throw away.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(SCENE_COMM.to_owned())
            .spawn_scoped(scope, work)
            .context("start a thread")?;
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Sets `lo` up by one rtnetlink message: `struct nlmsghdr`, then `struct ifinfomsg`.
fn loopback_up() -> Result<()> {
    // Loopback is the first interface of every namespace.
    const LOOPBACK_INDEX: u32 = 1;
    const LENGTH: u32 = 32;
    const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
    const FLAGS: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    const UP: u32 = libc::IFF_UP as u32;

    let mut request = Vec::with_capacity(LENGTH as usize);
    request.extend(LENGTH.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    request.extend([0; 8]); // sequence and sender: this socket has one user
    request.extend([0; 4]); // family, padding, device type: any
    request.extend(LOOPBACK_INDEX.to_ne_bytes());
    request.extend(UP.to_ne_bytes()); // the flags
    request.extend(UP.to_ne_bytes()); // which of them to change

    let mut netlink =
        Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(libc::NETLINK_ROUTE.into()))?;
    netlink.write_all(&request)?;

    let mut reply = [0; 512];
    let length = netlink.read(&mut reply)?;
    ensure!(length >= 20, "short rtnetlink reply of {length} bytes");
    // After the 16 bytes of header: zero, or the error number negated.
    match i32::from_ne_bytes([reply[16], reply[17], reply[18], reply[19]]) {
        0 => Ok(()),
        error => bail!(std::io::Error::from_raw_os_error(-error)),
    }
}
