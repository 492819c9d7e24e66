//! Connections over loopback.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt::TcpRepair};
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, SockRef, Socket, Type};

use crate::scene::{Caused, Scene};
use crate::stage::options::{QueueSeq, RepairQueue};
use crate::stage::proc_net::{self, State};

/// Both ends of an established connection. `server` has the scenario's port and is the side
/// that will send the reset; its listener is gone.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: TcpStream,
    pub(crate) client: TcpStream,
    pub(crate) server_addr: SocketAddr,
    pub(crate) client_addr: SocketAddr,
}

impl Pair {
    pub(crate) fn open(scene: &Scene, ip: IpAddr) -> Result<Self> {
        let listener = listen(scene, ip)?;
        let client = connect(scene, &listener)?;
        Self::accept(&listener, client)
    }

    /// The connection of `client`, the listener's only one.
    pub(crate) fn accept(listener: &TcpListener, client: TcpStream) -> Result<Self> {
        let (server, _) = listener.accept().context("accept")?;
        Ok(Self {
            server_addr: server.local_addr()?,
            client_addr: client.local_addr()?,
            server,
            client,
        })
    }

    /// The client sends a byte, and this returns once it waits in the server's receive queue.
    pub(crate) fn send_unread(&mut self, scene: &Scene) -> Result<()> {
        self.client.write_all(b"x").context("send")?;
        self.server.set_read_timeout(Some(scene.deadline.left()))?;
        let waiting = self.server.peek(&mut [0]).context("await the sent byte")?;
        ensure!(waiting == 1, "the connection ended before the byte came");
        Ok(())
    }

    /// The server ends its direction; the client has acknowledged it on return.
    pub(crate) fn server_to_fin_wait2(&self, scene: &Scene) -> Result<()> {
        self.server.shutdown(Shutdown::Write)?;
        scene.deadline.until("FIN_WAIT2", || {
            let state = proc_net::state_of(self.server_addr, self.client_addr)?;
            Ok(state == Some(State::FIN_WAIT2))
        })
    }
}

/// A listener on the scenario's port.
pub(crate) fn listen(scene: &Scene, ip: IpAddr) -> Result<TcpListener> {
    listen_with(scene, ip, 8)
}

/// The same with a given backlog.
pub(crate) fn listen_with(scene: &Scene, ip: IpAddr, backlog: i32) -> Result<TcpListener> {
    let addr = SocketAddr::new(ip, scene.port);
    let listener = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    // A time limit for accept().
    listener.set_read_timeout(Some(scene.deadline.left()))?;
    listener.bind(&addr.into()).with_context(|| format!("bind {addr}"))?;
    listener.listen(backlog).context("listen")?;
    Ok(listener.into())
}

/// A client of `listener`, from an ephemeral port.
pub(crate) fn connect(scene: &Scene, listener: &TcpListener) -> Result<TcpStream> {
    TcpStream::connect_timeout(&listener.local_addr()?, scene.deadline.left()).context("connect")
}

/// A client at `from` asks for `closed`, and is refused.
pub(crate) fn refused(scene: &Scene, from: IpAddr, closed: SocketAddr) -> Result<Caused> {
    let client = Socket::new(Domain::for_address(closed), Type::STREAM, None)?;
    // Bound first: a failed connect forgets the port that it chose itself.
    client.bind(&SocketAddr::new(from, 0).into())?;
    let here = client.local_addr()?.as_socket().context("own address")?;
    match client.connect_timeout(&closed.into(), scene.deadline.left()) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error).context("connect to a closed port"),
        Ok(()) => bail!("port {} is open", scene.port),
    }
    Ok(scene.caused(closed, here))
}

/// Waits until `accept` would find a connection: a client is connected a little before the
/// listener has its last ACK.
pub(crate) fn await_backlog(scene: &Scene, listener: &TcpListener) -> Result<()> {
    let left = PollTimeout::try_from(scene.deadline.left())?;
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut waiting, left).context("poll the listener")?;
    ensure!(ready == 1, "timed out waiting for a connection to accept");
    Ok(())
}

/// Waits until `client` has been reset by its peer.
pub(crate) fn await_reset(scene: &Scene, client: &TcpStream) -> Result<()> {
    let error = scene.deadline.until_some("the peer's reset", || Ok(client.take_error()?))?;
    match error.kind() {
        // EPIPE: the client already had the peer's FIN when the reset came.
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(()),
        _ => Err(anyhow!(error).context("awaiting the peer's reset")),
    }
}

/// `connect` with AF_UNSPEC ends the connection and keeps the socket.
pub(crate) fn connect_to_nowhere<'s>(stream: impl Into<SockRef<'s>>) -> Result<()> {
    let nothing = SockAddrStorage::zeroed();
    let length = nothing.size_of();
    // SAFETY: `length` is the storage's own size, and all zeros are a valid address of the
    // family AF_UNSPEC, which is 0.
    let nowhere = unsafe { SockAddr::new(nothing, length) };
    stream.into().connect(&nowhere).context("connect to AF_UNSPEC")
}

/// Makes a reset by `close` certain: linger on, no time.
pub(crate) fn linger_zero(stream: &TcpStream) -> Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).context("set SO_LINGER")
}

/// From here on the socket drops whatever reaches it, and so answers nothing.
pub(crate) fn go_deaf<'s>(socket: impl Into<SockRef<'s>>) -> Result<()> {
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    socket
        .into()
        .attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
        .context("attach a filter that drops all")
}

/// Ends what [`go_deaf`] began.
pub(crate) fn hear_again<'s>(socket: impl Into<SockRef<'s>>) -> Result<()> {
    socket.into().detach_filter().context("detach the filter")
}

/// Closes `stream` without a packet, so that it causes no second reset.
pub(crate) fn close_silently(stream: TcpStream) -> Result<()> {
    setsockopt(&stream, TcpRepair, &1).context("set TCP_REPAIR")?;
    Ok(())
}

/// The number of the next byte that `stream` will send. From here on its close is silent.
pub(crate) fn freeze(stream: &TcpStream) -> Result<u32> {
    // From `include/uapi/linux/tcp.h`.
    const SEND_QUEUE: i32 = 2;
    setsockopt(stream, TcpRepair, &1).context("set TCP_REPAIR")?;
    setsockopt(stream, RepairQueue, &SEND_QUEUE).context("set TCP_REPAIR_QUEUE")?;
    getsockopt(stream, QueueSeq).context("get TCP_QUEUE_SEQ")
}
