//! dockerd, with a containerd of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use super::daemon::{Daemon, output, unmount_below};
use super::image::{self, PROGRAM};
use super::types::{Manager, Network, Pod, RunningContainer, Setup};
use crate::stage::netns::Namespace;

#[derive(Debug)]
pub(crate) struct Docker {
    daemon: Option<Daemon>,
    ns: Namespace,
    dir: tempfile::TempDir,
}

impl Docker {
    pub(super) fn start(setup: Setup<'_>) -> Result<Self> {
        let mut command = Command::new("dockerd");
        command
            .arg("--data-root")
            .arg(setup.path("root"))
            .arg("--exec-root")
            .arg(setup.path("exec"))
            .arg("--pidfile")
            .arg(setup.path("docker.pid"))
            .args(["--host", &format!("unix://{}", setup.text("docker.sock"))]);
        if setup.manager == Manager::Systemd {
            command.args(["--exec-opt", "native.cgroupdriver=systemd"]);
        }
        let ns = setup.ns.another()?;
        let mut docker = Self { daemon: None, ns, dir: setup.dir };
        let log = docker.dir.path().join("docker.log");
        let daemon =
            Daemon::start(&docker.ns, command, &log, || docker.docker(&["version"]).is_ok())?;
        docker.daemon = Some(daemon);
        let archive = image::archive(setup.actor, docker.dir.path())?;
        docker.docker(&["import", &archive.display().to_string(), image::NAME])?;
        Ok(docker)
    }

    fn docker(&self, arguments: &[&str]) -> Result<String> {
        let host = format!("unix://{}", self.socket().display());
        output(&self.ns, Command::new("docker").args(["--host", &host]).args(arguments))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// A container that others share a network with.
    pub(super) fn holder(&self, name: &str) -> Result<Pod> {
        let holder = self.run(name, &Network::Own, &["pause"])?;
        Ok(Pod { id: holder.id, name: name.to_owned(), namespace: None })
    }

    pub(super) fn run(
        &self,
        name: &str,
        network: &Network,
        actor: &[&str],
    ) -> Result<RunningContainer> {
        let network = match network {
            Network::Own => "bridge".to_owned(),
            Network::Host => "host".to_owned(),
            Network::Pod(holder) => format!("container:{}", holder.id),
        };
        let head = ["run", "--detach", "--name", name, "--network", &network, image::NAME];
        let id = self.docker(&[&head[..], &PROGRAM, actor].concat())?;
        let inspected: Json = serde_json::from_str(&self.docker(&["inspect", &id])?)?;
        let found = &inspected[0];
        let address = found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str();
        Ok(RunningContainer {
            name: name.to_owned(),
            image: image::NAME.to_owned(),
            // Imported: it has none.
            digest: None,
            pod: None,
            pod_container: None,
            is_host_network: None,
            address: address.and_then(|address| address.parse().ok()),
            pid: found["State"]["Pid"].as_u64().context("a pid")?.try_into()?,
            id,
        })
    }

    pub(super) fn run_briefly(&self, name: &str, actor: &[&str]) -> Result<()> {
        let head = ["run", "--rm", "--name", name, image::NAME];
        self.docker(&[&head[..], &PROGRAM, actor].concat()).map(drop)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Ok(ids) = self.docker(&["ps", "--all", "--quiet"]) {
            for id in ids.lines() {
                let _ = self.docker(&["rm", "--force", id]);
            }
        }
        drop(self.daemon.take());
        unmount_below(self.dir.path());
    }
}
