//! Many resets in little time.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Serialize, Serializer};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::stage::netns::Namespace;

/// The closed port that a flood knocks at.
pub const FLOOD_PORT: u16 = 21999;

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
    ensure!(threads > 0, "a flood needs a thread");
    let before = ns.out_rsts()?;
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| count / threads + u64::from(index < count % threads))
            .map(|share| scope.spawn(move || ns.run(|| knock(share))))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let done = worker.join();
            done.unwrap_or_else(|_| Err(anyhow!("a flood thread panicked")))
        })
    })?;
    let elapsed = start.elapsed();
    Ok(Flood { requested: count, resets: ns.out_rsts()? - before, threads, elapsed })
}

fn knock(count: u64) -> Result<()> {
    let door = ClosedDoor::new()?;
    (0..count).try_for_each(|_| door.knock())
}

/// The closed port of a flood. Over loopback the reset is there before `connect` returns, and
/// one socket serves for all.
#[derive(Debug)]
pub struct ClosedDoor {
    socket: Socket,
    address: SockAddr,
}

impl ClosedDoor {
    /// To be made on a thread inside the namespace.
    pub fn new() -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FLOOD_PORT));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        Ok(Self { socket, address: address.into() })
    }

    /// Causes one reset.
    pub fn knock(&self) -> Result<()> {
        match self.socket.connect(&self.address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error).context("connect to a closed port"),
            Ok(()) => bail!("port {FLOOD_PORT} is open"),
        }
    }
}
