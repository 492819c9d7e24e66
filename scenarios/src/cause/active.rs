//! Resets that this side decides to send: `tcp_send_active_reset`.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt};
use socket2::{SockRef, TcpKeepalive};

use crate::scene::{Caused, Impossible, Scene};
use crate::stage::options::Linger2;
use crate::stage::pair::{
    Pair, await_backlog, await_reset, close_silently, connect, connect_to_nowhere, go_deaf,
    linger_zero, listen,
};
use crate::stage::proc_net::{State, state_of};
use crate::stage::process::{Victim, await_success};
use crate::stage::tool::{command, require};
use crate::task::Actor;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

pub(crate) fn linger0_close_v4(scene: &Scene) -> Result<Caused> {
    linger0_close(scene, V4)
}

pub(crate) fn linger0_close_v6(scene: &Scene) -> Result<Caused> {
    linger0_close(scene, V6)
}

fn linger0_close(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    let pair = Pair::open(scene, ip)?;
    linger_zero(&pair.server)?;
    closed_here(scene, pair)
}

pub(crate) fn close_unread_v4(scene: &Scene) -> Result<Caused> {
    close_unread(scene, V4)
}

pub(crate) fn close_unread_v6(scene: &Scene) -> Result<Caused> {
    close_unread(scene, V6)
}

fn close_unread(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    let mut pair = Pair::open(scene, ip)?;
    pair.send_unread(scene)?;
    closed_here(scene, pair)
}

/// This thread closes the server's end, and the client sees a reset.
fn closed_here(scene: &Scene, pair: Pair) -> Result<Caused> {
    drop(pair.server);
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(Actor::this_thread()?))
}

/// Nobody closes the server's end: its last descriptor, and those of two Unix sockets, wait in the
/// queues of these two (SCM_RIGHTS), where only the kernel's collector finds them (net/unix/garbage.c).
pub(crate) fn close_unread_collected(scene: &Scene) -> Result<Caused> {
    let symbols = std::fs::read_to_string("/proc/kallsyms").context("read /proc/kallsyms")?;
    if !symbols.lines().any(|line| line.ends_with(" __unix_gc")) {
        let why = "whoever closes a Unix socket collects on the way: a worker does since 6.9";
        bail!(Impossible(why.to_owned()));
    }
    let mut pair = Pair::open(scene, V4)?;
    pair.send_unread(scene)?;
    let (one, other) = UnixDatagram::pair().context("make a pair of Unix sockets")?;
    let send = |by: &UnixDatagram, descriptors: &[RawFd]| {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let bytes = [IoSlice::new(b"x")];
        sendmsg::<()>(by.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None)
            .context("send descriptors")
    };
    send(&one, &[one.as_raw_fd(), other.as_raw_fd(), pair.server.as_raw_fd()])?;
    send(&other, &[one.as_raw_fd(), other.as_raw_fd()])?;
    drop((pair.server, one, other));
    // Any Unix socket that is closed asks for a collection.
    drop(UnixDatagram::pair().context("make a pair of Unix sockets")?);
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn killed_unread(scene: &Scene) -> Result<Caused> {
    let mut pair = Pair::open(scene, V4)?;
    pair.send_unread(scene)?;
    // The victim's standard input is now the only handle of the server's end.
    let victim = Victim::start(OwnedFd::from(pair.server).into())?;
    let actor = Actor::process(victim.pid())?;
    victim.kill()?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(actor))
}

pub(crate) fn disconnect(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    connect_to_nowhere(&pair.server)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(Actor::this_thread()?))
}

pub(crate) fn listener_closed(scene: &Scene) -> Result<Caused> {
    let listener = listen(scene, V4)?;
    let server_addr = listener.local_addr()?;
    let client = connect(scene, &listener)?;
    await_backlog(scene, &listener)?;
    drop(listener);
    await_reset(scene, &client)?;
    Ok(scene.caused(server_addr, client.local_addr()?).with_actor(Actor::this_thread()?))
}

pub(crate) fn listener_shutdown(scene: &Scene) -> Result<Caused> {
    let listener = listen(scene, V4)?;
    let server_addr = listener.local_addr()?;
    let client = connect(scene, &listener)?;
    await_backlog(scene, &listener)?;
    SockRef::from(&listener).shutdown(Shutdown::Both)?;
    await_reset(scene, &client)?;
    Ok(scene.caused(server_addr, client.local_addr()?).with_actor(Actor::this_thread()?))
}

pub(crate) fn disconnect_with_data(scene: &Scene) -> Result<Caused> {
    let mut pair = Pair::open(scene, V4)?;
    pair.client.shutdown(Shutdown::Write)?;
    await_state(scene, &pair, State::CLOSE_WAIT)?;
    // The client reads nothing, so the rest stays here, unsent.
    pair.server.set_nonblocking(true)?;
    let block = vec![0; 1 << 16];
    loop {
        match pair.server.write(&block) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error).context("fill the send queue"),
        }
    }
    pair.server.shutdown(Shutdown::Write)?;
    connect_to_nowhere(&pair.server)?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(Actor::this_thread()?))
}

fn await_state(scene: &Scene, pair: &Pair, state: State) -> Result<()> {
    scene.deadline.until("a state of the server", || {
        Ok(state_of(pair.server_addr, pair.client_addr)? == Some(state))
    })
}

pub(crate) fn linger2(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    setsockopt(&pair.server, Linger2, &-1).context("set TCP_LINGER2")?;
    // Were the FIN still unacknowledged, the ACK would cause the reset, not the close.
    pair.server_to_fin_wait2(scene)?;
    closed_here(scene, pair)
}

pub(crate) fn keepalive_timeout_v4(scene: &Scene) -> Result<Caused> {
    keepalive_timeout(scene, V4)
}

pub(crate) fn keepalive_timeout_v6(scene: &Scene) -> Result<Caused> {
    keepalive_timeout(scene, V6)
}

fn keepalive_timeout(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    let pair = Pair::open(scene, ip)?;
    die_of_silence(scene, pair, every_second().with_retries(1))
}

pub(crate) fn user_timeout(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    let timeout = Some(Duration::from_millis(1500));
    SockRef::from(&pair.server).set_tcp_user_timeout(timeout).context("set TCP_USER_TIMEOUT")?;
    // It ends the connection long before so many probes would have.
    die_of_silence(scene, pair, every_second().with_retries(100))
}

fn every_second() -> TcpKeepalive {
    let second = Duration::from_secs(1);
    TcpKeepalive::new().with_time(second).with_interval(second)
}

/// The client answers no more, and the server's probes find that out.
fn die_of_silence(scene: &Scene, pair: Pair, probes: TcpKeepalive) -> Result<Caused> {
    go_deaf(&pair.client)?;
    SockRef::from(&pair.server).set_tcp_keepalive(&probes).context("set keepalive")?;
    let error =
        scene.deadline.until_some("the keepalive time-out", || Ok(pair.server.take_error()?))?;
    ensure!(error.raw_os_error() == Some(libc::ETIMEDOUT), "expected a time-out, got {error}");
    // A deaf client still speaks: its FIN would meet a closed port.
    close_silently(pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn ss_kill(scene: &Scene) -> Result<Caused> {
    require("ss")?;
    let pair = Pair::open(scene, V4)?;
    let operator = kill_by_ss(scene, &[])?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr).with_actor(operator))
}

pub(crate) fn ss_kill_listener(scene: &Scene) -> Result<Caused> {
    // Without it the listener's end would cause another reset.
    require("ss")?;
    let listener = listen(scene, V4)?;
    let server_addr = listener.local_addr()?;
    let client = connect(scene, &listener)?;
    await_backlog(scene, &listener)?;
    // Only the listener: its waiting connection has the same port.
    let operator = kill_by_ss(scene, &["--listening"])?;
    await_reset(scene, &client)?;
    Ok(scene.caused(server_addr, client.local_addr()?).with_actor(operator))
}

/// `ss -K` for the sockets on the scenario's port; returns the process that it was.
fn kill_by_ss(scene: &Scene, which: &[&str]) -> Result<Actor> {
    let ss = command("ss")
        .args(["--kill", "--tcp", "--numeric"])
        .args(which)
        .args(["sport", "="])
        .arg(format!(":{}", scene.port))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("start ss")?;
    let pid = ss.id();
    await_success(ss, "ss")?;
    Ok(Actor { pid, tid: pid, comm: "ss".to_owned() })
}
