//! Reads the state files of runtimes. They exist before the container starts and take microseconds
//! to read, while the API waits for the start. Their formats are not stable interfaces: a file that
//! does not parse as expected is ignored.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tcprst_schema::container::{Details, Pod, Runtime};

use super::docker::{HostConfig, Inspected};

/// Storage drivers of containers/storage, which Podman and CRI-O share.
const DRIVERS: [&str; 3] = ["overlay", "vfs", "btrfs"];

/// The state folder of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateFolder {
    pub(crate) runtime: Runtime,
    pub(crate) folder: PathBuf,
}

/// Finds a container in a runtime's state folder.
pub(super) fn look(state: &StateFolder, id: &str) -> Option<Details> {
    // Accept only a plain file name.
    if id.is_empty() || id.contains(['/', '\0']) || id.starts_with('.') {
        return None;
    }
    match state.runtime {
        Runtime::Docker => docker(&state.folder, id),
        Runtime::Podman | Runtime::Crio => storage(state, id),
        Runtime::Containerd => containerd(&state.folder, id),
        Runtime::Nspawn | Runtime::Lxc => None,
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// `containers/ID/config.v2.json`, `hostconfig.json`.
fn docker(root: &Path, id: &str) -> Option<Details> {
    let folder = root.join("containers").join(id);
    let (_, details) = read::<Inspected>(&folder.join("config.v2.json"))?.details();
    let host: Option<HostConfig> = read(&folder.join("hostconfig.json"));
    Some(Details { is_host_network: host.map(|host| host.network_mode == "host"), ..details })
}

/// An entry of `DRIVER-containers/containers.json`.
#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    /// JSON inside a string.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    image_name: Option<String>,
    /// Set by CRI-O only.
    pod_name: Option<String>,
}

/// An entry of `DRIVER-images/images.json`.
#[derive(Deserialize)]
struct StoredImage {
    id: String,
    digest: Option<String>,
}

fn storage(state: &StateFolder, id: &str) -> Option<Details> {
    DRIVERS.iter().find_map(|driver| {
        let list =
            |what: &str| state.folder.join(format!("{driver}-{what}")).join(format!("{what}.json"));
        let all: Vec<Stored> = read(&list("containers"))?;
        let stored = all.into_iter().find(|stored| stored.id == id)?;
        let metadata: Metadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
        let is_crio = metadata.pod_name.is_some();
        if is_crio != (state.runtime == Runtime::Crio) {
            return None;
        }
        let images: Vec<StoredImage> = read(&list("images")).unwrap_or_default();
        let image = images.into_iter().find(|image| image.id == stored.image);
        Some(Details {
            runtime: Some(state.runtime),
            name: stored.names.first().map(|name| name.as_str().into()),
            image: metadata.image_name.map(Into::into),
            image_digest: image.and_then(|image| image.digest).map(Into::into),
            ..Details::default()
        })
    })
}

/// `config.json` of a bundle (OCI runtime specification).
#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: HashMap<String, String>,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<SpecNamespace>,
}

#[derive(Deserialize)]
struct SpecNamespace {
    #[serde(rename = "type")]
    kind: String,
}

impl Bundle {
    /// A container without a network namespace in its bundle stays in the runtime's namespace.
    fn is_host_network(&self) -> Option<bool> {
        let namespaces = &self.linux.as_ref()?.namespaces;
        Some(!namespaces.iter().any(|namespace| namespace.kind == "network"))
    }
}

/// `io.containerd.runtime.v2.task/NAMESPACE/ID/config.json`.
fn containerd(state: &Path, id: &str) -> Option<Details> {
    let tasks = state.join("io.containerd.runtime.v2.task");
    let namespaces = fs::read_dir(tasks).ok()?.flatten();
    let is_other = |name: &std::ffi::OsStr| name == "moby";
    namespaces.filter(|entry| !is_other(&entry.file_name())).find_map(|entry| {
        let folder = entry.path().join(id);
        let bundle = read::<Bundle>(&folder.join("config.json"))?;
        Some(match entry.file_name() == "k8s.io" {
            true => Details {
                is_host_network: bundle.is_host_network(),
                ..from_annotations(&bundle.annotations)
            },
            false => Details {
                runtime: Some(Runtime::Containerd),
                name: Some(id.into()),
                is_host_network: bundle.is_host_network(),
                ..Details::default()
            },
        })
    })
}

/// Details from the annotations that containerd's CRI plugin writes into the bundle.
fn from_annotations(annotations: &HashMap<String, String>) -> Details {
    let get = |name: &str| -> Option<Arc<str>> {
        annotations.get(&format!("io.kubernetes.cri.{name}")).map(|text| text.as_str().into())
    };
    let name = get("container-name");
    Details {
        runtime: Some(Runtime::Containerd),
        image: get("image-name"),
        is_sandbox: get("container-type").as_deref() == Some("sandbox"),
        pod: get("sandbox-name").map(|pod| Pod {
            name: Some(pod),
            namespace: get("sandbox-namespace"),
            uid: get("sandbox-uid"),
            container: name.clone(),
        }),
        name,
        ..Details::default()
    }
}

/// The pod named by a kubelet's labels.
pub(super) fn pod_of_labels(labels: &HashMap<String, String>) -> Option<Pod> {
    let get = |name: &str| -> Option<Arc<str>> {
        labels.get(&format!("io.kubernetes.{name}")).map(|text| text.as_str().into())
    };
    Some(Pod {
        name: Some(get("pod.name")?),
        namespace: get("pod.namespace"),
        uid: get("pod.uid"),
        container: get("container.name"),
    })
}

/// `sha256:...` from the first `REPOSITORY@sha256:...`.
pub(super) fn digest_of(repo_digests: &[String]) -> Option<Arc<str>> {
    repo_digests.iter().find_map(|one| Some(one.split_once('@')?.1.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(runtime: Runtime, files: &[(&str, &str)]) -> (tempfile::TempDir, StateFolder) {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let folder = dir.path().to_owned();
        (dir, StateFolder { runtime, folder })
    }

    #[test]
    fn docker_writes_its_configuration() {
        let (_dir, state) = state(
            Runtime::Docker,
            &[
                (
                    "containers/a1/config.v2.json",
                    r#"{"Name":"/web","Image":"sha256:9","Config":{"Image":"nginx:1","Labels":null},
                       "State":{"Pid":0},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":""}}}}"#,
                ),
                ("containers/a1/hostconfig.json", r#"{"NetworkMode":"host"}"#),
                ("containers/broken/config.v2.json", "{"),
            ],
        );
        let details = look(&state, "a1").expect("known");
        assert_eq!(details.name.as_deref(), Some("web"));
        assert_eq!(
            (details.image.as_deref(), details.is_host_network),
            (Some("nginx:1"), Some(true))
        );
        assert!(details.addresses.is_empty() && details.pid.is_none());
        for id in ["b2", "broken", "../a1", "", "."] {
            assert_eq!(look(&state, id), None, "{id}");
        }
    }

    #[test]
    fn podman_and_cri_o_share_a_storage() {
        let containers = r#"[
            {"id":"p","names":["web"],"image":"9","metadata":"{\"image-name\":\"docker.io/nginx:1\"}"},
            {"id":"c","names":["k8s_web"],"image":"8","metadata":"{\"pod-name\":\"k8s_POD\",\"image-name\":\"x\"}"}]"#;
        let images = r#"[{"id":"9","digest":"sha256:77"}]"#;
        let files = [
            ("overlay-containers/containers.json", containers),
            ("overlay-images/images.json", images),
        ];
        let (_dir, podman) = state(Runtime::Podman, &files);
        let details = look(&podman, "p").expect("known");
        assert_eq!(details.image.as_deref(), Some("docker.io/nginx:1"));
        assert_eq!(details.image_digest.as_deref(), Some("sha256:77"));
        assert_eq!(look(&podman, "c"), None, "CRI-O's");
        let crio = StateFolder { runtime: Runtime::Crio, ..podman };
        assert_eq!(look(&crio, "c").and_then(|d| d.name).as_deref(), Some("k8s_web"));
    }

    #[test]
    fn containerd_writes_a_bundle() {
        let annotations = r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"shop",
            "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.image-name":"nginx:1"},
            "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}]}}"#;
        let task = "io.containerd.runtime.v2.task";
        let (_dir, state) = state(
            Runtime::Containerd,
            &[
                (&format!("{task}/k8s.io/a1/config.json"), annotations),
                (&format!("{task}/default/job/config.json"), "{}"),
                (&format!("{task}/moby/d4/config.json"), "{}"),
            ],
        );
        let details = look(&state, "a1").expect("known");
        assert_eq!(details.is_host_network, Some(false));
        let pod = details.pod.expect("a pod");
        assert_eq!((pod.name.as_deref(), pod.namespace.as_deref()), (Some("shop"), Some("prod")));
        assert_eq!((details.name.as_deref(), pod.container.as_deref()), (Some("web"), Some("web")));
        assert_eq!(look(&state, "job").and_then(|d| d.name).as_deref(), Some("job"));
        assert_eq!(look(&state, "d4"), None, "Docker's");
    }

    #[test]
    fn a_digest_is_the_manifests() {
        let digests = ["localhost/x@sha256:12".to_owned()];
        assert_eq!(digest_of(&digests).as_deref(), Some("sha256:12"));
        assert_eq!(digest_of(&[]), None);
    }
}
