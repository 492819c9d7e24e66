//! A peer that consists only of its segments.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::scene::Scene;
use crate::stage::packet::{Heard, TcpSegment, Wire, flags};
use crate::stage::pair::go_deaf;

/// The sequence number of a ghost's first segment.
pub(crate) const FIRST: u32 = 1000;

/// Speaks by hand-made segments from an address where the kernel answers nothing: a deaf
/// listener has it. Without that the kernel would answer replies to the ghost with resets.
#[derive(Debug)]
pub(crate) struct Ghost {
    addr: SocketAddr,
    wire: Wire,
    _silence: Socket,
}

impl Ghost {
    pub(crate) fn new(ip: IpAddr) -> Result<Self> {
        let any_port = SocketAddr::new(ip, 0);
        let silence = Socket::new(Domain::for_address(any_port), Type::STREAM, None)?;
        go_deaf(&silence)?;
        silence.bind(&any_port.into())?;
        silence.listen(1)?;
        let addr = silence.local_addr()?.as_socket().context("own address")?;
        Ok(Self { addr, wire: Wire::open(ip)?, _silence: silence })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A segment from here, to be filled in.
    pub(crate) fn segment<'b>(&self, to: SocketAddr, flags: u8) -> TcpSegment<'b> {
        TcpSegment::new(self.addr, to, flags)
    }

    pub(crate) fn send(&self, segment: &TcpSegment<'_>) -> Result<()> {
        self.wire.send(segment)
    }

    /// The next segment from there that has all of `flags`.
    pub(crate) fn hear(&mut self, scene: &Scene, from: SocketAddr, flags: u8) -> Result<Heard> {
        self.wire.hear(from, self.addr, flags, scene.deadline)
    }

    /// Asks for a connection; returns the SYN-ACK that came.
    pub(crate) fn knock(&mut self, scene: &Scene, at: SocketAddr) -> Result<Heard> {
        self.knock_with(scene, at, &[])
    }

    /// The same with TCP options.
    pub(crate) fn knock_with(
        &mut self,
        scene: &Scene,
        at: SocketAddr,
        options: &[u8],
    ) -> Result<Heard> {
        self.send(&TcpSegment {
            seq: FIRST,
            options,
            ..TcpSegment::new(self.addr, at, flags::SYN)
        })?;
        self.hear(scene, at, flags::SYN | flags::ACK).context("the SYN-ACK")
    }

    /// Sends the segment and waits for the reset that answers it.
    pub(crate) fn provoke(&mut self, scene: &Scene, segment: &TcpSegment<'_>) -> Result<()> {
        self.send(segment)?;
        self.hear(scene, segment.dst, flags::RST).context("the reset")?;
        Ok(())
    }
}
