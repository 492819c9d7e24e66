//! HTTP GET over a Unix socket, for Docker and Podman.

use std::path::Path;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::failure::{Failure, MAX_ANSWER_BYTES};

/// Requests a path; `None` if the object does not exist (404, or Podman's 409 for a container that
/// is being removed).
pub(super) async fn get<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
) -> Result<Option<T>, Failure> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(std::io::Error::other)?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(Failure::Status(status));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => Failure::Http(*error),
            Err(_) => Failure::TooLarge,
        })?;
        Ok(Some(serde_json::from_slice(&body.to_bytes())?))
    };
    // The connection is driven while the exchange waits for it, and ends with it.
    tokio::pin!(exchange);
    tokio::pin!(connection);
    let mut is_open = true;
    loop {
        tokio::select! {
            done = &mut exchange => return done,
            closed = &mut connection, if is_open => {
                closed?;
                is_open = false;
            }
        }
    }
}
