//! A gRPC call over a Unix socket.

use std::path::Path;

use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::failure::{Failure, MAX_ANSWER_BYTES};

/// A connection to a runtime; one serves several calls.
pub(super) async fn connect(socket: &Path) -> Result<Channel, Failure> {
    let socket = socket.to_owned();
    // The connector ignores the name and always uses the socket.
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?)
}

/// Calls a method, such as `/runtime.v1.RuntimeService/Version`. `None` if the runtime does not
/// find the object, or does not offer the service.
pub(super) async fn call<Q, A>(
    channel: &Channel,
    method: &'static str,
    question: Q,
    namespace: Option<&str>,
) -> Result<Option<A>, Failure>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client =
        tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
    client.ready().await?;
    let mut request = Request::new(question);
    if let Some(namespace) = namespace.and_then(|name| MetadataValue::try_from(name).ok()) {
        request.metadata_mut().insert("containerd-namespace", namespace);
    }
    let path = PathAndQuery::from_static(method);
    match client.unary(request, path, ProstCodec::<Q, A>::default()).await {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
        Err(status) => Err(status.into()),
    }
}
