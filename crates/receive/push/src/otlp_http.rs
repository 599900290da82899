//! OTLP over HTTP: the port 4318 of the specification, and Loki's own path with Loki's answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use novaobs_model::{Lease, Tenant};
use novaobs_wire::encoding::Encoding;
use novaobs_wire::otlp_logs::{json_to_protobuf, partial_success, status_message};

use crate::body::{Received, busy};
use crate::error::PushError;
use crate::loki::{blocking, header_text, media_type, now};
use crate::otlp::map_request;
use crate::push::{Format, Outcome, Push};

/// The route of port 4318: `/v1/logs`.
pub fn otlp_http_routes(push: Arc<Push>) -> Router {
    let limit = axum::extract::DefaultBodyLimit::disable();
    Router::new().route("/v1/logs", post(otlp)).layer(limit).with_state(push)
}

/// `/otlp/v1/logs`, with Loki's answers: 204, or a `google.rpc.Status` in protobuf.
pub(crate) async fn loki_otlp(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    // Who has no tenant is told in plain text: the peer does not get to OTLP then.
    let tenant = match push.tenant(&headers) {
        Ok(tenant) => tenant,
        Err(error) => return error.into_response(),
    };
    let kind = match header_text(&headers, header::CONTENT_TYPE) {
        "application/x-protobuf" => Ok(Kind::Protobuf),
        "application/json" => Ok(Kind::Json),
        other => Err(PushError::bad_request(format!("content type: {other} is not supported"))),
    };
    let outcome = match push.receive(&tenant, Format::Otlp, &headers, body).await {
        Ok(received) => {
            blocking(move || {
                let encoding = encoding_of(&headers)?;
                decode_and_push(&push, &tenant, received, encoding, kind)
            })
            .await
        }
        Err(error) => Err(error),
    };
    let error = match outcome.map(|outcome| outcome.error) {
        Ok(None) => return StatusCode::NO_CONTENT.into_response(),
        Ok(Some(error)) | Err(error) => error,
    };
    let body = status_message(0, &error.message);
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let mut response = (error.status_code(), kind, body).into_response();
    error.add_headers(&mut response);
    response
}

/// How a request is written, and so its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Protobuf,
    Json,
}

impl Kind {
    fn media_type(self) -> &'static str {
        match self {
            Kind::Protobuf => "application/x-protobuf",
            Kind::Json => "application/json",
        }
    }
}

/// `/v1/logs` as the specification wants it.
async fn otlp(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    let kind = match media_type(header_text(&headers, header::CONTENT_TYPE)).as_deref() {
        Ok("application/json") => Kind::Json,
        Ok("application/x-protobuf" | "application/protobuf") => Kind::Protobuf,
        _ => {
            let message = "send application/x-protobuf or application/json as Content-Type";
            return refuse(Kind::Protobuf, &PushError::new(415, message));
        }
    };
    match take(push, headers, body, kind).await {
        Ok(outcome) => success_or_refusal(kind, outcome),
        Err(error) => refuse(kind, &error),
    }
}

async fn take(push: Arc<Push>, headers: HeaderMap, body: Body, kind: Kind) -> Result<Outcome, PushError> {
    let tenant = push.tenant(&headers)?;
    let received = push.receive(&tenant, Format::Otlp, &headers, body).await?;
    blocking(move || {
        let encoding = match header_text(&headers, header::CONTENT_ENCODING) {
            "identity" => None,
            _ => encoding_of(&headers)?,
        };
        let outcome = decode_and_push(&push, &tenant, received, encoding, Ok(kind))?;
        Ok(without_nothing(outcome))
    })
    .await
}

/// A request without records is fine for OpenTelemetry, and not for Loki.
pub(crate) fn without_nothing(mut outcome: Outcome) -> Outcome {
    if outcome.accepted + outcome.rejected == 0 {
        outcome.error = None;
    }
    outcome
}

/// All records refused: an error. Some: a success that says how many were not taken.
fn success_or_refusal(kind: Kind, outcome: Outcome) -> Response {
    match outcome.error {
        Some(error) if outcome.accepted == 0 => refuse(kind, &error),
        error => {
            let message = error.map(|error| error.message);
            let body = match kind {
                Kind::Protobuf => partial_success(outcome.rejected, message.as_deref()),
                Kind::Json => {
                    let partial = match &message {
                        None => serde_json::json!({}),
                        Some(message) => serde_json::json!({
                            "rejectedLogRecords": outcome.rejected.to_string(),
                            "errorMessage": message,
                        }),
                    };
                    serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
                }
            };
            ([(header::CONTENT_TYPE, kind.media_type())], body).into_response()
        }
    }
}

/// A `google.rpc.Status`, in the form of the request.
fn refuse(kind: Kind, error: &PushError) -> Response {
    let code = grpc_code(error.status);
    let body = match kind {
        Kind::Protobuf => status_message(code, &error.message),
        Kind::Json => serde_json::json!({ "code": code, "message": error.message }).to_string().into_bytes(),
    };
    let mut response =
        (error.status_code(), [(header::CONTENT_TYPE, kind.media_type())], body).into_response();
    error.add_headers(&mut response);
    if error.status == 429 && error.retry_after.is_none() {
        // A rate that was exceeded has room again soon.
        PushError::later(429, "").add_headers(&mut response);
    }
    response
}

/// The code of gRPC that says what a status of HTTP says.
pub(crate) fn grpc_code(status: u16) -> i32 {
    match status {
        401 => 16,
        413 | 429 => 8,
        503 => 14,
        400..500 => 3,
        _ => 13,
    }
}

fn encoding_of(headers: &HeaderMap) -> Result<Option<Encoding>, PushError> {
    match header_text(headers, header::CONTENT_ENCODING) {
        "" => Ok(None),
        "gzip" => Ok(Some(Encoding::Gzip)),
        "zstd" => Ok(Some(Encoding::Zstd)),
        "lz4" => Ok(Some(Encoding::Lz4)),
        other => Err(PushError::bad_request(format!(
            "unsupported content encoding {other}: only gzip, lz4 and zstd are supported"
        ))),
    }
}

fn decode_and_push(
    push: &Push,
    tenant: &Tenant,
    mut received: Received,
    encoding: Option<Encoding>,
    kind: Result<Kind, PushError>,
) -> Result<Outcome, PushError> {
    let encodings: Vec<Encoding> = encoding.into_iter().collect();
    let (body, _) = push.unpack(tenant, Format::Otlp, &mut received, &encodings)?;
    let body = body.into_owned();
    match kind? {
        Kind::Protobuf => push_message(push, tenant, &body, &mut received.lease),
        Kind::Json => {
            let mut tree = push.memory.take(JSON_TREE * body.len() as u64).map_err(busy)?;
            let message = json_to_protobuf(&body)?;
            // The message is about as long as the body; the tree is gone.
            tree.shrink(tree.bytes().saturating_sub(message.len() as u64));
            push_message(push, tenant, &message, &mut received.lease)
        }
    }
}

/// How many times its length JSON may take as a tree: many small objects are the worst.
const JSON_TREE: u64 = 24;

/// Decodes and writes an `ExportLogsServiceRequest`.
pub(crate) fn push_message(
    push: &Push,
    tenant: &Tenant,
    message: &[u8],
    lease: &mut Lease,
) -> Result<Outcome, PushError> {
    let limits = (push.limits)(tenant);
    let at = now();
    let streams = map_request(message, &limits, at, lease)?;
    Ok(push.push(tenant, streams, Format::Otlp, at))
}
