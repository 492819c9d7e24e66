//! The owner of a reset as rows name it: a container, and where it belongs to one, its pod.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// What runs containers on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    Docker,
    Podman,
    /// containerd, through CRI or its own API (`ctr`, `nerdctl`).
    Containerd,
    /// CRI-O.
    Crio,
    /// systemd-nspawn.
    Nspawn,
    /// LXC and LXD.
    Lxc,
}

impl Runtime {
    /// The name in the column `runtime`.
    pub const fn name(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Containerd => "containerd",
            Runtime::Crio => "cri-o",
            Runtime::Nspawn => "nspawn",
            Runtime::Lxc => "lxc",
        }
    }
}

/// The pod of a container: of Kubernetes, or a Podman pod (then without a namespace).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `io.kubernetes.pod.namespace`.
    pub namespace: Option<Arc<str>>,
    /// `io.kubernetes.pod.name`.
    pub name: Option<Arc<str>>,
    /// `io.kubernetes.pod.uid`, or the runtime's own id of the pod.
    pub uid: Option<Arc<str>>,
    /// `io.kubernetes.container.name`: the container with which this pod was reported.
    pub container: Option<Arc<str>>,
}

/// What a runtime says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The runtime that knows it: a path below `kubepods` does not tell.
    pub runtime: Option<Runtime>,
    pub name: Option<Arc<str>>,
    /// Image as it was asked for, such as `docker.io/library/nginx:1.29`.
    pub image: Option<Arc<str>>,
    /// `sha256:...` of the manifest; images that were made locally may have none.
    pub image_digest: Option<Arc<str>>,
    pub pod: Option<Pod>,
    /// Pause, sandbox or infra container: it holds a pod's namespaces and does nothing.
    pub is_sandbox: bool,
    /// Whether it lives in the host's network namespace; `None` where the runtime does not say.
    pub is_host_network: Option<bool>,
    /// A process of the container, in the host's pid namespace.
    pub pid: Option<u32>,
    /// Addresses that the runtime gave it.
    pub addresses: Vec<IpAddr>,
}

impl Details {
    /// The same, with what only `other` knows added.
    pub fn or(self, other: &Details) -> Self {
        let pod = match (self.pod, other.pod.clone()) {
            (Some(pod), Some(other)) => Some(Pod {
                namespace: pod.namespace.or(other.namespace),
                name: pod.name.or(other.name),
                uid: pod.uid.or(other.uid),
                container: pod.container.or(other.container),
            }),
            (pod, other) => pod.or(other),
        };
        let addresses =
            if self.addresses.is_empty() { other.addresses.clone() } else { self.addresses };
        Self {
            runtime: self.runtime.or(other.runtime),
            name: self.name.or_else(|| other.name.clone()),
            image: self.image.or_else(|| other.image.clone()),
            image_digest: self.image_digest.or_else(|| other.image_digest.clone()),
            pod,
            is_sandbox: self.is_sandbox || other.is_sandbox,
            is_host_network: self.is_host_network.or(other.is_host_network),
            pid: self.pid.or(other.pid),
            addresses,
        }
    }
}

/// A container. Rows share it, and what its runtime says comes later than the first reset.
#[derive(Debug)]
pub struct Container {
    /// As the cgroup's path tells it; `None` where several runtimes use such paths.
    runtime: Option<Runtime>,
    /// The runtime's id, whole.
    pub id: Arc<str>,
    /// What its runtime's files said at once.
    early: OnceLock<Details>,
    /// What the runtime itself said later.
    details: OnceLock<Details>,
}

impl Container {
    pub fn new(runtime: Option<Runtime>, id: &str) -> Self {
        Self { runtime, id: id.into(), early: OnceLock::new(), details: OnceLock::new() }
    }

    pub fn runtime(&self) -> Option<Runtime> {
        self.details().and_then(|details| details.runtime).or(self.runtime)
    }

    /// What the runtime has said so far.
    pub fn details(&self) -> Option<&Details> {
        self.details.get().or_else(|| self.early.get())
    }

    /// How often the runtime has answered: at most twice.
    pub fn answers(&self) -> usize {
        usize::from(self.early.get().is_some()) + usize::from(self.details.get().is_some())
    }

    /// Takes the runtime's answer: the first word of its files, and the last of its own count.
    pub fn resolve(&self, details: Details, is_final: bool) {
        let slot = if is_final { &self.details } else { &self.early };
        // A second one says the same.
        let _ = slot.set(details);
    }
}
