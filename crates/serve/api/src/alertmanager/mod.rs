//! Alertmanager's HTTP face: API v2, health, reload and metrics.
//!
//! ```text
//! /api/v2/{status,receivers,alerts,alerts/groups,silences,silence/ID}   shapes.rs, post.rs
//! /api/v1/*            410, as the API is gone
//! /-/healthy /-/ready  OK
//! /-/reload            POST reads the file again
//! /metrics             the registry it was given
//! ```
//!
//! Parameters and bodies are checked as the peer's generated server does, so that clients see its statuses
//! and texts: a JSON string for what the API refuses, `{"code":…,"message":…}` for what the schema refuses.

mod error;
mod parameters;
mod post;
mod shapes;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post as post_route};
use futures::future::BoxFuture;
use novaobs_alerts::silence::SilenceError;
use novaobs_alerts::time::{Time, rfc3339_millis};
use novaobs_alerts::{AlertFilter, Alertmanager};
use novaobs_model::Labels;
use parking_lot::RwLock;
use prometheus::{Encoder, Registry, TextEncoder};

use error::ApiError;
use parameters::Parameters;
use shapes::{AlertJson, GroupJson, ReceiverJson, SilenceJson, StatusJson};

pub use shapes::VersionInfo;

/// Reads the configuration again; the error is what the client is told.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the face serves.
#[derive(Clone)]
pub struct Face {
    /// The alert pipeline.
    pub alertmanager: Alertmanager,
    /// The loaded file as `/status` shows it; whoever reloads replaces it.
    pub config: Arc<RwLock<String>>,
    /// What `POST /-/reload` does.
    pub reload: Reload,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// Since when the process runs.
    pub started: Time,
    /// The build.
    pub version: VersionInfo,
}

/// The face's routes.
pub fn router(face: Face) -> Router {
    let v2 = Router::new()
        .route("/status", get(status))
        .route("/receivers", get(receivers))
        .route("/alerts", get(alerts).post(post_alerts))
        .route("/alerts/groups", get(alert_groups))
        .route("/silences", get(silences).post(post_silences))
        .route("/silence/{id}", get(silence).delete(delete_silence))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(api_headers));
    Router::new()
        .nest("/api/v2", v2)
        .route("/api/v1/{*rest}", axum::routing::any(v1))
        .route("/-/healthy", get(ok))
        .route("/-/ready", get(ok))
        .route("/-/reload", post_route(reload))
        .route("/metrics", get(metrics))
        .with_state(face)
}

/// Checks what the client accepts, forbids caching.
async fn api_headers(request: axum::extract::Request, next: Next) -> Response {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let json = |range: &str| {
        let range = range.split(';').next().unwrap_or("").trim();
        matches!(range, "" | "*/*" | "application/*" | "application/json")
    };
    let mut response = if accepted.split(',').any(json) {
        next.run(request).await
    } else {
        let message = "unsupported media type requested, only [application/json] are available";
        ApiError::schema(StatusCode::NOT_ACCEPTABLE, 406, message).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn unknown_path(uri: Uri) -> ApiError {
    // The nested router sees its own part of the path.
    ApiError::schema(StatusCode::NOT_FOUND, 404, format!("path /api/v2{} was not found", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let allowed = match uri.path() {
        "/alerts" | "/silences" => "POST,GET",
        path if path.starts_with("/silence/") => "DELETE,GET",
        _ => "GET",
    };
    let message = format!("method {method} is not allowed, but [{allowed}] are");
    let mut response = ApiError::schema(StatusCode::METHOD_NOT_ALLOWED, 405, message).into_response();
    if let Ok(value) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

async fn v1() -> Response {
    let message = "The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - \
                   please use the equivalent route in the v2 API";
    let body = serde_json::json!({ "status": "deprecated", "error": message });
    (StatusCode::GONE, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn ok() -> &'static str {
    "OK"
}

async fn reload(State(face): State<Face>) -> Response {
    match (face.reload)().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
        }
    }
}

async fn metrics(State(face): State<Face>) -> Result<Response, ApiError> {
    blocking(move || {
        face.alertmanager.update_gauges();
        let encoder = TextEncoder::new();
        let mut body = Vec::new();
        encoder
            .encode(&face.registry.gather(), &mut body)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let content_type = encoder.format_type().to_owned();
        Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
    })
    .await
}

/// The pipeline takes locks and writes files, so it is not called on the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

async fn status(State(face): State<Face>) -> Response {
    let config = face.config.read().clone();
    shapes::json(&StatusJson::new(config, rfc3339_millis(&face.started), &face.version))
}

async fn receivers(State(face): State<Face>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let wanted = Parameters::parse(query.as_deref()).receiver_matchers()?;
    blocking(move || {
        let setup = face.alertmanager.setup();
        let fits = |labels| novaobs_alerts::matchers::filter_matches(&wanted, &Labels::from_pairs(labels));
        let receivers: Vec<ReceiverJson<'_>> = setup
            .receivers
            .iter()
            .filter(|named| wanted.is_empty() || fits(named.labels.iter()))
            .map(ReceiverJson::new)
            .collect();
        Ok(shapes::json(&receivers))
    })
    .await
}

async fn alerts(State(face): State<Face>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let filter: AlertFilter = Parameters::parse(query.as_deref()).alert_filter()?;
    blocking(move || {
        let views = face.alertmanager.alerts(&filter);
        Ok(shapes::json(&views.iter().map(AlertJson::new).collect::<Vec<_>>()))
    })
    .await
}

async fn alert_groups(State(face): State<Face>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let filter: AlertFilter = Parameters::parse(query.as_deref()).alert_filter()?;
    blocking(move || {
        let groups = face.alertmanager.groups(&filter);
        Ok(shapes::json(&groups.iter().map(GroupJson::new).collect::<Vec<_>>()))
    })
    .await
}

async fn post_alerts(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let alerts = post::alerts(&headers, &body)?;
    blocking(move || match face.alertmanager.put_alerts(alerts) {
        Ok(()) => Ok(StatusCode::OK),
        Err(refused) => {
            let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
            Err(ApiError::refused(texts.join("\n")))
        }
    })
    .await
}

async fn silences(State(face): State<Face>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(query.as_deref());
    let filter = parameters.matchers("filter")?;
    let states = parameters.silence_states();
    blocking(move || {
        let now = novaobs_alerts::time::now();
        let silences =
            if states.is_empty() { Vec::new() } else { face.alertmanager.silences(&states, &filter) };
        Ok(shapes::json(&silences.iter().map(|silence| SilenceJson::new(silence, now)).collect::<Vec<_>>()))
    })
    .await
}

async fn post_silences(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let silence = post::silence(&headers, &body, novaobs_alerts::time::now())?;
    blocking(move || match face.alertmanager.set_silence(silence) {
        Ok(id) => Ok(shapes::json(&serde_json::json!({ "silenceID": id }))),
        Err(error @ SilenceError::NotFound) => Err(ApiError::not_found(error.to_string())),
        Err(error @ SilenceError::Disk(_)) => Err(ApiError::internal(error.to_string())),
        Err(error) => Err(ApiError::refused(error.to_string())),
    })
    .await
}

async fn silence(State(face): State<Face>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parameters::silence_id(id)?;
    blocking(move || {
        let now = novaobs_alerts::time::now();
        match face.alertmanager.silence(&id) {
            Some(silence) => Ok(shapes::json(&SilenceJson::new(&silence, now))),
            None => Ok(StatusCode::NOT_FOUND.into_response()),
        }
    })
    .await
}

async fn delete_silence(State(face): State<Face>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = parameters::silence_id(id)?;
    blocking(move || match face.alertmanager.expire_silence(&id) {
        Ok(()) => Ok(StatusCode::OK),
        Err(SilenceError::NotFound) => Ok(StatusCode::NOT_FOUND),
        Err(error) => Err(ApiError::internal(error.to_string())),
    })
    .await
}

#[cfg(test)]
mod tests;
