//! Real container runtimes for the tests: podman, dockerd, containerd with CRI. Each has folders and
//! sockets of its own, runs in a network namespace of the test's, and is ended by its pid.

mod containerd;
mod cri;
mod daemon;
mod docker;
mod image;
mod podman;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::stage::netns::Namespace;
use containerd::Containerd;
use docker::Docker;
use podman::Podman;

/// A runtime by the name that the recorder gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Podman,
    Docker,
    Containerd,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Podman, Self::Docker, Self::Containerd];

    /// The runtime of this name.
    pub fn find(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.with_context(|| format!("no runtime is called {name:?}"))
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Podman => "podman",
            Kind::Docker => "docker",
            Kind::Containerd => "containerd",
        }
    }
}

/// How a machine wants its containers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// runc makes the cgroups by itself.
    Cgroupfs,
    /// systemd is process 1 and makes them; podman runs crun.
    Systemd,
}

impl Manager {
    /// What this machine has.
    pub fn of_this_machine() -> Self {
        if Path::new("/run/systemd/system").is_dir() { Manager::Systemd } else { Manager::Cgroupfs }
    }
}

/// Which network a container lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// A namespace of its own, on the runtime's bridge.
    Own,
    /// That of the daemon.
    Host,
    /// That of a pod (of another container where the runtime knows no pods).
    Pod(Pod),
}

/// What several containers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub id: String,
    pub name: String,
    pub namespace: Option<String>,
}

/// A container as its runtime knows it.
#[derive(Clone, Debug)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub image: String,
    pub digest: Option<String>,
    pub pod: Option<Pod>,
    /// Name in the pod.
    pub pod_container: Option<String>,
    pub is_host_network: Option<bool>,
    /// On the bridge; none in the host's network.
    pub address: Option<Ipv4Addr>,
    pub pid: u32,
}

/// A runtime at work.
#[derive(Debug)]
pub enum Runtime {
    Podman(Podman),
    Docker(Docker),
    Containerd(Containerd),
}

/// What a runtime is started with.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) dir: TempDir,
    pub(crate) ns: &'a Namespace,
    /// The program of the image.
    pub(crate) actor: &'a Path,
    pub(crate) manager: Manager,
}

impl Place<'_> {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

impl Runtime {
    /// Starts it in `ns`, which must outlive it. Its containers run the program `actor`, which is
    /// static and has the subcommand `actor`.
    pub fn start(kind: Kind, ns: &Namespace, actor: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tcprst-runtime").tempdir()?;
        let place = Place { dir, ns, actor, manager: Manager::of_this_machine() };
        let started = match kind {
            Kind::Podman => Podman::start(place).map(Runtime::Podman),
            Kind::Docker => Docker::start(place).map(Runtime::Docker),
            Kind::Containerd => Containerd::start(place).map(Runtime::Containerd),
        };
        started.with_context(|| format!("start {}", kind.name()))
    }

    pub fn kind(&self) -> Kind {
        match self {
            Runtime::Podman(_) => Kind::Podman,
            Runtime::Docker(_) => Kind::Docker,
            Runtime::Containerd(_) => Kind::Containerd,
        }
    }

    /// Where its API listens.
    pub fn socket(&self) -> PathBuf {
        match self {
            Runtime::Podman(podman) => podman.socket(),
            Runtime::Docker(docker) => docker.socket(),
            Runtime::Containerd(containerd) => containerd.socket(),
        }
    }

    /// A pod without containers. Docker knows none: there it is a container that only holds the
    /// namespace, and of which the others are no relatives.
    pub fn pod(&self, name: &str) -> Result<Pod> {
        match self {
            Runtime::Podman(podman) => podman.pod(name),
            Runtime::Docker(docker) => docker.holder(name),
            Runtime::Containerd(containerd) => containerd.pod(name, false),
        }
    }

    /// Starts a container that runs the actor, and leaves it running.
    pub fn run(&self, name: &str, network: &Network, actor: &[&str]) -> Result<Container> {
        let started = match self {
            Runtime::Podman(podman) => podman.run(name, network, actor),
            Runtime::Docker(docker) => docker.run(name, network, actor),
            Runtime::Containerd(containerd) => containerd.run(name, network, actor),
        };
        started.with_context(|| format!("run {name}"))
    }

    /// Runs the actor in a container that is removed as soon as it ends. Returns its id, where
    /// the runtime tells it by then.
    pub fn run_briefly(&self, name: &str, actor: &[&str]) -> Result<()> {
        match self {
            Runtime::Podman(podman) => podman.run_briefly(name, actor),
            Runtime::Docker(docker) => docker.run_briefly(name, actor),
            Runtime::Containerd(containerd) => containerd.run_briefly(name, actor),
        }
        .with_context(|| format!("run {name} briefly"))
    }

    /// What the image is called there.
    pub fn image(&self) -> &'static str {
        image::NAME
    }
}
