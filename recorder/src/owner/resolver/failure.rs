//! Why a runtime gave no answer, and the limits of an answer.

use std::time::Duration;

/// A runtime that has not answered after this time hangs. While a container starts, Docker delays
/// an inspection by 134 ms, Podman by 40 ms; in an emulated machine each takes some seconds.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of an answer: an inspection takes 10 kB, a list of a thousand containers 2 MB.
pub(super) const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Why a runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimeOut,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP status {0}")]
    Status(hyper::StatusCode),
    #[error("the answer exceeds {} MiB", MAX_ANSWER_BYTES >> 20)]
    TooLarge,
    #[error("unexpected answer: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Grpc(#[from] tonic::Status),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
}
