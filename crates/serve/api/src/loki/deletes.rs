//! Deletes by query: `/loki/api/v1/delete`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_logql_parser::{Expr, Stage, parse, parse_matchers};
use novaobs_model::Tenant;
use novaobs_tenants::limits::DeletionMode;

use super::Api;
use super::error::ApiError;
use super::json::{push, push_string};
use super::params::{Params, SECOND, now, parse_rfc3339};
use super::tenancy::tenant_of;
use super::views::{CancelError, DeleteProgress, DeleteRequest, DeleteView};

/// Longest `max_interval`; the peer's `delete_max_interval`.
const MAX_INTERVAL: i64 = 24 * 3600 * SECOND;

/// Errors of these routes end in a line end.
fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad(message).with_line_end()
}

/// Parameters are read from the URL alone.
fn read(api: &Api, request: &Request) -> Result<(Tenant, Params), ApiError> {
    let tenant = tenant_of(api, request.headers(), false).map_err(ApiError::with_line_end)?;
    if (api.state.limits)(&tenant).deletion_mode == DeletionMode::Disabled {
        let message = "deletion is not available for this tenant\n";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    Ok((tenant, Params::of_url(request)?))
}

fn view(api: &Api) -> Result<std::sync::Arc<dyn DeleteView>, ApiError> {
    api.state.deletes.clone().ok_or_else(|| bad("Retention is not enabled"))
}

/// Runs a call that may block on file I/O.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(error.to_string()))
}

/// `POST` and `PUT`: a new request.
pub(super) async fn add(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (tenant, params) = read(&api, &request)?;
    let request = delete_request(&params, now())?;
    let view = view(&api)?;
    let id = blocking(move || view.add(&tenant, &request)).await?;
    let id = id.map_err(|error| ApiError::internal(error).with_line_end())?;
    let id = id.parse::<header::HeaderValue>().map_err(|error| ApiError::internal(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert("X-Delete-Request-Id", id);
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

fn delete_request(params: &Params, now: i64) -> Result<DeleteRequest, ApiError> {
    let query = params.get("query");
    if query.is_empty() {
        return Err(bad("query not set"));
    }
    let stages = match parse(query) {
        Ok(Expr::Log(log)) => log.stages,
        // A delete may be of all streams.
        _ if parse_matchers(query).is_ok() => Vec::new(),
        _ => return Err(bad("invalid query expression")),
    };
    let start = match params.get("start") {
        "" => return Err(bad("start time not set")),
        text => time(text).ok_or_else(|| bad(format!("invalid start time: {WANTED}")))?,
    };
    let end = match params.get("end") {
        "" => now,
        text => time(text).ok_or_else(|| bad(format!("invalid end time: {WANTED}")))?,
    };
    if end > now {
        return Err(bad("deletes in the future are not allowed"));
    }
    if start >= end {
        return Err(bad("start time can't be greater than or equal to end time"));
    }
    let filters = stages.iter().any(|stage| matches!(stage, Stage::Line(_) | Stage::Label(_)));
    if filters {
        check_interval(params.get("max_interval"), end - start)?;
    }
    Ok(DeleteRequest { query: query.to_owned(), start, end })
}

const WANTED: &str = "require unix seconds or RFC3339 format";

/// Ten digits of Unix seconds, or RFC 3339.
fn time(text: &str) -> Option<i64> {
    match text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<i64>().ok()?.checked_mul(SECOND),
        false => parse_rfc3339(text),
    }
}

/// `max_interval` says how the peer cuts a delete; ours is carried out in one, so it is only checked.
fn check_interval(text: &str, length: i64) -> Result<(), ApiError> {
    if text.is_empty() {
        return Ok(());
    }
    let invalid = || bad("invalid max_interval: valid time units are 's', 'm', 'h'");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(invalid()),
    };
    let number: f64 = text.get(..text.len() - 1).and_then(|t| t.parse().ok()).ok_or_else(invalid)?;
    let interval = (number * f64::from(unit)) as i64 * SECOND;
    if interval > MAX_INTERVAL {
        return Err(bad("max_interval can't be greater than 24h0m0s"));
    }
    if interval > length {
        let length = super::params::go_duration(length);
        return Err(bad(format!("max_interval can't be greater than the interval to be deleted ({length})")));
    }
    Ok(())
}

/// `GET`: all requests.
pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (tenant, _) = read(&api, &request)?;
    let view = view(&api)?;
    let all = blocking(move || view.list(&tenant)).await?;
    let all = all.map_err(|error| ApiError::internal(error).with_line_end())?;
    let mut out = "[".to_owned();
    for (at, status) in all.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let request = &status.request;
        push(&mut out, format_args!("{comma}{{\"request_id\":"));
        push_string(&mut out, &status.id);
        push(
            &mut out,
            format_args!(
                ",\"start_time\":{},\"end_time\":{},\"query\":",
                Seconds(request.start),
                Seconds(request.end)
            ),
        );
        push_string(&mut out, &request.query);
        let progress = match status.progress {
            DeleteProgress::Received => "received".to_owned(),
            DeleteProgress::Partly(percent) => format!("{percent}% Complete"),
            DeleteProgress::Processed => "processed".to_owned(),
        };
        push(
            &mut out,
            format_args!(
                ",\"status\":\"{progress}\",\"created_at\":{},\"user_id\":\"\"}}",
                Seconds(status.created)
            ),
        );
    }
    out.push_str("]\n");
    Ok(([(header::CONTENT_TYPE, "application/json")], out).into_response())
}

/// A time in seconds, to the millisecond.
struct Seconds(i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        super::json::push_seconds(&mut out, self.0);
        f.write_str(&out)
    }
}

/// `DELETE`: takes a request back.
pub(super) async fn cancel(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (tenant, params) = read(&api, &request)?;
    let id = params.get("request_id").to_owned();
    let force = matches!(params.get("force"), "1" | "t" | "T" | "true" | "TRUE" | "True");
    let view = view(&api)?;
    match blocking(move || view.cancel(&tenant, &id, force)).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(CancelError::NotFound) => {
            let message = "could not find delete request with given id\n";
            Err(ApiError::new(StatusCode::NOT_FOUND, message))
        }
        Err(CancelError::TooLate(reason)) => Err(bad(reason)),
        Err(CancelError::Failed(reason)) => Err(ApiError::internal(reason).with_line_end()),
    }
}

/// `/loki/api/v1/cache/generation_numbers`: nothing is cached across deletes, so the number never changes.
pub(super) async fn generation(State(api): State<Api>, headers: HeaderMap) -> Result<&'static str, ApiError> {
    tenant_of(&api, &headers, false)?;
    Ok("\"\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_of_two_shapes_are_taken() {
        assert_eq!(time("0123456789"), Some(123_456_789 * SECOND));
        assert_eq!(time("2026-11-22T20:49:22.5Z"), Some(1_795_380_562_500_000_000));
        for text in ["1", "1795380562.5", "17953805620", "1795380562000000000", "now"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
