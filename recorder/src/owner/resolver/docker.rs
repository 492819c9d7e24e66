//! Docker's API. Paths have no version: 20.10 refuses those above 1.41, 29 those below 1.44.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tcprst_schema::container::{Details, Runtime};

use super::failure::Failure;
use super::{files, http};

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Id")]
    id: String,
}

/// `GET /containers/ID/json`, and `config.v2.json` of the state folder, which has the same form.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    name: String,
    /// Id of the image.
    image: String,
    config: Config,
    #[serde(default)]
    state: RunState,
    host_config: Option<HostConfig>,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<HashMap<String, String>>,
}

/// Podman's has the same form.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RunState {
    /// 0 if the container does not run.
    #[serde(default)]
    pid: u32,
}

impl RunState {
    pub(super) fn pid(&self) -> Option<u32> {
        (self.pid != 0).then_some(self.pid)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    pub(super) network_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    networks: Option<HashMap<String, Network>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress", default)]
    ipv4: String,
    #[serde(rename = "GlobalIPv6Address", default)]
    ipv6: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedImage {
    repo_digests: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    docker_root_dir: PathBuf,
}

impl NetworkSettings {
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let networks = self.networks.iter().flatten();
        networks
            .flat_map(|(_, network)| [&network.ipv4, &network.ipv6])
            .filter_map(|address| address.parse().ok())
            .collect()
    }
}

impl Inspected {
    /// Id of the image, and the other details.
    pub(super) fn details(self) -> (String, Details) {
        let labels = self.config.labels.unwrap_or_default();
        let details = Details {
            runtime: Some(Runtime::Docker),
            name: Some(self.name.trim_start_matches('/').into()),
            image: Some(self.config.image.as_str().into()),
            image_digest: None,
            // cri-dockerd sets the same labels as the kubelet.
            pod: files::pod_of_labels(&labels),
            is_sandbox: labels.get("io.kubernetes.docker.type").is_some_and(|t| t == "podsandbox"),
            is_host_network: self.host_config.map(|host| host.network_mode == "host"),
            pid: self.state.pid(),
            addresses: self.network_settings.addresses(),
        };
        (self.image, details)
    }
}

pub(super) async fn inspect(socket: &Path, id: &str) -> Result<Option<Details>, Failure> {
    let inspected: Option<Inspected> = http::get(socket, &format!("/containers/{id}/json")).await?;
    let Some((image, details)) = inspected.map(Inspected::details) else { return Ok(None) };
    let image: Option<InspectedImage> = http::get(socket, &format!("/images/{image}/json")).await?;
    let digests = image.and_then(|image| image.repo_digests).unwrap_or_default();
    Ok(Some(Details { image_digest: files::digest_of(&digests), ..details }))
}

/// Ids of the running containers.
pub(super) async fn list(socket: &Path) -> Result<Vec<String>, Failure> {
    let listed: Option<Vec<Listed>> = http::get(socket, "/containers/json").await?;
    Ok(listed.unwrap_or_default().into_iter().map(|one| one.id).collect())
}

/// Docker's state folder.
pub(super) async fn root(socket: &Path) -> Result<Option<PathBuf>, Failure> {
    let info: Option<Info> = http::get(socket, "/info").await?;
    Ok(info.map(|info| info.docker_root_dir))
}
