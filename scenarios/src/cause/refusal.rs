//! Refusals without a reset: an ICMP error says no.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use socket2::{Domain, Socket, Type};

use crate::scene::{Caused, Scene};
use crate::stage::rules::{IptablesRule, NftChain, NftRule};
use crate::stage::sysctl::Sysctl;
use crate::stage::tool::ip;
use crate::stage::topology::{Family, TO_SERVER, Topology};

pub(crate) fn icmp_reject_iptables(scene: &Scene) -> Result<Caused> {
    let _rule = IptablesRule::reject(Family::V4, "INPUT", scene.port, "")?;
    refused_by_icmp_here(scene, Ipv4Addr::LOCALHOST.into())
}

pub(crate) fn icmp_reject_nft_v6(scene: &Scene) -> Result<Caused> {
    let chain = NftChain { family: "ip6", hook: "input" };
    let _rule = NftRule::add(chain, scene.port, "reject")?;
    refused_by_icmp_here(scene, Ipv6Addr::LOCALHOST.into())
}

/// A client here asks for the port of the scene, and is refused by ICMP.
pub(crate) fn refused_by_icmp_here(scene: &Scene, ip: IpAddr) -> Result<Caused> {
    refused_by_icmp(scene, ip, SocketAddr::new(ip, scene.port), libc::ECONNREFUSED)
}

pub(crate) fn icmp_unreachable_route(scene: &Scene) -> Result<Caused> {
    no_route(scene, Family::V4, libc::EHOSTUNREACH)
}

pub(crate) fn icmp_unreachable_route_v6(scene: &Scene) -> Result<Caused> {
    no_route(scene, Family::V6, libc::ENETUNREACH)
}

pub(crate) fn icmp_dead_neighbour(scene: &Scene) -> Result<Caused> {
    nobody_there(scene, Family::V4)
}

pub(crate) fn icmp_dead_neighbour_v6(scene: &Scene) -> Result<Caused> {
    nobody_there(scene, Family::V6)
}

/// The router has a route, and nobody answers at its end: a pod that is gone.
fn nobody_there(scene: &Scene, family: Family) -> Result<Caused> {
    let topology = Topology::routed(scene)?;
    // Three times; before the client asks again after a second.
    let name = match family {
        Family::V4 => format!("ipv4/neigh/{TO_SERVER}/retrans_time_ms"),
        Family::V6 => format!("ipv6/neigh/{TO_SERVER}/retrans_time_ms"),
    };
    let _soon = Sysctl::set(&name, "100")?;
    let nobody = match topology.server_ip(family) {
        IpAddr::V4(server) => IpAddr::from((server.to_bits() + 1).to_be_bytes()),
        IpAddr::V6(server) => IpAddr::from((server.to_bits() + 1).to_be_bytes()),
    };
    topology.as_client(family, |here| {
        refused_by_icmp(scene, here, SocketAddr::new(nobody, scene.port), libc::EHOSTUNREACH)
    })
}

/// The router between client and server has a route that leads nowhere.
fn no_route(scene: &Scene, family: Family, errno: i32) -> Result<Caused> {
    let topology = Topology::routed(scene)?;
    let server = topology.server_ip(family);
    let _route = DeadEnd::new(server)?;
    topology.as_client(family, |here| {
        refused_by_icmp(scene, here, SocketAddr::new(server, scene.port), errno)
    })
}

/// An `unreachable` route; deleted when dropped, since it belongs to no interface.
#[derive(Debug)]
struct DeadEnd(IpAddr);

impl DeadEnd {
    fn new(ip_addr: IpAddr) -> Result<Self> {
        ip(&format!("route add unreachable {ip_addr}\n")).context("add a dead end")?;
        Ok(Self(ip_addr))
    }
}

impl Drop for DeadEnd {
    fn drop(&mut self) {
        // There is nobody to tell, and it ends with the namespace in any case.
        let _ = ip(&format!("route delete unreachable {}\n", self.0));
    }
}

/// A client at `from` asks for `to`, and gets `errno` by an ICMP error.
fn refused_by_icmp(scene: &Scene, from: IpAddr, to: SocketAddr, errno: i32) -> Result<Caused> {
    let client = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    client.bind(&SocketAddr::new(from, 0).into())?;
    let here = client.local_addr()?.as_socket().context("own address")?;
    // A blocking connect() would ask again after a second, and be refused twice: the error comes
    // while connect() still has the socket locked, and such an error ends nothing (it is the
    // socket's "soft error"). SO_ERROR returns it all the same.
    client.set_nonblocking(true)?;
    match client.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error).context("connect"),
        Ok(()) => bail!("port {} is open", to.port()),
    }
    let error = scene.deadline.until_some("the ICMP error", || Ok(client.take_error()?))?;
    ensure!(error.raw_os_error() == Some(errno), "expected errno {errno}, got {error}");
    Ok(scene.caused(to, here))
}
