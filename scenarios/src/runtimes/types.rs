//! The types that all runtimes share: their names, and containers, pods and networks as they are
//! known to a test.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::stage::netns::Namespace;

/// A runtime by the name that the recorder gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    Podman,
    Docker,
    Containerd,
}

impl RuntimeKind {
    pub const ALL: [Self; 3] = [Self::Podman, Self::Docker, Self::Containerd];

    /// The runtime of this name.
    pub fn find(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.with_context(|| format!("unknown runtime {name:?}"))
    }

    pub fn name(self) -> &'static str {
        match self {
            RuntimeKind::Podman => "podman",
            RuntimeKind::Docker => "docker",
            RuntimeKind::Containerd => "containerd",
        }
    }
}

/// How a machine wants its containers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// runc makes the cgroups by itself.
    Cgroupfs,
    /// systemd is process 1 and makes them; podman runs crun.
    Systemd,
}

impl Manager {
    /// The manager of this machine.
    pub(crate) fn detect() -> Self {
        if Path::new("/run/systemd/system").is_dir() { Manager::Systemd } else { Manager::Cgroupfs }
    }
}

/// Which network a container lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// A namespace of its own, on the runtime's bridge.
    Own,
    /// That of the daemon.
    Host,
    /// That of a pod (of another container where the runtime knows no pods).
    Pod(Pod),
}

/// A group of containers that share a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub id: String,
    pub name: String,
    pub namespace: Option<String>,
}

/// A container as its runtime knows it.
#[derive(Clone, Debug)]
pub(crate) struct RunningContainer {
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

/// The folder, namespace and program that a runtime is started with.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) dir: TempDir,
    pub(crate) ns: &'a Namespace,
    /// The program of the image.
    pub(crate) actor: &'a Path,
    pub(crate) manager: Manager,
}

impl Setup<'_> {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}
