//! One reset after another, with few system calls for each.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::deadline::Deadline;
use crate::stage::flood::mix::{Mix, ResetKind};
use crate::stage::pair::linger_zero;

/// The closed port that a flood connects to.
pub const FLOOD_PORT: u16 = 21999;

/// Longer than any step over loopback takes, also on a machine that is full.
const LIMIT: Duration = Duration::from_secs(10);

/// Causes the resets of a mix in turns, from one thread that plays both ends. Over loopback a
/// segment has been received when the call that sent it returns, but for rare delays, and each
/// reset has arrived before the next is caused: every connection sends one reset and leaves no
/// socket behind.
#[derive(Debug)]
pub struct ResetSource {
    mix: Mix,
    /// The place in the mix.
    next: usize,
    door: ClosedDoor,
    listener: TcpListener,
    address: SocketAddr,
}

impl ResetSource {
    /// To be made on a thread inside the namespace.
    pub fn new(mix: &Mix) -> Result<Self> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // A time limit for `accept`, and for the sockets that it returns.
        listener.set_read_timeout(Some(LIMIT))?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).context("bind")?;
        listener.listen(8).context("listen")?;
        let listener = TcpListener::from(listener);
        let address = listener.local_addr()?;
        Ok(Self { mix: mix.clone(), next: 0, door: ClosedDoor::new()?, listener, address })
    }

    /// Causes one reset, of the kind whose turn it is.
    pub fn cause_one(&mut self) -> Result<()> {
        let kinds = self.mix.kinds();
        let kind = kinds[self.next];
        self.next = (self.next + 1) % kinds.len();
        let caused = match kind {
            ResetKind::ClosedPort => self.door.knock(),
            ResetKind::CloseUnread => self.close_unread(),
            ResetKind::Linger0 => self.linger0(),
            ResetKind::DataAfterClose => self.data_after_close(),
            ResetKind::TimeWait => self.time_wait(),
        };
        caused.with_context(|| kind.name())
    }

    fn close_unread(&self) -> Result<()> {
        let (server, mut client) = self.pair()?;
        client.write_all(b"x").context("send")?;
        ensure!(server.peek(&mut [0])? == 1, "the connection ended before the byte arrived");
        drop(server);
        await_reset(&client)
    }

    fn linger0(&self) -> Result<()> {
        let (server, client) = self.pair()?;
        linger_zero(&server)?;
        drop(server);
        await_reset(&client)
    }

    /// The client's data arrives together with its acknowledgement of the FIN. Without data the
    /// kernel would delay that, to send it with a FIN of the client.
    fn data_after_close(&self) -> Result<()> {
        let (server, mut client) = self.pair()?;
        drop(server);
        client.write_all(b"x").context("send")?;
        await_reset(&client)
    }

    /// The client acknowledges the FIN at once: the server's socket becomes a TIME_WAIT socket in
    /// the sub-state FIN_WAIT2, and the reset ends that.
    fn time_wait(&self) -> Result<()> {
        let (server, mut client) = self.pair()?;
        drop(server);
        ensure!(client.read(&mut [0])? == 0, "data in place of a FIN");
        SockRef::from(&client).set_tcp_quickack(true).context("set TCP_QUICKACK")?;
        client.write_all(b"x").context("send")?;
        await_reset(&client)
    }

    /// Server and client.
    fn pair(&self) -> Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect(self.address).context("connect")?;
        let (server, _) = self.listener.accept().context("accept")?;
        Ok((server, client))
    }
}

/// A client that closed before the reset has come would send a FIN to a socket that is gone, and
/// cause a second reset.
fn await_reset(client: &TcpStream) -> Result<()> {
    if client.take_error()?.is_some() {
        return Ok(());
    }
    Deadline::after(LIMIT).until("the reset", || Ok(client.take_error()?.is_some()))
}

/// The closed port of a flood. Over loopback the reset is there before `connect` returns, and
/// one socket serves for all.
#[derive(Debug)]
struct ClosedDoor {
    socket: Socket,
    address: SockAddr,
}

impl ClosedDoor {
    fn new() -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FLOOD_PORT));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        Ok(Self { socket, address: address.into() })
    }

    /// Causes one reset.
    fn knock(&self) -> Result<()> {
        match self.socket.connect(&self.address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error).context("connect to a closed port"),
            Ok(()) => bail!("port {FLOOD_PORT} is open"),
        }
    }
}
