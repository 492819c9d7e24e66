//! containerd with its CRI part, as under a kubelet.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use super::cri::{
    ContainerConfig, ContainerMetadata, ContainerStatus, CreateContainer, Cri, Empty, Id,
    ImageSpec, LinuxSandbox, NamespaceOption, RunPodSandbox, SandboxConfig, SandboxMetadata,
    SandboxSecurity, SandboxStatus, Verbose,
};
use super::daemon::{Daemon, output, unmount_below};
use super::image::{self, PROGRAM};
use super::types::{Manager, Network, Pod, RunningContainer, Setup};
use crate::deadline::Deadline;
use crate::stage::netns::Namespace;

/// The CNI plugin for bridges, in the folders of Debian, of Fedora, and of its own releases.
pub const CNI_BRIDGE: &[&str] =
    &["/usr/lib/cni/bridge", "/usr/libexec/cni/bridge", "/opt/cni/bin/bridge"];
/// Namespace of the pods.
const POD_NAMESPACE: &str = "shop";
/// How long a brief container may take, in an emulated machine too.
const BRIEF_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Containerd {
    daemon: Option<Daemon>,
    cri: Cri,
    digest: Option<String>,
    manager: Manager,
    pods: std::sync::Mutex<HashMap<String, SandboxConfig>>,
    numbers: AtomicU32,
    ns: Namespace,
    dir: tempfile::TempDir,
}

impl Containerd {
    pub(super) fn start(setup: Setup<'_>) -> Result<Self> {
        let archive = docker_archive(&setup)?;
        fs::create_dir_all(setup.path("cni"))?;
        fs::write(setup.path("cni/10-pods.conflist"), network(&setup.text("ipam")))?;
        fs::write(setup.path("config.toml"), config(&setup))?;
        let ns = setup.ns.another()?;
        let cri = Cri::new(&setup.path("containerd.sock"))?;
        let mut containerd = Self {
            daemon: None,
            cri,
            digest: None,
            manager: setup.manager,
            pods: std::sync::Mutex::default(),
            numbers: AtomicU32::new(1),
            ns,
            dir: setup.dir,
        };
        let mut command = Command::new("containerd");
        command.arg("--config").arg(containerd.dir.path().join("config.toml"));
        let log = containerd.dir.path().join("containerd.log");
        let daemon = Daemon::start(&containerd.ns, command, &log, || {
            containerd.ctr(&["images", "list"]).is_ok()
        })?;
        containerd.daemon = Some(daemon);
        containerd.ctr(&["images", "import", &archive.display().to_string()])?;
        containerd.digest = Some(containerd.digest_of(image::NAME)?);
        Ok(containerd)
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.cri.socket).args(["--namespace", "k8s.io"]);
        output(&self.ns, command.args(arguments))
    }

    fn digest_of(&self, image: &str) -> Result<String> {
        let list = self.ctr(&["images", "list", &format!("name=={image}")])?;
        let digest = list.split_ascii_whitespace().find(|word| word.starts_with("sha256:"));
        Ok(digest.with_context(|| format!("no digest of {image} in {list}"))?.to_owned())
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.cri.socket.clone()
    }

    pub(super) fn pod(&self, name: &str, is_host_network: bool) -> Result<Pod> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let uid = format!("0000{number:04}-aaaa-bbbb-cccc-{:012}", std::process::id());
        let network = if is_host_network { 2 } else { 0 };
        let labels = [("pod.name", name), ("pod.namespace", POD_NAMESPACE), ("pod.uid", &uid)]
            .map(|(key, value)| (format!("io.kubernetes.{key}"), value.to_owned()));
        // As a kubelet names them: with systemd the slice's name has the whole path.
        let cgroup_parent = match self.manager {
            Manager::Cgroupfs => format!("/kubepods/besteffort/pod{uid}"),
            Manager::Systemd => {
                format!("kubepods-besteffort-pod{}.slice", uid.replace('-', "_"))
            }
        };
        let config = SandboxConfig {
            metadata: Some(SandboxMetadata {
                name: name.to_owned(),
                uid,
                namespace: POD_NAMESPACE.to_owned(),
            }),
            hostname: if is_host_network { String::new() } else { name.to_owned() },
            log_directory: self.dir.path().join("logs").display().to_string(),
            labels: labels.into(),
            linux: Some(LinuxSandbox {
                cgroup_parent,
                security_context: Some(SandboxSecurity {
                    namespace_options: Some(NamespaceOption { network }),
                }),
            }),
        };
        let request = RunPodSandbox { config: Some(config.clone()) };
        let Id { id } = self.cri.call("RunPodSandbox", request)?;
        self.pods
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(id.clone(), config);
        Ok(Pod { id, name: name.to_owned(), namespace: Some(POD_NAMESPACE.to_owned()) })
    }

    fn config_of(&self, pod: &Pod) -> Result<SandboxConfig> {
        let pods = self.pods.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pods.get(&pod.id).cloned().with_context(|| format!("no pod {}", pod.name))
    }

    /// A container in a pod: of its own, if none is given.
    fn create(&self, name: &str, network: &Network, actor: &[&str]) -> Result<(String, Pod)> {
        let pod = match network {
            Network::Own => self.pod(&format!("pod-{name}"), false)?,
            Network::Host => self.pod(&format!("pod-{name}"), true)?,
            Network::Pod(pod) => pod.clone(),
        };
        let sandbox_config = self.config_of(&pod)?;
        let mut labels = sandbox_config.labels.clone();
        labels.insert("io.kubernetes.container.name".to_owned(), name.to_owned());
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageSpec { image: image::NAME.to_owned() }),
            command: PROGRAM.iter().chain(actor).map(|word| (*word).to_owned()).collect(),
            labels,
            log_path: format!("{name}.log"),
        };
        let request = CreateContainer {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let Id { id } = self.cri.call("CreateContainer", request)?;
        let _: Empty = self.cri.call("StartContainer", Id { id: id.clone() })?;
        Ok((id, pod))
    }

    pub(super) fn run(
        &self,
        name: &str,
        network: &Network,
        actor: &[&str],
    ) -> Result<RunningContainer> {
        let (id, pod) = self.create(name, network, actor)?;
        let request = Verbose { id: id.clone(), verbose: true };
        let status: ContainerStatus = self.cri.call("ContainerStatus", request)?;
        let info: Json = serde_json::from_str(status.info.get("info").context("no info")?)?;
        let sandbox: SandboxStatus =
            self.cri.call("PodSandboxStatus", Id { id: pod.id.clone() })?;
        let address = sandbox.status.and_then(|status| status.network?.ip.parse().ok());
        Ok(RunningContainer {
            name: name.to_owned(),
            image: image::NAME.to_owned(),
            digest: self.digest.clone(),
            pod: Some(pod),
            pod_container: Some(name.to_owned()),
            is_host_network: Some(*network == Network::Host),
            address: address.filter(|_| *network != Network::Host),
            pid: info["pid"].as_u64().context("a pid")?.try_into()?,
            id,
        })
    }

    /// In a pod that lives on, as a job of Kubernetes: its container is removed at once.
    pub(super) fn run_briefly(&self, name: &str, actor: &[&str]) -> Result<()> {
        let (id, pod) = self.create(name, &Network::Own, actor)?;
        Deadline::after(BRIEF_LIMIT).until("the container to end", || {
            let request = Verbose { id: id.clone(), verbose: false };
            let status: ContainerStatus = self.cri.call("ContainerStatus", request)?;
            Ok(status.status.is_some_and(|status| status.state == 2))
        })?;
        let _: Empty = self.cri.call("RemoveContainer", Id { id })?;
        let _: Empty = self.cri.call("StopPodSandbox", Id { id: pod.id.clone() })?;
        let _: Empty = self.cri.call("RemovePodSandbox", Id { id: pod.id })?;
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pods = std::mem::take(
            &mut *self.pods.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for id in pods.into_keys() {
            let stopped: Result<Empty> = self.cri.call("StopPodSandbox", Id { id: id.clone() });
            let _: Result<Empty> =
                stopped.and_then(|_| self.cri.call("RemovePodSandbox", Id { id }));
        }
        drop(self.daemon.take());
        unmount_below(self.dir.path());
    }
}

/// Both images as an archive that containerd takes; podman makes it.
fn docker_archive(setup: &Setup<'_>) -> Result<PathBuf> {
    let root = image::archive(setup.actor, setup.dir.path())?;
    let to = setup.path("images.tar");
    let storage =
        [("--root", "archive-root"), ("--runroot", "archive-run"), ("--tmpdir", "archive-tmp")];
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        for (option, name) in storage {
            command.arg(option).arg(setup.path(name));
        }
        output(setup.ns, command.args(["--storage-driver", "vfs"]).args(arguments))
    };
    let root = root.display().to_string();
    podman(&["import", &root, image::NAME])?;
    let entrypoint = r#"ENTRYPOINT ["/actor","actor","pause"]"#;
    podman(&["import", "--change", entrypoint, &root, image::PAUSE])?;
    let archive = to.display().to_string();
    let both = [image::NAME, image::PAUSE];
    let head =
        ["save", "--format", "docker-archive", "--multi-image-archive", "--output", &archive];
    podman(&[&head[..], &both].concat())?;
    for (_, name) in storage {
        unmount_below(&setup.path(name));
        let _ = fs::remove_dir_all(setup.path(name));
    }
    Ok(to)
}

fn config(setup: &Setup<'_>) -> String {
    let at = |name: &str| setup.text(name);
    let systemd = match setup.manager {
        Manager::Cgroupfs => "",
        Manager::Systemd => {
            "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
             runtime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n\
             SystemdCgroup = true\n"
        }
    };
    format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
         disabled_plugins = [\"io.containerd.internal.v1.opt\"]\n\
         [grpc]\naddress = \"{}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = \"{}\"\nrestrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
         bin_dir = \"{}\"\nconf_dir = \"{}\"\n{systemd}",
        at("root"),
        at("state"),
        at("containerd.sock"),
        image::PAUSE,
        plugin_folder(CNI_BRIDGE).display(),
        at("cni"),
    )
}

/// The folder of the plugin that exists; the first of them if there is none.
fn plugin_folder(plugins: &'static [&'static str]) -> &'static Path {
    let places = || plugins.iter().map(Path::new);
    let found = places().find(|plugin| plugin.exists()).or_else(|| places().next());
    found.and_then(Path::parent).unwrap_or(Path::new("/"))
}

/// A bridge without address translation: its packets stay on this machine.
fn network(ipam: &str) -> String {
    format!(
        r#"{{"cniVersion":"0.4.0","name":"pods","plugins":[{{"type":"bridge","bridge":"pods0",
        "isGateway":true,"ipMasq":false,"ipam":{{"type":"host-local","dataDir":"{ipam}",
        "ranges":[[{{"subnet":"10.99.0.0/16"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_are_where_the_distribution_has_them() {
        let folder = plugin_folder(&["/nonexistent/cni/bridge", "/proc/self/status"]);
        assert_eq!(folder, Path::new("/proc/self"));
        assert_eq!(plugin_folder(&["/nonexistent/cni/bridge"]), Path::new("/nonexistent/cni"));
    }
}
