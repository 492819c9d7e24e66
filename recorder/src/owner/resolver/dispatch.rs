//! Passes a question to the client of a runtime.

use std::path::{Path, PathBuf};

use tcprst_schema::container::{Details, Runtime};

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::{containerd, cri, docker, podman};

/// Asks one runtime about a container.
pub(super) async fn inspect(
    endpoint: &Endpoint,
    id: &str,
    early: Option<&Details>,
) -> Result<Option<Details>, Failure> {
    match endpoint.runtime {
        Runtime::Docker => docker::inspect(&endpoint.path, id).await,
        Runtime::Podman => podman::inspect(&endpoint.path, id).await,
        Runtime::Containerd => match cri::inspect(endpoint, id).await? {
            Some(details) => containerd::with_digest(&endpoint.path, details).await.map(Some),
            None => containerd::inspect(&endpoint.path, id, early).await,
        },
        Runtime::Crio => cri::inspect(endpoint, id).await,
        Runtime::Nspawn | Runtime::Lxc => Ok(None),
    }
}

/// Lists the ids of the containers of one runtime.
pub(super) async fn list(endpoint: &Endpoint) -> Result<Vec<String>, Failure> {
    match endpoint.runtime {
        Runtime::Docker => docker::list(&endpoint.path).await,
        Runtime::Podman => podman::list(&endpoint.path).await,
        Runtime::Containerd => {
            let mut found = cri::list(&endpoint.path).await?;
            found.extend(containerd::list(&endpoint.path).await?);
            Ok(found)
        }
        Runtime::Crio => cri::list(&endpoint.path).await,
        Runtime::Nspawn | Runtime::Lxc => Ok(Vec::new()),
    }
}

/// A runtime's state folder, as the runtime reports it.
pub(super) async fn state_folder(endpoint: &Endpoint) -> Result<Option<PathBuf>, Failure> {
    match endpoint.runtime {
        Runtime::Docker => docker::root(&endpoint.path).await,
        Runtime::Podman => podman::root(&endpoint.path).await,
        Runtime::Containerd => Ok(cri::state(&endpoint.path).await?.or_else(|| {
            // Without CRI: the folder of its socket, by default.
            endpoint.path.parent().map(Path::to_owned)
        })),
        Runtime::Crio | Runtime::Nspawn | Runtime::Lxc => Ok(None),
    }
}
