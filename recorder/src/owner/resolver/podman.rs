//! Podman's own API (libpod), because the Docker API, which Podman also serves, knows no pods. Its
//! paths need a version; any from 4.0.0 on is accepted.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tcprst_schema::container::{Details, Pod, Runtime};

use super::docker::{HostConfig, NetworkSettings, RunState};
use super::failure::Failure;
use super::http;

const BASE: &str = "/v4.0.0/libpod";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

/// `GET /containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    image_name: String,
    #[serde(default)]
    image_digest: String,
    #[serde(default)]
    is_infra: bool,
    /// Id of the pod; empty if there is none.
    #[serde(default)]
    pod: String,
    #[serde(default)]
    state: RunState,
    host_config: Option<HostConfig>,
    #[serde(default)]
    network_settings: NetworkSettings,
}

/// `GET /pods/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedPod {
    name: String,
}

#[derive(Deserialize)]
struct Info {
    store: Store,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    graph_root: PathBuf,
}

pub(super) async fn inspect(socket: &Path, id: &str) -> Result<Option<Details>, Failure> {
    let path = format!("{BASE}/containers/{id}/json");
    let Some(inspected) = get_while_it_lives::<Inspected>(socket, &path).await? else {
        return Ok(None);
    };
    let pod = match inspected.pod.as_str() {
        "" => None,
        pod => {
            let path = format!("{BASE}/pods/{pod}/json");
            let name = get_while_it_lives::<InspectedPod>(socket, &path).await?;
            Some(Pod {
                namespace: None,
                name: name.map(|pod| pod.name.into()),
                uid: Some(pod.into()),
                container: None,
            })
        }
    };
    Ok(Some(Details {
        runtime: Some(Runtime::Podman),
        name: Some(inspected.name.into()),
        image: (!inspected.image_name.is_empty()).then(|| inspected.image_name.into()),
        image_digest: (!inspected.image_digest.is_empty()).then(|| inspected.image_digest.into()),
        pod,
        is_sandbox: inspected.is_infra,
        is_host_network: inspected.host_config.map(|host| host.network_mode == "host"),
        pid: inspected.state.pid(),
        addresses: inspected.network_settings.addresses(),
    }))
}

/// Podman answers 500 for a container that is being removed; that is not an error of the runtime.
async fn get_while_it_lives<T: serde::de::DeserializeOwned>(
    socket: &Path,
    path: &str,
) -> Result<Option<T>, Failure> {
    match http::get(socket, path).await {
        Err(Failure::Status(hyper::StatusCode::INTERNAL_SERVER_ERROR)) => Ok(None),
        answer => answer,
    }
}

/// Ids of the running containers.
pub(super) async fn list(socket: &Path) -> Result<Vec<String>, Failure> {
    let listed: Option<Option<Vec<Listed>>> =
        http::get(socket, &format!("{BASE}/containers/json")).await?;
    Ok(listed.flatten().unwrap_or_default().into_iter().map(|one| one.id).collect())
}

/// Podman's state folder.
pub(super) async fn root(socket: &Path) -> Result<Option<PathBuf>, Failure> {
    let info: Option<Info> = http::get(socket, &format!("{BASE}/info")).await?;
    Ok(info.map(|info| info.store.graph_root))
}
