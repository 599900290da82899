//! `/api/v1/status/*`, `/version` and `/metrics`.

use std::sync::Arc;

use ::prometheus::{Encoder, TextEncoder};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Api;
use super::envelope::{ApiError, ErrorKind, success, text_error, to_json};
use super::params::{Params, go_atoi};

#[derive(Serialize)]
struct Config {
    yaml: String,
}

/// `/api/v1/status/config`.
pub(super) async fn config(State(api): State<Api>) -> Response {
    success(&Config { yaml: api.state.status.config() }, &[])
}

/// `/api/v1/status/flags`.
pub(super) async fn flags(State(api): State<Api>) -> Response {
    success(&api.state.status.flags(), &[])
}

/// `/api/v1/status/buildinfo`.
pub(super) async fn build_info(State(api): State<Api>) -> Response {
    success(&api.state.status.build_info(), &[])
}

/// `/api/v1/status/runtimeinfo`.
pub(super) async fn runtime_info(State(api): State<Api>) -> Response {
    success(&api.state.status.runtime_info(), &[])
}

/// `/api/v1/status/tsdb?limit=1..10000`.
pub(super) async fn tsdb(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    const MOST: usize = 10_000;
    let limit = match params.get("limit") {
        "" => 10,
        text => match go_atoi(text).ok().and_then(|limit| usize::try_from(limit).ok()) {
            Some(limit) if limit > MOST => {
                return Err(ApiError::bad_data(format!("limit must not exceed {MOST}")));
            }
            Some(limit) if limit > 0 => limit,
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let status = Arc::clone(&api.state.status);
    let result = tokio::task::spawn_blocking(move || status.tsdb(limit)).await;
    let found = result.map_err(|error| error.to_string()).and_then(|found| found);
    Ok(success(&found.map_err(|error| ApiError::new(ErrorKind::Internal, error))?, &[]))
}

/// `/version`: the build without a frame.
pub(super) async fn version(State(api): State<Api>) -> Response {
    match to_json(&api.state.status.build_info()) {
        Ok(mut body) => {
            body.push(b'\n');
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &format!("error encoding JSON: {error}")),
    }
}

/// `/metrics`: the server's own metrics as text 0.0.4.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    api.state.status.refresh_metrics();
    let mut body = Vec::new();
    match TextEncoder::new().encode(&api.state.registry.gather(), &mut body) {
        Ok(()) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => {
            let message = format!("An error has occurred while serving metrics:\n\n{error}");
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    }
}
