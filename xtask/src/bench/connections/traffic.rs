//! Connections that carry a byte each way and close in order.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// So many run before the clocks are read.
const WARM_UP: u32 = 500;

/// One thread plays both ends, on one CPU. No end ever waits: what the scheduler takes to wake
/// another thread, or to move one to another CPU, differs from run to run by more than the
/// programs cost. It also leaves the least to compare with, so the share of the programs is the
/// greatest that a connection can have.
#[derive(Debug)]
pub(super) struct Traffic {
    listener: TcpListener,
    address: SocketAddr,
}

impl Traffic {
    /// To be made on a thread inside the namespace, which stays on one CPU from here on.
    pub(super) fn new() -> Result<Self> {
        stay_on_one_cpu()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) fn warm_up(&self) -> Result<()> {
        self.connect(WARM_UP)?;
        Ok(())
    }

    /// Opens and closes so many connections, one after another; returns how long that took.
    pub(super) fn connect(&self, connections: u32) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..connections {
            self.connect_one()?;
        }
        Ok(start.elapsed())
    }

    /// The client closes first, and its end becomes the TIME_WAIT socket.
    fn connect_one(&self) -> Result<()> {
        let mut byte = [0];
        let mut client = TcpStream::connect(self.address).context("connect")?;
        let (mut server, _) = self.listener.accept().context("accept")?;
        client.write_all(b"x").context("send to the server")?;
        server.read_exact(&mut byte).context("read from the client")?;
        server.write_all(b"y").context("send to the client")?;
        client.read_exact(&mut byte).context("read from the server")?;
        drop(client);
        ensure!(server.read(&mut byte)? == 0, "data in place of the client's FIN");
        Ok(())
    }
}

/// Keeps the calling thread on the last CPU that it may use: interrupts of devices often go to
/// the first.
fn stay_on_one_cpu() -> Result<()> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).context("read the CPU affinity")?;
    let last = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu) == Ok(true));
    let mut one = CpuSet::new();
    one.set(last.context("no CPU is allowed")?)?;
    sched_setaffinity(this_thread, &one).context("set the CPU affinity")
}
