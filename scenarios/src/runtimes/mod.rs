//! Real container runtimes for the tests: podman, dockerd, containerd with CRI. Each has folders
//! and sockets of its own, runs in a network namespace of the test's, and is ended by its pid.

mod containerd;
mod cri;
mod daemon;
mod docker;
mod image;
mod podman;
mod types;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::stage::netns::Namespace;
pub use containerd::CNI_BRIDGE;
use containerd::Containerd;
use docker::Docker;
use podman::Podman;
pub use types::RuntimeKind;
use types::Setup;
pub(crate) use types::{Manager, Network, Pod, RunningContainer};

/// A runtime at work.
#[derive(Debug)]
pub(crate) enum Runtime {
    Podman(Podman),
    Docker(Docker),
    Containerd(Containerd),
}

impl Runtime {
    /// Starts it in `ns`, which must outlive it. Its containers run the program `actor`, which is
    /// static and has the subcommand `actor`.
    pub(crate) fn start(kind: RuntimeKind, ns: &Namespace, actor: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tcprst-runtime").tempdir()?;
        let setup = Setup { dir, ns, actor, manager: Manager::detect() };
        let started = match kind {
            RuntimeKind::Podman => Podman::start(setup).map(Runtime::Podman),
            RuntimeKind::Docker => Docker::start(setup).map(Runtime::Docker),
            RuntimeKind::Containerd => Containerd::start(setup).map(Runtime::Containerd),
        };
        started.with_context(|| format!("start {}", kind.name()))
    }

    pub(crate) fn kind(&self) -> RuntimeKind {
        match self {
            Runtime::Podman(_) => RuntimeKind::Podman,
            Runtime::Docker(_) => RuntimeKind::Docker,
            Runtime::Containerd(_) => RuntimeKind::Containerd,
        }
    }

    /// Where its API listens.
    pub(crate) fn socket(&self) -> PathBuf {
        match self {
            Runtime::Podman(podman) => podman.socket(),
            Runtime::Docker(docker) => docker.socket(),
            Runtime::Containerd(containerd) => containerd.socket(),
        }
    }

    /// A pod without containers. Docker has no pods: there it is a container that only holds the
    /// namespace, and the others are not related to it.
    pub(crate) fn pod(&self, name: &str) -> Result<Pod> {
        match self {
            Runtime::Podman(podman) => podman.pod(name),
            Runtime::Docker(docker) => docker.holder(name),
            Runtime::Containerd(containerd) => containerd.pod(name, false),
        }
    }

    /// Starts a container that runs the actor, and leaves it running.
    pub(crate) fn run(
        &self,
        name: &str,
        network: &Network,
        actor: &[&str],
    ) -> Result<RunningContainer> {
        let started = match self {
            Runtime::Podman(podman) => podman.run(name, network, actor),
            Runtime::Docker(docker) => docker.run(name, network, actor),
            Runtime::Containerd(containerd) => containerd.run(name, network, actor),
        };
        started.with_context(|| format!("run {name}"))
    }

    /// Runs the actor in a container that is removed as soon as it ends. Returns its id, where
    /// the runtime tells it by then.
    pub(crate) fn run_briefly(&self, name: &str, actor: &[&str]) -> Result<()> {
        match self {
            Runtime::Podman(podman) => podman.run_briefly(name, actor),
            Runtime::Docker(docker) => docker.run_briefly(name, actor),
            Runtime::Containerd(containerd) => containerd.run_briefly(name, actor),
        }
        .with_context(|| format!("run {name} briefly"))
    }
}
