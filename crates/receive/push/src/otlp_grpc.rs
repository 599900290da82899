//! OTLP over gRPC, port 4317: `LogsService.Export`. Messages pass as bytes; `wire` decodes them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::{Buf, BufMut, Bytes};
use novaobs_wire::otlp_logs::{partial_success, retry_details};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};

use crate::body::busy;
use crate::error::PushError;
use crate::loki::blocking;
use crate::otlp_http::{grpc_code, push_message, without_nothing};
use crate::push::{Outcome, Push};

/// The service of logs, as routes to serve over HTTP/2.
pub fn otlp_grpc_routes(push: Arc<Push>) -> Router {
    let path = format!("/{}/Export", LogsService::NAME);
    Router::new().route_service(&path, LogsService { push })
}

#[derive(Clone)]
struct LogsService {
    push: Arc<Push>,
}

impl NamedService for LogsService {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

impl tower_service::Service<http::Request<Body>> for LogsService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let push = self.push.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(push.options.max_body);
            Ok(grpc.unary(Export { push }, request).await)
        })
    }
}

struct Export {
    push: Arc<Push>,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let push = self.push.clone();
        Box::pin(async move {
            let outcome = export(push, request).await.map_err(|error| status_of(&error))?;
            match outcome.error {
                Some(error) if outcome.accepted == 0 => Err(status_of(&error)),
                error => {
                    let message = error.map(|error| error.message);
                    Ok(Response::new(partial_success(outcome.rejected, message.as_deref()).into()))
                }
            }
        })
    }
}

async fn export(push: Arc<Push>, request: Request<Bytes>) -> Result<Outcome, PushError> {
    let headers = request.metadata().clone().into_headers();
    let tenant = push.tenant(&headers)?;
    let message = request.into_inner();
    blocking(move || {
        let mut lease = push.memory.take(message.len() as u64).map_err(busy)?;
        push_message(&push, &tenant, &message, &mut lease).map(without_nothing)
    })
    .await
}

/// A status; one that a client may repeat says when, for only then it will.
fn status_of(error: &PushError) -> Status {
    let code = Code::from_i32(grpc_code(error.status));
    if !matches!(error.status, 429 | 503) {
        return Status::new(code, error.message.clone());
    }
    let seconds = error.retry_after.map_or(1, |wait| wait.as_secs().max(1));
    let details = retry_details(grpc_code(error.status), &error.message, seconds);
    Status::with_details(code, error.message.clone(), details.into())
}

/// Passes messages as they are.
#[derive(Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = BytesCodec;
    type Decoder = BytesCodec;

    fn encoder(&mut self) -> BytesCodec {
        BytesCodec
    }

    fn decoder(&mut self) -> BytesCodec {
        BytesCodec
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = message.remaining();
        Ok(Some(message.copy_to_bytes(length)))
    }
}
