//! Resets that answer a segment: `tcp_v4_send_reset`, `tcp_v6_send_reset`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use anyhow::{Context, Result};
use nix::sys::socket::setsockopt;

use crate::cause::past::GhostPair;
use crate::scene::{Caused, Scene};
use crate::stage::ghost::FIRST;
use crate::stage::options::Linger2;
use crate::stage::packet::{TcpSegment, flags, send_and_await_reset};
use crate::stage::pair::{Pair, await_reset, listen, refused};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

pub(crate) fn closed_port_v4(scene: &Scene) -> Result<Caused> {
    closed_port(scene, V4)
}

pub(crate) fn closed_port_v6(scene: &Scene) -> Result<Caused> {
    closed_port(scene, V6)
}

fn closed_port(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    refused(scene, ip, SocketAddr::new(ip, scene.port))
}

pub(crate) fn stale_flow_v4(scene: &Scene) -> Result<Caused> {
    stale_flow(scene, V4)
}

pub(crate) fn stale_flow_v6(scene: &Scene) -> Result<Caused> {
    stale_flow(scene, V6)
}

fn stale_flow(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    stray(scene, ip, flags::PSH | flags::ACK, b"x")
}

/// A segment of no connection, to the scenario's port.
fn stray(scene: &Scene, ip: IpAddr, flags: u8, data: &'static [u8]) -> Result<Caused> {
    // No socket has this port: the reset must not meet one.
    const FROM: u16 = 20999;
    let (from, to) = (SocketAddr::new(ip, FROM), SocketAddr::new(ip, scene.port));
    let stray = TcpSegment { seq: 1000, ack: 2000, data, ..TcpSegment::new(from, to, flags) };
    send_and_await_reset(&stray, scene.deadline)?;
    Ok(scene.caused(to, from))
}

pub(crate) fn shutdown_both_data(scene: &Scene) -> Result<Caused> {
    let mut pair = Pair::open(scene, V4)?;
    pair.server_to_fin_wait2(scene)?;
    pair.server.shutdown(Shutdown::Read)?;
    pair.client.write_all(b"x").context("send")?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn data_after_close_v4(scene: &Scene) -> Result<Caused> {
    data_after_close(scene, V4)
}

pub(crate) fn data_after_close_v6(scene: &Scene) -> Result<Caused> {
    data_after_close(scene, V6)
}

fn data_after_close(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    let pair = Pair::open(scene, ip)?;
    // More than the 60 seconds of TIME_WAIT, or the kernel would replace the orphan by a smaller
    // socket (that is scenario `data_after_close_small`).
    setsockopt(&pair.server, Linger2, &120).context("set TCP_LINGER2")?;
    data_to_closed(scene, pair)
}

pub(crate) fn data_after_close_small_v4(scene: &Scene) -> Result<Caused> {
    data_to_closed(scene, Pair::open(scene, V4)?)
}

pub(crate) fn data_after_close_small_v6(scene: &Scene) -> Result<Caused> {
    data_to_closed(scene, Pair::open(scene, V6)?)
}

/// A peer that has not closed asks for another connection between the same ends.
pub(crate) fn timewait_syn(scene: &Scene) -> Result<Caused> {
    let mut ghost = GhostPair::open(scene)?;
    ghost.close(scene)?;
    let at = ghost.at;
    // Behind all that was sent, and in the window: as a new connection may begin.
    let syn = TcpSegment { seq: FIRST + 1000, ..ghost.ghost.segment(at, flags::SYN) };
    ghost.ghost.provoke(scene, &syn)?;
    Ok(scene.caused(at, ghost.ghost.addr()))
}

/// The server closes, the client has acknowledged that and sends data all the same.
fn data_to_closed(scene: &Scene, mut pair: Pair) -> Result<Caused> {
    pair.server_to_fin_wait2(scene)?;
    drop(pair.server);
    pair.client.write_all(b"x").context("send")?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn listener_bad_ack_v4(scene: &Scene) -> Result<Caused> {
    listener_bad_ack(scene, V4)
}

pub(crate) fn listener_bad_ack_v6(scene: &Scene) -> Result<Caused> {
    listener_bad_ack(scene, V6)
}

fn listener_bad_ack(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    let _listener = listen(scene, ip)?;
    stray(scene, ip, flags::ACK, b"")
}
