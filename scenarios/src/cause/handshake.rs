//! Handshakes that end with a reset. One side is a [`Ghost`], so that each segment is the
//! scenario's own choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::setsockopt;
use socket2::{Domain, Socket, Type};

use crate::scene::{Caused, Impossible, Scene};
use crate::stage::ghost::{FIRST, Ghost};
use crate::stage::options::{FastOpen, Md5Key};
use crate::stage::packet::{TcpSegment, flags, option};
use crate::stage::pair::{await_backlog, close_silently, connect, listen, listen_with};
use crate::stage::proc_net;
use crate::stage::sysctl::Sysctl;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn abort_on_overflow(scene: &Scene) -> Result<Caused> {
    /// The kernel takes one more than asked for.
    const BACKLOG: i32 = 2;
    let _abort = Sysctl::set("ipv4/tcp_abort_on_overflow", "1")?;
    let listener = listen_with(scene, V4, BACKLOG)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    // The request must be there before the queue is full: after that, SYNs are ignored.
    let answer = ghost.knock(scene, at)?;
    let mut clients = vec![];
    for _ in 0..=BACKLOG {
        clients.push(connect(scene, &listener)?);
    }
    proc_net::await_accept_queue(scene, at.port(), BACKLOG as u32 + 1)?;
    let last = TcpSegment {
        seq: FIRST + 1,
        ack: answer.seq.wrapping_add(1),
        ..ghost.segment(at, flags::ACK)
    };
    ghost.provoke(scene, &last)?;
    // Connections that fill the queue must not be reset with the listener.
    for client in clients {
        close_silently(listener.accept().context("accept")?.0)?;
        close_silently(client)?;
    }
    Ok(scene.caused(at, ghost.addr()))
}

pub(crate) fn embryonic_syn(scene: &Scene) -> Result<Caused> {
    let listener = listen(scene, V4)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    ghost.knock(scene, at)?;
    // Not the number of the first SYN, or it would only be that one again.
    ghost.provoke(scene, &TcpSegment { seq: FIRST + 10, ..ghost.segment(at, flags::SYN) })?;
    Ok(scene.caused(at, ghost.addr()))
}

pub(crate) fn bad_handshake_ack(scene: &Scene) -> Result<Caused> {
    let listener = listen(scene, V4)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    let answer = ghost.knock(scene, at)?;
    provoke_by_wrong_ack(scene, &mut ghost, at, answer.seq)?;
    Ok(scene.caused(at, ghost.addr()))
}

/// Ends the handshake with an acknowledgement of what was never sent.
fn provoke_by_wrong_ack(
    scene: &Scene,
    ghost: &mut Ghost,
    at: SocketAddr,
    theirs: u32,
) -> Result<()> {
    let wrong = TcpSegment {
        seq: FIRST + 1,
        ack: theirs.wrapping_add(1000),
        ..ghost.segment(at, flags::ACK)
    };
    ghost.provoke(scene, &wrong)
}

pub(crate) fn syn_cookie_bad(scene: &Scene) -> Result<Caused> {
    const FAILED: &str = "SyncookiesFailed";
    if !Path::new("/proc/sys/net/ipv4/tcp_syncookies").exists() {
        bail!(Impossible("the kernel was built without SYN cookies".to_owned()));
    }
    // 2: always, as under a flood of SYNs.
    let _always = Sysctl::set("ipv4/tcp_syncookies", "2")?;
    let failed = proc_net::extended(FAILED)?;
    let listener = listen(scene, V4)?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    let answer = ghost.knock(scene, at)?;
    provoke_by_wrong_ack(scene, &mut ghost, at, answer.seq)?;
    ensure!(proc_net::extended(FAILED)? == failed + 1, "the kernel did not check a cookie");
    Ok(scene.caused(at, ghost.addr()))
}

pub(crate) fn synsent_bad_synack(scene: &Scene) -> Result<Caused> {
    let mut ghost = Ghost::new(V4)?;
    let (client, here) = client_at(scene)?;
    connect_in_vain(&client, ghost.addr())?;
    let syn = ghost.hear(scene, here, flags::SYN).context("the SYN")?;
    let wrong = TcpSegment {
        seq: FIRST,
        ack: syn.seq.wrapping_add(1000),
        ..ghost.segment(here, flags::SYN | flags::ACK)
    };
    ghost.provoke(scene, &wrong)?;
    Ok(scene.caused(here, ghost.addr()))
}

pub(crate) fn synsent_bad_timestamp(scene: &Scene) -> Result<Caused> {
    let mut ghost = Ghost::new(V4)?;
    let (client, here) = client_at(scene)?;
    connect_in_vain(&client, ghost.addr())?;
    let syn = ghost.hear(scene, here, flags::SYN).context("the SYN")?;
    let sent = timestamp_in(&syn.options).context("the SYN has no timestamp")?;
    // Some minutes before the SYN, in milliseconds or microseconds.
    let echo = sent.wrapping_sub(1_000_000_000).to_be_bytes();
    let options = [&[TIMESTAMP, 10, 0, 0, 0, 1], &echo[..], &[1, 1]].concat();
    let answer = TcpSegment {
        seq: FIRST,
        ack: syn.seq.wrapping_add(1),
        options: &options,
        ..ghost.segment(here, flags::SYN | flags::ACK)
    };
    ghost.provoke(scene, &answer)?;
    Ok(scene.caused(here, ghost.addr()))
}

/// The option of timestamps (RFC 7323).
const TIMESTAMP: u8 = 8;

/// TSval of a segment.
fn timestamp_in(options: &[u8]) -> Option<u32> {
    let value = option(options, TIMESTAMP)?.get(..4)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A socket on the scenario's port that will call, and its address.
pub(crate) fn client_at(scene: &Scene) -> Result<(Socket, SocketAddr)> {
    let here = SocketAddr::new(V4, scene.port);
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_reuse_address(true)?;
    client.set_nonblocking(true)?;
    client.bind(&here.into()).with_context(|| format!("bind {here}"))?;
    Ok((client, here))
}

/// Sends a SYN that gets no proper answer.
pub(crate) fn connect_in_vain(client: &Socket, to: SocketAddr) -> Result<()> {
    match client.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        Err(error) => Err(error).context("connect"),
        Ok(()) => bail!("somebody answered at {to}"),
    }
}

pub(crate) fn synrecv_bad_ack(scene: &Scene) -> Result<Caused> {
    // 2: servers may; 0x200: without a cookie.
    let _fast_open = Sysctl::set("ipv4/tcp_fastopen", "0x202")?;
    let listener = listen(scene, V4)?;
    setsockopt(&listener, FastOpen, &8).context("set TCP_FASTOPEN")?;
    let at = listener.local_addr()?;
    let mut ghost = Ghost::new(V4)?;
    // A SYN with data: the server has a whole socket at once, before the handshake is done.
    ghost.send(&TcpSegment { seq: FIRST, data: b"x", ..ghost.segment(at, flags::SYN) })?;
    let answer = ghost.hear(scene, at, flags::SYN | flags::ACK).context("the SYN-ACK")?;
    ensure!(answer.ack == FIRST + 2, "the server did not take the data of the SYN");
    await_backlog(scene, &listener)?;
    let (server, _) = listener.accept().context("accept")?;
    let wrong = TcpSegment {
        seq: FIRST + 2,
        ack: answer.seq.wrapping_add(1000),
        ..ghost.segment(at, flags::ACK)
    };
    ghost.provoke(scene, &wrong)?;
    close_silently(server)?;
    Ok(scene.caused(at, ghost.addr()))
}

pub(crate) fn md5_mismatch(scene: &Scene) -> Result<Caused> {
    const FAILED: &str = "TCPMD5Failure";
    let listener = listen(scene, V4)?;
    let at = listener.local_addr()?;
    match setsockopt(&listener, Md5Key, &Md5Key::for_peer(Ipv4Addr::LOCALHOST, b"right")) {
        Err(Errno::ENOPROTOOPT) => {
            bail!(Impossible("the kernel was built without TCP_MD5SIG".to_owned()))
        }
        set => set.context("set TCP_MD5SIG")?,
    }
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    client.bind(&SocketAddr::new(V4, 0).into())?;
    setsockopt(&client, Md5Key, &Md5Key::for_peer(Ipv4Addr::LOCALHOST, b"wrong"))
        .context("set TCP_MD5SIG")?;
    let here = client.local_addr()?.as_socket().context("own address")?;
    let (failed, resets) = (proc_net::extended(FAILED)?, proc_net::out_rsts()?);
    connect_in_vain(&client, at)?;
    scene.deadline.until("the wrong signature", || Ok(proc_net::extended(FAILED)? > failed))?;
    ensure!(proc_net::out_rsts()? == resets, "the kernel reset what it should have ignored");
    ensure!(client.take_error()?.is_none(), "the client got an error");
    Ok(scene.caused(at, here))
}
