//! Sockets on which container runtimes listen.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use tcprst_schema::container::Runtime;

/// The socket of a runtime: `RUNTIME=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) runtime: Runtime,
    pub(crate) path: PathBuf,
}

/// Sockets to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolverOptions {
    /// Given sockets; each replaces the default sockets of its runtime.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Ask only the given sockets, not the default ones.
    pub(crate) only_given: bool,
}

/// Runtimes that the resolver can ask.
const ASKED: [Runtime; 4] = [Runtime::Docker, Runtime::Podman, Runtime::Containerd, Runtime::Crio];

/// Default sockets: of the packages, and of Kubernetes distributions, which bring their own
/// containerd.
const USUAL: &[(Runtime, &str)] = &[
    (Runtime::Docker, "/run/docker.sock"),
    (Runtime::Podman, "/run/podman/podman.sock"),
    (Runtime::Containerd, "/run/containerd/containerd.sock"),
    // k3s and rke2.
    (Runtime::Containerd, "/run/k3s/containerd/containerd.sock"),
    (Runtime::Containerd, "/run/k0s/containerd.sock"),
    (Runtime::Containerd, "/var/snap/microk8s/common/run/containerd.sock"),
    (Runtime::Crio, "/run/crio/crio.sock"),
];

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || ASKED.map(Runtime::name).join(", ");
        let (name, path) = text
            .split_once('=')
            .ok_or_else(|| format!("expected RUNTIME=PATH; runtimes: {}", names()))?;
        let runtime = ASKED.into_iter().find(|runtime| runtime.name() == name);
        let runtime =
            runtime.ok_or_else(|| format!("unknown runtime {name:?}; runtimes: {}", names()))?;
        // `crictl` and Docker write paths with this prefix.
        let path = path.strip_prefix("unix://").unwrap_or(path);
        if !Path::new(path).is_absolute() {
            return Err("the path of a socket must start with /".to_owned());
        }
        Ok(Self { runtime, path: path.into() })
    }
}

/// The given endpoints, and the default ones that exist now.
pub(super) fn present(options: &ResolverOptions) -> Vec<Endpoint> {
    let mut found = options.endpoints.clone();
    let is_given =
        |runtime: Runtime| options.endpoints.iter().any(|given| given.runtime == runtime);
    for (runtime, path) in USUAL {
        if !options.only_given && !is_given(*runtime) && Path::new(path).exists() {
            found.push(Endpoint { runtime: *runtime, path: path.into() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_given_with_its_runtime() {
        let endpoint: Endpoint = "docker=unix:///run/user/1/docker.sock".parse().expect("parses");
        assert_eq!(endpoint.runtime, Runtime::Docker);
        assert_eq!(endpoint.path, Path::new("/run/user/1/docker.sock"));
        for wrong in ["/run/docker.sock", "dockr=/x", "docker=x", "nspawn=/x"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
