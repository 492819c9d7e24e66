//! podman, with a service for its API: without one it has none.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use super::daemon::{Daemon, output, unmount_below};
use super::image::{self, PROGRAM};
use super::types::{Manager, Network, Pod, RunningContainer, Setup};
use crate::stage::netns::Namespace;

#[derive(Debug)]
pub(crate) struct Podman {
    // Before the folder: it is ended first.
    _service: Daemon,
    base: Base,
}

/// How every command is started.
#[derive(Debug)]
struct Base {
    dir: tempfile::TempDir,
    /// A handle of its own on the namespace.
    ns: Namespace,
}

impl Base {
    fn command(&self) -> Command {
        let at = |name: &str| self.dir.path().join(name);
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", at("containers.conf"))
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"))
            .arg("--tmpdir")
            .arg(at("tmp"));
        command
    }

    fn podman(&self, arguments: &[&str]) -> Result<String> {
        output(&self.ns, self.command().args(arguments))
    }
}

impl Podman {
    pub(super) fn start(setup: Setup<'_>) -> Result<Self> {
        let (manager, runtime) = match setup.manager {
            // crun refuses hosts with both versions of cgroups.
            Manager::Cgroupfs => ("cgroupfs", "runc"),
            Manager::Systemd => ("systemd", "crun"),
        };
        // Limits that are not raised: root may lack the right to.
        let text = format!(
            "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=4096:4096\"]\n\
             [engine]\nruntime=\"{runtime}\"\ncgroup_manager=\"{manager}\"\n\
             events_logger=\"file\"\n"
        );
        fs::write(setup.path("containers.conf"), text)?;
        let socket = setup.path("podman.sock");
        let ns = setup.ns.another()?;
        let base = Base { dir: setup.dir, ns };
        let archive = image::archive(setup.actor, base.dir.path())?;
        let archive = archive.display().to_string();
        base.podman(&["import", &archive, image::NAME]).context("import the image")?;
        let mut command = base.command();
        command.args(["system", "service", "--time", "0"]);
        command.arg(format!("unix://{}", socket.display()));
        let log = base.dir.path().join("podman.log");
        let service = Daemon::start(&base.ns, command, &log, || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })?;
        Ok(Self { _service: service, base })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.base.dir.path().join("podman.sock")
    }

    pub(super) fn pod(&self, name: &str) -> Result<Pod> {
        // The infra container of podman wants an image, or one made from its own program.
        let infra = ["--infra-image", image::NAME, "--infra-command", "/actor actor pause"];
        let id = self.base.podman(&[&["pod", "create", "--name", name], &infra[..]].concat())?;
        Ok(Pod { id, name: name.to_owned(), namespace: None })
    }

    pub(super) fn run(
        &self,
        name: &str,
        network: &Network,
        actor: &[&str],
    ) -> Result<RunningContainer> {
        let network_option = match network {
            Network::Own => "--network=podman".to_owned(),
            Network::Host => "--network=host".to_owned(),
            Network::Pod(pod) => format!("--pod={}", pod.name),
        };
        let head = ["run", "--detach", "--name", name, &network_option, image::NAME];
        let id = self.base.podman(&[&head[..], &PROGRAM, actor].concat())?;
        let inspected: Json =
            serde_json::from_str(&self.base.podman(&["container", "inspect", &id])?)?;
        let found = &inspected[0];
        let networks = found["NetworkSettings"]["Networks"].as_object();
        let own = networks.and_then(|networks| networks.values().next());
        let address = own.and_then(|network| network["IPAddress"].as_str()?.parse().ok());
        let digest = found["ImageDigest"].as_str().filter(|digest| !digest.is_empty());
        Ok(RunningContainer {
            name: name.to_owned(),
            image: found["ImageName"].as_str().unwrap_or_default().to_owned(),
            digest: digest.map(str::to_owned),
            pod: match network {
                Network::Pod(pod) => Some(pod.clone()),
                Network::Own | Network::Host => None,
            },
            pod_container: None,
            // Podman reports it for pods only.
            is_host_network: matches!(network, Network::Pod(_)).then_some(false),
            address,
            pid: found["State"]["Pid"].as_u64().context("a pid")?.try_into()?,
            id,
        })
    }

    pub(super) fn run_briefly(&self, name: &str, actor: &[&str]) -> Result<()> {
        let head = ["run", "--rm", "--name", name, image::NAME];
        self.base.podman(&[&head[..], &PROGRAM, actor].concat()).map(drop)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.base.podman(&["rm", "--all", "--force", "--time", "0"]);
        let _ = self.base.podman(&["pod", "rm", "--all", "--force"]);
        unmount_below(self.base.dir.path());
    }
}
