//! Small networks around the scene's namespace: a client and a server, each in a namespace of
//! its own, with the scene between them as a router or as a bridge.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::scene::{Caused, Scene};
use crate::stage::netns::Namespace;
use crate::stage::pair::{Pair, connect, listen, refused};
use crate::stage::tool::{ip, try_tool};

/// The scene's interfaces. The other end is called `eth0` in both other namespaces.
const TO_CLIENT: &str = "to-client";
pub(crate) const TO_SERVER: &str = "to-server";
const BRIDGE: &str = "between";

/// The switches of forwarding, in the calling thread's namespace.
const FORWARDING: [&str; 2] =
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

/// Which of the two Internet protocols a scenario speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Client and server, with the scene between them. All is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Topology {
    client: Namespace,
    server: Namespace,
    client_ips: (Ipv4Addr, Ipv6Addr),
    server_ips: (Ipv4Addr, Ipv6Addr),
}

// The blocks for documentation (RFC 5737, RFC 3849): no real machine has these addresses.
/// The scene's own, as a bridge.
pub(crate) const BRIDGE_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

impl Topology {
    /// Two networks, and the scene's namespace routes between them.
    pub(crate) fn routed(scene: &Scene) -> Result<Self> {
        let topology = Self {
            client: Namespace::new()?,
            server: Namespace::new()?,
            client_ips: (CLIENT_V4, CLIENT_V6),
            server_ips: (
                Ipv4Addr::new(198, 51, 100, 2),
                Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2),
            ),
        };
        topology
            .middle(&format!(
                "address add 192.0.2.1/24 dev {TO_CLIENT}\n\
                 address add 198.51.100.1/24 dev {TO_SERVER}\n\
                 address add 2001:db8:1::1/64 dev {TO_CLIENT} nodad\n\
                 address add 2001:db8:2::1/64 dev {TO_SERVER} nodad\n"
            ))
            .context("set the router up")?;
        for switch in FORWARDING {
            fs::write(switch, "1").with_context(|| format!("write {switch}"))?;
        }
        topology.ends(
            scene,
            "route add default via 192.0.2.1\nroute add default via 2001:db8:1::1\n",
            "route add default via 198.51.100.1\nroute add default via 2001:db8:2::1\n",
        )?;
        Ok(topology)
    }

    /// One network, and the scene's namespace is the bridge in the middle of it.
    pub(crate) fn bridged(scene: &Scene) -> Result<Self> {
        let topology = Self {
            client: Namespace::new()?,
            server: Namespace::new()?,
            client_ips: (CLIENT_V4, CLIENT_V6),
            server_ips: (
                Ipv4Addr::new(192, 0, 2, 3),
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 3),
            ),
        };
        // The address is for iptables, which needs a route to the client for its reset.
        topology
            .middle(&format!(
                "link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0\n\
                 address add {BRIDGE_IP}/24 dev {BRIDGE}\n\
                 link set {BRIDGE} up\n\
                 link set {TO_CLIENT} master {BRIDGE}\n\
                 link set {TO_SERVER} master {BRIDGE}\n"
            ))
            .context("set the bridge up")?;
        topology.ends(scene, "", "")?;
        Ok(topology)
    }

    /// A cable from here to each of the others; our ends are up and set up by `commands`.
    /// No end gets an address by itself, so that none sends packets (to routers) by itself.
    fn middle(&self, commands: &str) -> Result<()> {
        let cable = |ours: &str, theirs: &Namespace| {
            format!(
                "link add {ours} type veth peer name eth0 netns {}\n\
                 link set {ours} addrgenmode none up\n",
                theirs.path()
            )
        };
        let (client, server) = (cable(TO_CLIENT, &self.client), cable(TO_SERVER, &self.server));
        ip(&format!("{client}{server}{commands}"))
    }

    /// The others' ends of the cables. They must come up after ours: the first gets
    /// its carrier and is notified at once; the kernel takes up to a second to notify the second,
    /// which can send all the same. A bridge waits for the notification.
    fn ends(&self, scene: &Scene, client: &str, server: &str) -> Result<()> {
        let up = |(v4, v6): (Ipv4Addr, Ipv6Addr), routes: &str| {
            ip(&format!(
                "link set eth0 addrgenmode none up\n\
                 address add {v4}/24 dev eth0\n\
                 address add {v6}/64 dev eth0 nodad\n\
                 {routes}"
            ))
        };
        self.client.run(|| up(self.client_ips, client)).context("set the client up")?;
        self.server.run(|| up(self.server_ips, server)).context("set the server up")?;
        // Before this a packet would be lost, and be sent again only after a second.
        await_running(scene, TO_CLIENT)?;
        await_running(scene, TO_SERVER)
    }

    fn client_ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.client_ips.0.into(),
            Family::V6 => self.client_ips.1.into(),
        }
    }

    pub(crate) fn server_ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.server_ips.0.into(),
            Family::V6 => self.server_ips.1.into(),
        }
    }

    /// Runs `work` with the client's address, in its namespace.
    pub(crate) fn as_client<T: Send>(
        &self,
        family: Family,
        work: impl FnOnce(IpAddr) -> Result<T> + Send,
    ) -> Result<T> {
        self.client.run(|| work(self.client_ip(family)))
    }

    /// The client connects to the scenario's port on the server, and is refused.
    pub(crate) fn refused(&self, scene: &Scene, family: Family) -> Result<Caused> {
        let server = SocketAddr::new(self.server_ip(family), scene.port);
        self.as_client(family, |here| refused(scene, here, server))
    }

    /// A connection from the client to the scenario's port on the server.
    pub(crate) fn connected(&self, scene: &Scene, family: Family) -> Result<Pair> {
        let listener: TcpListener = self.server.run(|| listen(scene, self.server_ip(family)))?;
        let client: TcpStream = self.client.run(|| connect(scene, &listener))?;
        Pair::accept(&listener, client)
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        // The namespaces take their ends of the cables along, but not at once. Errors do
        // not matter here: a link that does not exist need not be deleted.
        let _ = try_tool(
            "ip",
            &["-force", "-batch", "-"],
            &[BRIDGE, TO_CLIENT, TO_SERVER].map(|link| format!("link delete {link}\n")).concat(),
        );
        for switch in FORWARDING {
            let _ = fs::write(switch, "0");
        }
    }
}

/// Waits until `interface` of the calling thread's namespace has a carrier and lets packets
/// out.
fn await_running(scene: &Scene, interface: &str) -> Result<()> {
    scene.deadline.until(&format!("{interface} to run"), || {
        Ok(getifaddrs().context("list the interfaces")?.any(|found| {
            found.interface_name == interface && found.flags.contains(InterfaceFlags::IFF_RUNNING)
        }))
    })
}
