//! Pages for operators: readiness, configuration, services, log level, flushing, versions, limits.

use ::prometheus::{Encoder, TextEncoder};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::Api;
use super::error::ApiError;
use super::json::push_string;
use super::params::Params;
use super::tenancy::{Asked, tenant_of};

/// `/ready`.
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, ApiError> {
    let ready = api.state.process.ready();
    let refuse = |reason| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason).with_line_end();
    ready.map(|()| "ready\n").map_err(refuse)
}

/// `/metrics`.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    api.state.process.refresh_metrics();
    let mut page = Vec::new();
    match TextEncoder::new().encode(&api.state.registry.gather(), &mut page) {
        Ok(()) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(error) => ApiError::internal(error.to_string()).into_response(),
    }
}

/// `/config`.
pub(super) async fn config(State(api): State<Api>, asked: Asked) -> String {
    let process = &api.state.process;
    match asked.params.get("mode") {
        "diff" | "diffs" => process.config_diffs(),
        "defaults" => process.default_config(),
        _ => process.config(),
    }
}

fn published(api: &Api, headers: &HeaderMap) -> Result<Map<String, Value>, ApiError> {
    let tenant = tenant_of(api, headers, false)?;
    Ok(api.state.process.published_limits(&tenant))
}

/// `/config/tenant/v1/limits`: YAML.
pub(super) async fn tenant_limits(State(api): State<Api>, headers: HeaderMap) -> Result<String, ApiError> {
    let limits = published(&api, &headers)?;
    Ok(novaobs_config::emit(&node(&Value::Object(limits))))
}

/// `/loki/api/v1/drilldown-limits`: JSON.
pub(super) async fn drilldown_limits(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut body = Map::new();
    body.insert("limits".to_owned(), Value::Object(published(&api, &headers)?));
    body.insert("pattern_ingester_enabled".to_owned(), api.state.patterns_enabled.into());
    body.insert("version".to_owned(), api.state.process.build_info().version.into());
    Ok(json_line(StatusCode::OK, "application/json", &Value::Object(body)))
}

/// JSON as a node of YAML.
fn node(value: &Value) -> novaobs_config::Node {
    use novaobs_config::{Fields, Node};
    match value {
        Value::Null => Node::null(),
        Value::Bool(value) => Node::plain(value),
        Value::Number(number) => Node::plain(number),
        Value::String(text) => Node::text(text.as_str()),
        Value::Array(items) => Node::sequence(items.iter().map(node)),
        Value::Object(object) => {
            object.iter().fold(Fields::new(), |fields, (key, value)| fields.field(key, &node(value))).node()
        }
    }
}

fn json_line(status: StatusCode, kind: &'static str, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], format!("{value}\n")).into_response()
}

/// `/services`.
pub(super) async fn services(State(api): State<Api>) -> String {
    let services = api.state.process.services();
    services.into_iter().map(|(name, state)| format!("{name} => {state}\n")).collect()
}

const JSON: &str = "application/json; charset=utf-8";

fn message(status: StatusCode, outcome: Option<&str>, message: &str) -> Response {
    let mut out = "{".to_owned();
    if let Some(outcome) = outcome {
        out.push_str("\"status\":");
        push_string(&mut out, outcome);
        out.push(',');
    }
    out.push_str("\"message\":");
    push_string(&mut out, message);
    out.push_str("}\n");
    (status, [(header::CONTENT_TYPE, JSON)], out).into_response()
}

/// `GET /log_level`.
pub(super) async fn log_level(State(api): State<Api>) -> Response {
    message(StatusCode::OK, None, &format!("Current log level is {}", api.state.process.log_level()))
}

/// `POST /log_level`.
pub(super) async fn set_log_level(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let params = Params::read(request).await?;
    let level = params.get("log_level");
    if !matches!(level, "debug" | "info" | "warn" | "error") {
        let text = format!("unrecognized log level {}", novaobs_model::labels::go_quote(level));
        return Ok(message(StatusCode::BAD_REQUEST, Some("failed"), &text));
    }
    Ok(match api.state.process.set_log_level(level) {
        Ok(()) => message(StatusCode::OK, Some("success"), &format!("Log level set to {level}")),
        Err(error) => message(StatusCode::INTERNAL_SERVER_ERROR, Some("failed"), &error),
    })
}

/// `/flush`.
pub(super) async fn flush(State(api): State<Api>) -> Result<StatusCode, ApiError> {
    let process = api.state.process.clone();
    let flushed = tokio::task::spawn_blocking(move || process.flush()).await;
    match flushed {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => Err(ApiError::internal(error).with_line_end()),
        Err(error) => Err(ApiError::internal(error.to_string()).with_line_end()),
    }
}

/// `/ingester/shutdown`: flushes and begins to shut down.
pub(super) async fn shutdown(State(api): State<Api>) -> Result<StatusCode, ApiError> {
    let process = api.state.process.clone();
    flush(State(api)).await?;
    process.shutdown();
    Ok(StatusCode::NO_CONTENT)
}

/// `/ingester/prepare_shutdown`: there is nothing to hand over to others, so nothing is ever set.
pub(super) async fn prepare_shutdown() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "unset").into_response()
}

/// `/memberlist`.
pub(super) async fn memberlist() -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], "This instance doesn't use memberlist.").into_response()
}

/// Rings: one process has none.
pub(super) async fn ring() -> Response {
    const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Ring Status</title></head><body><h1>Ring Status</h1><p>One process serves everything: there is no ring.</p></body></html>\n";
    ([(header::CONTENT_TYPE, "text/html")], PAGE).into_response()
}

/// Caches that deletes must invalidate: none.
pub(super) async fn nothing_cached() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `/loki/api/v1/status/buildinfo`.
pub(super) async fn build_info(State(api): State<Api>) -> Response {
    let body = serde_json::to_string(&api.state.process.build_info()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
}
