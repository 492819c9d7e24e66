//! Resets that a firewall sends: `nf_send_reset`, `nf_send_reset6`, `nf_reject_skb_*`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};

use crate::scene::{Caused, Impossible, Scene};
use crate::stage::pair::refused;
use crate::stage::rules::{IptablesRule, NftChain, NftRule};
use crate::stage::topology::{BRIDGE_IP, Family, Topology};

const NFT_RESET: &str = "reject with tcp reset";
const IPTABLES_RESET: &str = "--reject-with tcp-reset";

/// Whether iptables sees what a bridge of this namespace passes on; there since 5.3 by
/// namespace, and only with the module br_netfilter.
const BRIDGED_TO_IPTABLES: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

pub(crate) fn iptables_input(scene: &Scene) -> Result<Caused> {
    iptables_here(scene, Family::V4, "INPUT")
}

pub(crate) fn iptables_output(scene: &Scene) -> Result<Caused> {
    iptables_here(scene, Family::V4, "OUTPUT")
}

pub(crate) fn ip6tables_input(scene: &Scene) -> Result<Caused> {
    iptables_here(scene, Family::V6, "INPUT")
}

fn iptables_here(scene: &Scene, family: Family, chain: &str) -> Result<Caused> {
    let _rule = IptablesRule::reject(family, chain, scene.port, IPTABLES_RESET)?;
    refused_here(scene, family)
}

pub(crate) fn iptables_forward(scene: &Scene) -> Result<Caused> {
    iptables_routed(scene, Family::V4)
}

pub(crate) fn ip6tables_forward(scene: &Scene) -> Result<Caused> {
    iptables_routed(scene, Family::V6)
}

fn iptables_routed(scene: &Scene, family: Family) -> Result<Caused> {
    let _rule = IptablesRule::reject(family, "FORWARD", scene.port, IPTABLES_RESET)?;
    Topology::routed(scene)?.refused(scene, family)
}

pub(crate) fn br_netfilter(scene: &Scene) -> Result<Caused> {
    show_iptables_bridged_packets()?;
    let _rule = IptablesRule::reject(Family::V4, "FORWARD", scene.port, IPTABLES_RESET)?;
    Topology::bridged(scene)?.refused(scene, Family::V4)
}

/// Of a segment for this host that came in over a bridge, as on a host of containers.
pub(crate) fn iptables_input_bridged(scene: &Scene) -> Result<Caused> {
    show_iptables_bridged_packets()?;
    let _rule = IptablesRule::reject(Family::V4, "INPUT", scene.port, IPTABLES_RESET)?;
    let topology = Topology::bridged(scene)?;
    let here = SocketAddr::new(BRIDGE_IP.into(), scene.port);
    topology.as_client(Family::V4, |client| refused(scene, client, here))
}

fn show_iptables_bridged_packets() -> Result<()> {
    if !Path::new(BRIDGED_TO_IPTABLES).exists() {
        return Err(Impossible(
            "this kernel has no iptables on bridges (CONFIG_BRIDGE_NETFILTER)".to_owned(),
        )
        .into());
    }
    // That is the default of a new namespace, but who knows the machine's.
    fs::write(BRIDGED_TO_IPTABLES, "1").context("let iptables see bridged packets")
}

pub(crate) fn nft_inet(scene: &Scene) -> Result<Caused> {
    nft_here(scene, NftChain { family: "inet", hook: "input" }, Family::V4)
}

pub(crate) fn nft_inet_v6(scene: &Scene) -> Result<Caused> {
    nft_here(scene, NftChain { family: "inet", hook: "input" }, Family::V6)
}

pub(crate) fn nft_inet_output(scene: &Scene) -> Result<Caused> {
    nft_here(scene, NftChain { family: "inet", hook: "output" }, Family::V4)
}

pub(crate) fn nft_ip(scene: &Scene) -> Result<Caused> {
    nft_here(scene, NftChain { family: "ip", hook: "input" }, Family::V4)
}

pub(crate) fn nft_ip6(scene: &Scene) -> Result<Caused> {
    nft_here(scene, NftChain { family: "ip6", hook: "input" }, Family::V6)
}

fn nft_here(scene: &Scene, chain: NftChain, family: Family) -> Result<Caused> {
    let _rule = NftRule::add(chain, scene.port, NFT_RESET)?;
    refused_here(scene, family)
}

pub(crate) fn nft_inet_forward(scene: &Scene) -> Result<Caused> {
    let chain = NftChain { family: "inet", hook: "forward" };
    let _rule = NftRule::add(chain, scene.port, NFT_RESET)?;
    Topology::routed(scene)?.refused(scene, Family::V4)
}

pub(crate) fn nft_bridge(scene: &Scene) -> Result<Caused> {
    nft_bridged(scene, Family::V4)
}

pub(crate) fn nft_bridge_v6(scene: &Scene) -> Result<Caused> {
    nft_bridged(scene, Family::V6)
}

fn nft_bridged(scene: &Scene, family: Family) -> Result<Caused> {
    // A bridge can reject only what comes in, not what it passes on.
    let chain = NftChain { family: "bridge", hook: "prerouting" };
    let _rule = NftRule::add(chain, scene.port, NFT_RESET)?;
    Topology::bridged(scene)?.refused(scene, family)
}

pub(crate) fn nft_netdev(scene: &Scene) -> Result<Caused> {
    let topology = Topology::routed(scene)?;
    // The interface towards the client.
    let chain = NftChain { family: "netdev", hook: "ingress device \"to-client\"" };
    let _rule = NftRule::add(chain, scene.port, NFT_RESET)?;
    topology.refused(scene, Family::V4)
}

/// A client connects over loopback to a port that a rule guards.
fn refused_here(scene: &Scene, family: Family) -> Result<Caused> {
    let ip: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    refused(scene, ip, SocketAddr::new(ip, scene.port))
}
