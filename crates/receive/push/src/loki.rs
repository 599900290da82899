//! Loki's push endpoints: its own formats in two versions, and OTLP under `/otlp`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use novaobs_model::Tenant;
use novaobs_wire::encoding::Encoding;
use novaobs_wire::loki_push::{DecodeError, decode_json, decode_legacy_json, decode_protobuf};

use crate::body::Received;
use crate::error::PushError;
use crate::otlp_http::loki_otlp;
use crate::push::{Format, Outcome, Push};
use crate::tenant::tenant_of;

/// The routes under Loki's own address: `/loki/api/v1/push`, `/api/prom/push` and `/otlp/v1/logs`.
pub fn loki_routes(push: Arc<Push>) -> Router {
    let limit = axum::extract::DefaultBodyLimit::disable();
    Router::new()
        .route("/loki/api/v1/push", post(push_current))
        .route("/api/prom/push", post(push_legacy))
        .route("/otlp/v1/logs", post(loki_otlp))
        .layer(limit)
        .with_state(push)
}

/// Which JSON a path takes.
#[derive(Clone, Copy)]
enum Version {
    Legacy,
    Current,
}

async fn push_current(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    answer(receive(push, headers, body, Version::Current).await)
}

async fn push_legacy(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    answer(receive(push, headers, body, Version::Legacy).await)
}

fn answer(outcome: Result<Outcome, PushError>) -> Response {
    match outcome.map(|outcome| outcome.error) {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(error)) | Err(error) => error.into_response(),
    }
}

impl Push {
    /// Whose data a request brings.
    pub(crate) fn tenant(&self, headers: &HeaderMap) -> Result<Tenant, PushError> {
        if self.options.auth_enabled {
            Ok(tenant_of(headers)?)
        } else {
            Ok(self.options.no_auth_tenant.clone())
        }
    }
}

/// Unix nanoseconds of now.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Runs work that may block on its own thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PushError> + Send + 'static,
) -> Result<T, PushError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "a push ended early");
            Err(PushError::later(503, "the push was not finished; send it again"))
        }
    }
}

async fn receive(
    push: Arc<Push>,
    headers: HeaderMap,
    body: Body,
    version: Version,
) -> Result<Outcome, PushError> {
    let tenant = push.tenant(&headers)?;
    let received = push.receive(&tenant, Format::Loki, &headers, body).await?;
    blocking(move || {
        // The peer looks at the packing before the type.
        let encoding = encoding_of(&headers)?;
        let json = media_type(header_text(&headers, header::CONTENT_TYPE)).map_err(|error| {
            if encoding == Some(Encoding::Gzip) && received.bytes.is_empty() {
                PushError::bad_request("EOF")
            } else {
                PushError::bad_request(error)
            }
        })? == "application/json";
        decode_and_push(&push, &tenant, received, encoding, json, version)
    })
    .await
}

fn decode_and_push(
    push: &Push,
    tenant: &Tenant,
    mut received: Received,
    encoding: Option<Encoding>,
    json: bool,
    version: Version,
) -> Result<Outcome, PushError> {
    let mut encodings: Vec<Encoding> = encoding.into_iter().collect();
    if !json {
        // Protobuf always is a snappy block, whatever is around it.
        encodings.push(Encoding::Snappy);
    }
    let (body, limit) = push.unpack(tenant, Format::Loki, &mut received, &encodings)?;
    let streams = match (json, version) {
        (false, _) => decode_protobuf(&body, limit),
        (true, Version::Current) => decode_json(&body, limit),
        (true, Version::Legacy) => decode_legacy_json(&body, limit),
    };
    let streams = streams.map_err(|error| match error {
        DecodeError::TooLarge { .. } => PushError::new(413, format!("request body too large: {error}")),
        error => PushError::bad_request(error.to_string()),
    })?;
    drop(body);
    Ok(push.push(tenant, streams, Format::Loki, now()))
}

pub(crate) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// What to unpack first. `snappy` says nothing: a body that is not JSON is a snappy block anyway.
fn encoding_of(headers: &HeaderMap) -> Result<Option<Encoding>, PushError> {
    match header_text(headers, header::CONTENT_ENCODING) {
        "" | "snappy" => Ok(None),
        "gzip" => Ok(Some(Encoding::Gzip)),
        "deflate" => Ok(Some(Encoding::Deflate)),
        other => Err(PushError::bad_request(format!(
            "Content-Encoding {} not supported",
            novaobs_wire::quote::quote(other.as_bytes())
        ))),
    }
}

/// The type of a `Content-Type`, in small letters; the errors are Go's.
pub(crate) fn media_type(header: &str) -> Result<String, &'static str> {
    let (base, parameters) = match header.split_once(';') {
        Some((base, parameters)) => (base, Some(parameters)),
        None => (header, None),
    };
    let base = base.trim().to_ascii_lowercase();
    let (kind, after) = base.split_at(base.bytes().position(|byte| !is_token(byte)).unwrap_or(base.len()));
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if !after.is_empty() {
        let Some(subtype) = after.strip_prefix('/') else {
            return Err("mime: expected slash after first token");
        };
        match subtype.bytes().position(|byte| !is_token(byte)) {
            _ if subtype.is_empty() => return Err("mime: expected token after slash"),
            Some(0) => return Err("mime: expected token after slash"),
            Some(_) => return Err("mime: unexpected content after media subtype"),
            None => {}
        }
    }
    for parameter in parameters.into_iter().flat_map(|all| all.split(';')) {
        let parameter = parameter.trim();
        let valid = parameter.split_once('=').is_some_and(|(name, value)| {
            let name_good = !name.is_empty() && name.bytes().all(is_token);
            name_good && (value.starts_with('"') || (!value.is_empty() && value.trim().bytes().all(is_token)))
        });
        if !parameter.is_empty() && !valid {
            return Err("mime: invalid media parameter");
        }
    }
    Ok(base)
}

/// Bytes of a token of RFC 9110.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
