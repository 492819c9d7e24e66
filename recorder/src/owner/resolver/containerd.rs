//! containerd's own API, for containers without a pod (`ctr`, `nerdctl`). The messages have only
//! the fields that are used. Docker's containers are in the namespace `moby` and CRI's in `k8s.io`:
//! other modules ask for both.

use std::path::Path;

use tcprst_schema::container::{Details, Runtime};
use tonic::transport::Channel;

use super::failure::Failure;
use super::grpc;

#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<ContainerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "3")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(message, optional, tag = "3")]
    target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Descriptor {
    #[prost(string, tag = "2")]
    digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetTaskRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetTaskResponse {
    #[prost(message, optional, tag = "1")]
    process: Option<Process>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Process {
    #[prost(uint32, tag = "3")]
    pid: u32,
}

/// Namespaces of other runtimes that build on containerd.
const OTHERS: [&str; 2] = ["moby", "k8s.io"];

async fn namespaces(channel: &Channel) -> Result<Vec<String>, Failure> {
    let method = "/containerd.services.namespaces.v1.Namespaces/List";
    let found: Option<ListNamespacesResponse> =
        grpc::call(channel, method, Nothing {}, None).await?;
    let names = found.unwrap_or_default().namespaces.into_iter().map(|one| one.name);
    Ok(names.filter(|name| !OTHERS.contains(&name.as_str())).collect())
}

pub(super) async fn inspect(
    socket: &Path,
    id: &str,
    early: Option<&Details>,
) -> Result<Option<Details>, Failure> {
    // A pod's container by its files, which CRI no longer knows.
    if early.is_some_and(|early| early.pod.is_some()) {
        return Ok(None);
    }
    let channel = grpc::connect(socket).await?;
    for namespace in namespaces(&channel).await? {
        let request = GetRequest { id: id.to_owned() };
        let method = "/containerd.services.containers.v1.Containers/Get";
        let found: Option<GetContainerResponse> =
            grpc::call(&channel, method, request, Some(&namespace)).await?;
        if let Some(container) = found.and_then(|found| found.container) {
            return details(&channel, &namespace, container).await.map(Some);
        }
    }
    Ok(None)
}

/// Adds the digest of an image's manifest, if CRI knows no repository of the image because it was
/// not pulled.
pub(super) async fn with_digest(socket: &Path, details: Details) -> Result<Details, Failure> {
    let (None, Some(image)) = (&details.image_digest, &details.image) else { return Ok(details) };
    let channel = grpc::connect(socket).await?;
    let image_digest = digest(&channel, "k8s.io", image).await?;
    Ok(Details { image_digest: image_digest.map(Into::into), ..details })
}

async fn digest(
    channel: &Channel,
    namespace: &str,
    image: &str,
) -> Result<Option<String>, Failure> {
    let request = GetRequest { id: image.to_owned() };
    let method = "/containerd.services.images.v1.Images/Get";
    let image: Option<GetImageResponse> =
        grpc::call(channel, method, request, Some(namespace)).await?;
    let digest = image.and_then(|found| found.image?.target).map(|target| target.digest);
    Ok(digest.filter(|digest| !digest.is_empty()))
}

async fn details(
    channel: &Channel,
    namespace: &str,
    container: ContainerRecord,
) -> Result<Details, Failure> {
    let digest = digest(channel, namespace, &container.image).await?;
    let request = GetTaskRequest { container_id: container.id.clone() };
    let method = "/containerd.services.tasks.v1.Tasks/Get";
    let task: Option<GetTaskResponse> =
        grpc::call(channel, method, request, Some(namespace)).await?;
    Ok(Details {
        runtime: Some(Runtime::Containerd),
        // containerd has no other name for a container.
        name: Some(container.id.into()),
        image: (!container.image.is_empty()).then(|| container.image.into()),
        image_digest: digest.map(Into::into),
        pid: task.and_then(|task| task.process).map(|process| process.pid).filter(|pid| *pid != 0),
        ..Details::default()
    })
}

/// Ids of containerd's own containers, in all of their namespaces.
pub(super) async fn list(socket: &Path) -> Result<Vec<String>, Failure> {
    let channel = grpc::connect(socket).await?;
    let mut ids = Vec::new();
    for namespace in namespaces(&channel).await? {
        let method = "/containerd.services.containers.v1.Containers/List";
        let found: Option<ListResponse> =
            grpc::call(&channel, method, Nothing {}, Some(&namespace)).await?;
        ids.extend(found.unwrap_or_default().containers.into_iter().map(|one| one.id));
    }
    Ok(ids)
}
