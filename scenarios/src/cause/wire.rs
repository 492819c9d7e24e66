//! Resets that this kernel does not build, and the receiver's end of those that it does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::scene::{Caused, Scene};
use crate::stage::packet::{TcpSegment, flags, send, send_spoofed};
use crate::stage::pair::{Pair, await_reset, freeze, linger_zero, refused};
use crate::stage::topology::{Family, Topology};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn crafted_raw_rst(scene: &Scene) -> Result<Caused> {
    crafted(scene, Pair::open(scene, V4)?, send)
}

pub(crate) fn crafted_spoofed(scene: &Scene) -> Result<Caused> {
    let topology = Topology::routed(scene)?;
    // The router in the middle resets the client in the server's name.
    crafted(scene, topology.connected(scene, Family::V4)?, send_spoofed)
}

/// Somebody resets the client by hand, and the server knows nothing of it.
fn crafted(scene: &Scene, pair: Pair, send: fn(&TcpSegment<'_>) -> Result<()>) -> Result<Caused> {
    // The client takes a reset only at the very number that it awaits (RFC 5961).
    let seq = freeze(&pair.server)?;
    let (src, dst) = (pair.server_addr, pair.client_addr);
    send(&TcpSegment { seq, window: 0, ..TcpSegment::new(src, dst, flags::RST) })?;
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn forwarded_rst(scene: &Scene) -> Result<Caused> {
    // The server's kernel sends the reset, and this namespace only routes it.
    Topology::routed(scene)?.refused(scene, Family::V4)
}

pub(crate) fn received_linger0(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    linger_zero(&pair.server)?;
    drop(pair.server);
    await_reset(scene, &pair.client)?;
    // The expected row is the client's side, which is not the act of a task.
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn received_close_wait(scene: &Scene) -> Result<Caused> {
    let pair = Pair::open(scene, V4)?;
    // The server's FIN puts the client into CLOSE_WAIT before the reset comes.
    pair.server_to_fin_wait2(scene)?;
    linger_zero(&pair.server)?;
    drop(pair.server);
    await_reset(scene, &pair.client)?;
    Ok(scene.caused(pair.server_addr, pair.client_addr))
}

pub(crate) fn received_refused(scene: &Scene) -> Result<Caused> {
    refused(scene, V4, SocketAddr::new(V4, scene.port))
}
