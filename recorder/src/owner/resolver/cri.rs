//! The Container Runtime Interface of Kubernetes (`runtime.v1`), as containerd and CRI-O serve it.
//! The messages have only the fields that are used, with their numbers in `api.proto`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tcprst_schema::container::{Details, Pod};
use tonic::transport::Channel;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::{files, grpc};

#[derive(Clone, PartialEq, prost::Message)]
struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    filter: Option<IdFilter>,
}

/// Used for `ContainerFilter` and `PodSandboxFilter`.
#[derive(Clone, PartialEq, prost::Message)]
struct IdFilter {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<CriContainer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CriContainer {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<ImageSpec>,
    #[prost(string, tag = "5")]
    image_ref: String,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
    /// As the pod's author wrote it.
    #[prost(string, tag = "18")]
    user_specified_image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    filter: Option<IdFilter>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<PodSandboxStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxStatus {
    #[prost(message, optional, tag = "2")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(message, optional, tag = "5")]
    network: Option<PodSandboxNetworkStatus>,
    #[prost(message, optional, tag = "6")]
    linux: Option<LinuxPodSandboxStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxNetworkStatus {
    #[prost(string, tag = "1")]
    ip: String,
    #[prost(message, repeated, tag = "2")]
    additional_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodIp {
    #[prost(string, tag = "1")]
    ip: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<CriNamespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CriNamespace {
    #[prost(message, optional, tag = "2")]
    options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamespaceOption {
    /// `NamespaceMode`: 0 is the pod's network namespace, 2 the node's.
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<CriImage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CriImage {
    #[prost(string, repeated, tag = "3")]
    repo_digests: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {
    #[prost(bool, tag = "1")]
    verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(map = "string, string", tag = "2")]
    info: HashMap<String, String>,
}

/// `info["config"]` of containerd.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    state_dir: PathBuf,
}

/// `NamespaceMode::NODE`.
const NODE: i32 = 2;
const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const LIST_SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";

/// Details of a container or of a pod's sandbox.
pub(super) async fn inspect(endpoint: &Endpoint, id: &str) -> Result<Option<Details>, Failure> {
    let channel = grpc::connect(&endpoint.path).await?;
    let request = ListContainersRequest { filter: Some(IdFilter { id: id.to_owned() }) };
    let found: Option<ListContainersResponse> =
        grpc::call(&channel, LIST_CONTAINERS, request, None).await?;
    let found = found.and_then(|list| list.containers.into_iter().find(|one| one.id == id));
    let details = match found {
        Some(container) => Some(container_details(&channel, container).await?),
        None => sandbox(&channel, id).await?.map(|pod| Details { is_sandbox: true, ..pod }),
    };
    Ok(details.map(|details| Details { runtime: Some(endpoint.runtime), ..details }))
}

async fn container_details(channel: &Channel, container: CriContainer) -> Result<Details, Failure> {
    let of_pod = sandbox(channel, &container.pod_sandbox_id).await?.unwrap_or_default();
    let name = container.metadata.map(|metadata| metadata.name);
    let label = container.labels.get("io.kubernetes.container.name");
    let pod = of_pod.pod.or_else(|| files::pod_of_labels(&container.labels)).map(|pod| Pod {
        container: label.or(name.as_ref()).map(|name| name.as_str().into()),
        ..pod
    });
    let spec = container.image.unwrap_or_default();
    let image = match spec.user_specified_image.is_empty() {
        true => spec.image,
        false => spec.user_specified_image,
    };
    Ok(Details {
        name: name.map(Into::into),
        image: (!image.is_empty()).then(|| image.into()),
        image_digest: digest(channel, &container.image_ref).await?,
        pod,
        ..of_pod
    })
}

/// The digest of the image's manifest: the reference itself is the digest of its configuration.
async fn digest(channel: &Channel, image: &str) -> Result<Option<std::sync::Arc<str>>, Failure> {
    let image = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
    let request = ImageStatusRequest { image: Some(image) };
    let found: Option<ImageStatusResponse> =
        grpc::call(channel, "/runtime.v1.ImageService/ImageStatus", request, None).await?;
    let digests = found.and_then(|found| found.image).map(|image| image.repo_digests);
    Ok(files::digest_of(&digests.unwrap_or_default()))
}

/// Details of a pod, from its sandbox.
async fn sandbox(channel: &Channel, id: &str) -> Result<Option<Details>, Failure> {
    let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned() };
    let found: Option<PodSandboxStatusResponse> =
        grpc::call(channel, "/runtime.v1.RuntimeService/PodSandboxStatus", request, None).await?;
    let Some(status) = found.and_then(|found| found.status) else { return Ok(None) };
    let pod = status.metadata.map(|metadata| Pod {
        namespace: Some(metadata.namespace.into()),
        name: Some(metadata.name.into()),
        uid: Some(metadata.uid.into()),
        container: None,
    });
    let options = status.linux.and_then(|linux| linux.namespaces?.options);
    let is_host_network = options.is_some_and(|options| options.network == NODE);
    let network = status.network.filter(|_| !is_host_network).unwrap_or_default();
    let more = network.additional_ips.iter().map(|ip| ip.ip.as_str());
    let addresses: Vec<IpAddr> = std::iter::once(network.ip.as_str())
        .chain(more)
        .filter_map(|address| address.parse().ok())
        .collect();
    let is_host_network = Some(is_host_network);
    Ok(Some(Details { pod, is_host_network, addresses, ..Details::default() }))
}

/// Ids of all containers and sandboxes.
pub(super) async fn list(socket: &Path) -> Result<Vec<String>, Failure> {
    let channel = grpc::connect(socket).await?;
    let request = ListContainersRequest::default();
    let containers: Option<ListContainersResponse> =
        grpc::call(&channel, LIST_CONTAINERS, request, None).await?;
    let request = ListPodSandboxRequest::default();
    let sandboxes: Option<ListPodSandboxResponse> =
        grpc::call(&channel, LIST_SANDBOXES, request, None).await?;
    let containers = containers.unwrap_or_default().containers.into_iter().map(|one| one.id);
    let sandboxes = sandboxes.unwrap_or_default().items.into_iter().map(|one| one.id);
    Ok(containers.chain(sandboxes).collect())
}

/// containerd's state folder: the parent of its CRI plugin's folder.
pub(super) async fn state(socket: &Path) -> Result<Option<PathBuf>, Failure> {
    let channel = grpc::connect(socket).await?;
    let request = StatusRequest { verbose: true };
    let found: Option<StatusResponse> =
        grpc::call(&channel, "/runtime.v1.RuntimeService/Status", request, None).await?;
    let config = found.and_then(|status| status.info.get("config").cloned());
    let config = config.and_then(|text| serde_json::from_str::<Config>(&text).ok());
    Ok(config.and_then(|config| config.state_dir.parent().map(Path::to_owned)))
}
