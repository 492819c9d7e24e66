//! The scenes: one way each in which a container has to do with a reset.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::expect::Expected;
use crate::deadline::Deadline;
use crate::runtimes::{Network, RunningContainer, Runtime, RuntimeKind};
use crate::stage::busy::Busy;
use crate::stage::hidden::unhidden;
use crate::stage::netns::Namespace;
use crate::stage::pair;

/// Starting a container and a step of it, in an emulated machine too.
const LIMIT: Duration = Duration::from_secs(60);

/// A scene; it uses up to ten ports, from `port` on.
pub(super) struct ContainerScene {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) run: fn(&ContainerStage<'_>) -> Result<Vec<Expected>>,
}

/// Where it plays.
pub(super) struct ContainerStage<'a> {
    pub(super) runtime: &'a Runtime,
    /// The namespace of the daemon: the host, as containers see it.
    pub(super) ns: &'a Namespace,
    pub(super) port: u16,
}

pub(super) const SCENES: &[ContainerScene] = &[
    ContainerScene { name: "linger0", port: 22000, run: linger0 },
    ContainerScene { name: "closed_port", port: 22010, run: closed_port },
    ContainerScene { name: "between", port: 22020, run: between },
    ContainerScene { name: "keepalive", port: 22030, run: keepalive },
    ContainerScene { name: "timewait", port: 22040, run: timewait },
    ContainerScene { name: "reject", port: 22050, run: reject },
    ContainerScene { name: "host_network", port: 22060, run: host_network },
    ContainerScene { name: "pod", port: 22070, run: pod },
];

impl ContainerStage<'_> {
    fn kind(&self) -> RuntimeKind {
        self.runtime.kind()
    }

    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.port)
    }

    fn run(&self, what: &str, network: &Network, actor: &[&str]) -> Result<RunningContainer> {
        self.runtime.run(&self.name(what), network, actor)
    }

    /// A connection from the host of the containers.
    fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        self.ns.run(|| TcpStream::connect_timeout(&to, LIMIT).context("connect to a container"))
    }

    fn expected(
        &self,
        port: u16,
        cause: &'static str,
        owner: &RunningContainer,
        attribution: &str,
    ) -> Expected {
        Expected::for_container(port, cause, self.kind(), owner, attribution)
    }
}

fn at(container: &RunningContainer, port: u16) -> Result<SocketAddr> {
    Ok((container.address.with_context(|| format!("{} has no address", container.name))?, port)
        .into())
}

/// Waits until something listens on a port of the container's namespace: a connection before
/// would be refused, which is another reset.
fn await_listener(container: &RunningContainer, port: u16) -> Result<()> {
    const LISTEN: &str = "0A";
    let table = format!("/proc/{}/net/tcp", container.pid);
    Deadline::after(LIMIT).until("a listener", || {
        let text = fs::read_to_string(&table).with_context(|| format!("read {table}"))?;
        Ok(text.lines().any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let is_port =
                words.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
            is_port && words.nth(1) == Some(LISTEN)
        }))
    })
}

/// Says a word, and reads until the peer, which waits for it, has reset: one that did so at once
/// might be faster than the end of connect().
fn provoke(mut stream: &TcpStream) -> Result<()> {
    stream.write_all(b"x")?;
    await_reset(stream)
}

/// Reads until the peer has reset.
fn await_reset(mut stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    match stream.read(&mut [0; 8]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => anyhow::bail!("no reset came, but {other:?}"),
    }
}

/// The container's program closes with linger 0; the peer is on the host.
fn linger0(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let port = stage.port;
    let steps = ["listen", &port.to_string(), "accept", "read", "linger0", "close", "pause"];
    let container = stage.run("linger0", &Network::Own, &steps)?;
    await_listener(&container, port)?;
    provoke(&stage.connect(at(&container, port)?)?)?;
    Ok(vec![stage.expected(port, "app_linger0", &container, "socket")])
}

/// Nothing listens in the container: hit from the host, and from another container.
fn closed_port(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let (from_host, from_other) = (stage.port, stage.port + 1);
    let container = stage.run("closed", &Network::Own, &["pause"])?;
    let refused = stage.connect(at(&container, from_host)?);
    ensure!(refused.is_err(), "something listens there");
    let target = at(&container, from_other)?.to_string();
    let other = stage.run("visitor", &Network::Own, &["refused", &target, "pause"])?;
    // It has been there when it waits.
    await_sleep(&other)?;
    Ok(vec![
        stage.expected(from_host, "closed_port", &container, "netns"),
        stage.expected(from_other, "closed_port", &container, "netns").towards(&other),
    ])
}

/// Waits until the program of the container sleeps for good.
fn await_sleep(container: &RunningContainer) -> Result<()> {
    let path = format!("/proc/{}/wchan", container.pid);
    let stat = format!("/proc/{}/stat", container.pid);
    Deadline::after(LIMIT).until("the container to wait", || {
        let state = fs::read_to_string(&stat).with_context(|| format!("read {stat}"))?;
        let sleeps =
            state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'));
        let channel = fs::read_to_string(&path).unwrap_or_default();
        Ok(sleeps && (channel.contains("futex") || channel == "0"))
    })?;
    // Where the kernel does not say what it waits for, give it time to come there.
    thread::sleep(Duration::from_millis(300));
    Ok(())
}

/// Both ends are containers.
fn between(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let port = stage.port;
    let steps = ["listen", &port.to_string(), "accept", "read", "linger0", "close", "pause"];
    let server = stage.run("server", &Network::Own, &steps)?;
    await_listener(&server, port)?;
    let target = at(&server, port)?.to_string();
    let client =
        stage.run("client", &Network::Own, &["connect", &target, "write", "read", "pause"])?;
    await_sleep(&client)?;
    Ok(vec![stage.expected(port, "app_linger0", &server, "socket").towards(&client)])
}

/// The peer falls silent, and the timer of the container's socket goes off while others run.
fn keepalive(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let mut attempts = 0;
    unhidden(|| {
        attempts += 1;
        die_of_silence(stage, &format!("keepalive-{attempts}"))
    })
}

fn die_of_silence(stage: &ContainerStage<'_>, name: &str) -> Result<Vec<Expected>> {
    let port = stage.port;
    let steps = ["listen", &port.to_string(), "accept", "keepalive", "pause"];
    let container = stage.run(name, &Network::Own, &steps)?;
    await_listener(&container, port)?;
    let peer = stage.connect(at(&container, port)?)?;
    let busy = Busy::start()?;
    pair::go_deaf(&peer)?;
    let table = format!("/proc/{}/net/tcp", container.pid);
    let established = format!(":{port:04X} ");
    // One second, one probe, one more second.
    Deadline::after(LIMIT).until("the connection to die", || {
        let text = fs::read_to_string(&table)?;
        Ok(!text.lines().any(|line| line.contains(&established) && line.contains(" 01 ")))
    })?;
    drop(busy);
    pair::close_silently(peer)?;
    Ok(vec![stage.expected(port, "keepalive_dead", &container, "socket")])
}

/// A segment comes for a connection that the container has closed.
fn timewait(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let port = stage.port;
    let steps =
        ["listen", &port.to_string(), "accept", "shutdown", "sleep", "300", "close", "pause"];
    let container = stage.run("timewait", &Network::Own, &steps)?;
    await_listener(&container, port)?;
    let mut peer = stage.connect(at(&container, port)?)?;
    peer.set_read_timeout(Some(LIMIT))?;
    ensure!(peer.read(&mut [0; 8])? == 0, "the container has not shut down");
    // Its socket is gone when its program waits.
    await_sleep(&container)?;
    peer.write_all(b"x")?;
    await_reset(&peer).or_else(|error| {
        // The write may have met it already.
        peer.write_all(b"x").err().map(drop).ok_or(error)
    })?;
    Ok(vec![stage.expected(port, "app_recv_shutdown", &container, "timewait")])
}

/// A rule in the container's namespace rejects.
fn reject(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let port = stage.port;
    let container = stage.run("reject", &Network::Own, &["pause"])?;
    let rule = format!("-w -A INPUT -p tcp --dport {port} -j REJECT --reject-with tcp-reset");
    let mut iptables = Command::new("nsenter");
    iptables.arg(format!("--net=/proc/{}/ns/net", container.pid)).arg("iptables");
    let status = iptables.args(rule.split(' ')).status().context("run nsenter and iptables")?;
    ensure!(status.success(), "iptables: {status}");
    let refused = stage.connect(at(&container, port)?);
    ensure!(refused.is_err(), "the rule does not reject");
    let expected = stage.expected(port, "fw_iptables", &container, "netns");
    Ok(vec![expected.through("nf_send_reset")])
}

/// The container lives in the host's network: its sockets prove whose they are, its ports do not.
fn host_network(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let (port, closed) = (stage.port, stage.port + 1);
    let steps = ["listen", &port.to_string(), "accept", "read", "linger0", "close", "pause"];
    let container = stage.run("host", &Network::Host, &steps)?;
    await_listener(&container, port)?;
    provoke(&stage.connect((Ipv4Addr::LOCALHOST, port).into())?)?;
    ensure!(stage.connect((Ipv4Addr::LOCALHOST, closed).into()).is_err(), "something listens");
    Ok(vec![
        stage.expected(port, "app_linger0", &container, "socket"),
        Expected::nobody(closed, "closed_port"),
    ])
}

/// Two containers share a namespace: a socket proves the container, a port only the pod.
fn pod(stage: &ContainerStage<'_>) -> Result<Vec<Expected>> {
    let (port, closed) = (stage.port, stage.port + 1);
    let pod = stage.runtime.pod(&stage.name("pod"))?;
    let network = Network::Pod(pod.clone());
    let steps = ["listen", &port.to_string(), "accept", "read", "linger0", "close", "pause"];
    let one = stage.run("one", &network, &steps)?;
    await_listener(&one, port)?;
    // From the other container, over loopback.
    let neighbour = ["connect", &format!("127.0.0.1:{port}"), "write", "read", "refused"];
    let closed_address = format!("127.0.0.1:{closed}");
    let steps = [&neighbour[..], &[&closed_address, "pause"]].concat();
    let other = stage.run("two", &network, &steps)?;
    await_sleep(&other)?;
    let by_socket = stage.expected(port, "app_linger0", &one, "socket");
    Ok(match stage.kind() {
        // Docker's containers are not related: the port could be of either.
        RuntimeKind::Docker => vec![by_socket, Expected::nobody(closed, "closed_port")],
        kind => vec![
            by_socket.towards_pod(&pod),
            Expected::for_pod(closed, "closed_port", kind, &pod).towards_pod(&pod),
        ],
    })
}
